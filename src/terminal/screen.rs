//! Where the progress is shown: a terminal, or a stream of lines.
//!
//! A terminal shows one line of progress below all other lines. A message takes the place of that line, and the next
//! frame stands below the message.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

use super::frame::Frame;
use super::output::{Stderr, write_stderr};

/// Columns of a terminal that does not tell its width, as at the end of some exec streams.
const COLUMNS: usize = 80;

/// Columns of the line of progress that the terminal shows; 0 if it shows none. It changes only while standard error is
/// locked.
static SHOWN: AtomicUsize = AtomicUsize::new(0);

/// The screen of standard error.
#[derive(Debug, Clone, Copy)]
pub enum Screen {
    Terminal,
    Lines,
}

impl Screen {
    /// Returns a terminal if standard error is one that can clear a line. A dumb terminal cannot (terminfo(5)).
    pub fn of_stderr() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stderr().is_terminal() && !is_dumb { Self::Terminal } else { Self::Lines }
    }

    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Terminal)
    }

    /// Shows a frame until the next one.
    pub fn show(self, frame: &Frame) {
        match self {
            Self::Terminal => write_stderr(|| drawn(frame, columns())),
            Self::Lines => self.leave(frame),
        }
    }

    /// Shows a frame that stays.
    pub fn leave(self, frame: &Frame) {
        match self {
            Self::Terminal => write_stderr(|| {
                let line = drawn(frame, columns()) + "\n";
                SHOWN.store(0, Ordering::Relaxed);
                line
            }),
            // Standard error loses what nobody reads.
            Self::Lines => drop(Stderr.write_all((frame.line() + "\n").as_bytes())),
        }
    }

    /// Takes the last frame away.
    pub fn clear(self) {
        if SHOWN.load(Ordering::Relaxed) > 0 {
            write_stderr(taken_away);
        }
    }
}

/// Returns the width of the terminal at this moment: its user may resize it.
fn columns() -> usize {
    let told = tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    if told == 0 { COLUMNS } else { told }
}

/// Returns the text that takes the line of progress away. The caller has locked standard error.
pub(super) fn taken_away() -> String {
    match SHOWN.swap(0, Ordering::Relaxed) {
        0 => String::new(),
        shown => erased(shown, columns()),
    }
}

/// Returns the text that puts a frame in the place of the last one. The last column stays free: some terminals begin a
/// new line when it is taken.
fn drawn(frame: &Frame, columns: usize) -> String {
    let line = frame.fitted(columns.saturating_sub(1));
    erased(SHOWN.swap(line.width(), Ordering::Relaxed), columns) + &line
}

/// Returns the text that erases a line of `shown` columns, in whose last row the cursor stands. A terminal that has
/// become narrower has wrapped the line.
fn erased(shown: usize, columns: usize) -> String {
    match shown.div_ceil(columns).saturating_sub(1) {
        0 => "\r\x1b[K".to_owned(),
        rows => format!("\x1b[{rows}A\r\x1b[J"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_takes_the_place_of_the_line_of_progress() {
        let stage = "compressing".to_owned();
        let frame = Frame { stage, percent: Some(40), bytes: None, seconds: 1.0, is_end: false };
        assert_eq!(drawn(&frame, 80), "\r\x1b[Kcompressing: [############------------------] 40 %, 1 s");
        assert_eq!(taken_away(), "\r\x1b[K");
        assert_eq!(taken_away(), "", "nothing is there any more");
    }

    #[test]
    fn wrapped_line_of_a_narrow_terminal_is_erased_whole() {
        assert_eq!(erased(0, 80), "\r\x1b[K");
        assert_eq!(erased(79, 80), "\r\x1b[K");
        assert_eq!(erased(79, 40), "\x1b[1A\r\x1b[J");
        assert_eq!(erased(199, 40), "\x1b[4A\r\x1b[J");
    }
}
