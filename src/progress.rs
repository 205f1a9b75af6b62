//! What the run is at: a bar on a terminal, elsewhere a line every few seconds, so that no proxy cuts an idle
//! exec stream. A reader that went away is no reason to stop.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::deadline::tick;
use crate::log_copy;
use crate::output::Stderr;
use crate::printable::printable;
use crate::units::Bytes;
use crate::waiting::joined_within;

/// How long the last line may take.
const PRINTS_WITHIN: Duration = Duration::from_secs(2);

const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_EVERY: Duration = Duration::from_millis(250);
const BAR_WIDTH: usize = 30;

#[derive(Debug)]
struct Stage {
    name: String,
    begun: Instant,
    /// What 100 % is, where it is known.
    total: Option<u64>,
    over: bool,
}

#[derive(Debug)]
struct Shared {
    stage: Mutex<Stage>,
    ended: Condvar,
    bytes: AtomicU64,
}

/// Prints until it is dropped.
#[derive(Debug)]
pub struct Progress {
    shared: Arc<Shared>,
    printer: Option<JoinHandle<()>>,
}

impl Progress {
    /// Prints to stderr.
    pub fn start() -> Self {
        let mut progress = Self::silent();
        let shared = Arc::clone(&progress.shared);
        progress.printer = Some(std::thread::spawn(move || shared.print_until_over()));
        progress
    }

    /// Prints nothing.
    pub fn silent() -> Self {
        let stage = Stage { name: String::new(), begun: Instant::now(), total: None, over: false };
        let shared = Shared { stage: Mutex::new(stage), ended: Condvar::new(), bytes: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), printer: None }
    }

    /// A new stage begins, at zero bytes.
    pub fn stage(&self, name: &str, total: Option<u64>) {
        let mut stage = self.shared.stage.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.bytes.store(0, Ordering::Relaxed);
        *stage = Stage { name: name.to_owned(), begun: Instant::now(), total, over: false };
    }

    pub fn set(&self, bytes: u64) {
        tick();
        self.shared.bytes.store(bytes, Ordering::Relaxed);
    }

    pub fn add(&self, bytes: u64) {
        tick();
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shared.stage.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        self.shared.ended.notify_all();
        if let Some(printer) = self.printer.take() {
            // It prints and waits, nothing else: a panic there would be a defect of its own, told by its message.
            let _ = joined_within(printer, PRINTS_WITHIN);
        }
    }
}

impl Shared {
    fn print_until_over(&self) {
        let terminal = std::io::stderr().is_terminal();
        let mut begun = Instant::now();
        let every = if terminal { BAR_EVERY } else { LINE_EVERY };
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        while !stage.over {
            let waited = self.ended.wait_timeout(stage, every).unwrap_or_else(PoisonError::into_inner);
            stage = waited.0;
            if waited.1.timed_out() && !stage.name.is_empty() {
                let line = stage.line(self.bytes.load(Ordering::Relaxed));
                if begun.elapsed() >= LINE_EVERY {
                    begun = Instant::now();
                    log_copy::add(&format!("{line}\n"));
                }
                let _ = if terminal {
                    write!(Stderr, "\r\x1b[K{line}")
                } else {
                    Stderr.write_all(format!("{line}\n").as_bytes())
                };
            }
        }
        if terminal {
            let _ = write!(Stderr, "\r\x1b[K");
        }
    }
}

impl Stage {
    fn line(&self, bytes: u64) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let rate = Bytes((bytes as f64 / seconds) as u64);
        let bar = self.total.filter(|total| *total > 0).map(|total| bar(bytes, total)).unwrap_or_default();
        // A stage may be named after a file or an object.
        format!("{}: {bar}{} in {seconds:.0} s, {rate}/s", printable(&self.name), Bytes(bytes))
    }
}

fn bar(bytes: u64, total: u64) -> String {
    let part = (bytes as f64 / total as f64).clamp(0.0, 1.0);
    let full = (part * BAR_WIDTH as f64) as usize;
    format!("[{}{}] {:.0} %, ", "#".repeat(full), "-".repeat(BAR_WIDTH - full), part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_never_leaves_its_width() {
        assert_eq!(bar(0, 10), format!("[{}] 0 %, ", "-".repeat(BAR_WIDTH)));
        assert_eq!(bar(20, 10), format!("[{}] 100 %, ", "#".repeat(BAR_WIDTH)));
    }
}
