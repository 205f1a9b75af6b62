//! One state of the progress as a line of text that fits a terminal. No I/O.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::base::printable::printable;
use crate::base::units::Bytes;

/// Columns of a bar, without its brackets. A bar of fewer columns tells less than the percentage beside it.
const BAR: std::ops::RangeInclusive<usize> = 10..=30;

/// Stands for the middle of a name that is too long. Plain ASCII, for terminals without UTF-8.
const CUT: &str = "...";

/// What a stage has done.
#[derive(Debug, Clone)]
pub struct Frame {
    pub stage: String,
    /// `None` if nobody knows the end of the stage.
    pub percent: Option<u8>,
    /// Bytes of the stage. `None` if it has none.
    pub bytes: Option<u64>,
    pub seconds: f64,
    /// True for the last frame of a stage.
    pub is_end: bool,
}

impl Frame {
    /// Returns the line without a bar, for a log.
    pub fn line(&self) -> String {
        self.with(&self.name(), "", [true, true])
    }

    /// Returns the line in at most `columns` columns: as much of it as fits, the name of the stage and the percentage
    /// at last.
    pub fn fitted(&self, columns: usize) -> String {
        let name = self.name();
        let full = self.with(&name, "", [true, true]);
        // Brackets and a blank.
        let room = columns.saturating_sub(full.width() + 3).min(*BAR.end());
        if let Some(percent) = self.percent.filter(|_| room >= *BAR.start()) {
            return self.with(&name, &bar(percent, room), [true, true]);
        }
        let shorter = [[true, true], [false, true], [false, false]].map(|parts| self.with(&name, "", parts));
        if let Some(line) = shorter.into_iter().find(|line| line.width() <= columns) {
            return line;
        }
        let rest = self.with("", "", [false, false]);
        cut(&name, columns.saturating_sub(rest.width())) + &rest
    }

    /// Returns the name of the stage. It may contain the name of a file or an object.
    fn name(&self) -> String {
        printable(&self.stage).into_owned()
    }

    /// Joins the parts of the line. `rate` and `time` say whether these parts are among them.
    fn with(&self, name: &str, bar: &str, [rate, time]: [bool; 2]) -> String {
        let mut parts = Vec::new();
        parts.extend(self.percent.map(|percent| format!("{bar}{percent} %")));
        parts.extend((self.is_end && self.percent.is_none()).then(|| "done".to_owned()));
        let seconds = format!("{:.0} s", self.seconds);
        let by_second = |bytes: u64| Bytes((bytes as f64 / self.seconds.max(0.001)) as u64);
        match self.bytes.filter(|_| rate) {
            Some(bytes) => parts.push(format!("{} in {seconds}, {}/s", Bytes(bytes), by_second(bytes))),
            None if time || parts.is_empty() => parts.push(seconds),
            None => {}
        }
        format!("{name}: {}", parts.join(", "))
    }
}

fn bar(percent: u8, columns: usize) -> String {
    let full = columns * usize::from(percent.min(100)) / 100;
    format!("[{}{}] ", "#".repeat(full), "-".repeat(columns - full))
}

/// Leaves out the middle of a name, so that it takes at most `columns` columns.
fn cut(name: &str, columns: usize) -> String {
    if name.width() <= columns {
        return name.to_owned();
    }
    let kept = columns.saturating_sub(CUT.len());
    let end: Vec<char> = within(name.chars().rev(), kept / 2);
    let start: Vec<char> = within(name.chars(), kept - kept / 2);
    let cut = &CUT[..CUT.len().min(columns)];
    start.into_iter().chain(cut.chars()).chain(end.into_iter().rev()).collect()
}

/// Returns the first characters that take at most `columns` columns.
fn within(chars: impl Iterator<Item = char>, columns: usize) -> Vec<char> {
    let mut left = columns;
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let is_room = width <= left;
        left -= if is_room { width } else { 0 };
        is_room
    };
    chars.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stage: &str) -> Frame {
        Frame { stage: stage.into(), percent: Some(40), bytes: Some(120 << 20), seconds: 12.0, is_end: false }
    }

    #[test]
    fn line_fits_each_width_and_keeps_its_percentage() {
        let names = [
            "compressing",
            "the JVM stands still and dumps",
            "reading /数据/堆转储/第一个很长的目录名/java_pid1.hprof",
            "reading /data/e\u{301}\u{1f600}\u{1f600}/a\x1b[31m\nvery-long-name-of-a-file.hprof.gz",
        ];
        for name in names {
            for columns in 12..=220 {
                let line = frame(name).fitted(columns);
                assert!(line.width() <= columns, "{columns}: {} columns: {line}", line.width());
                assert!(line.contains("40 %"), "{columns}: {line}");
            }
        }
    }

    #[test]
    fn line_drops_bar_then_rate_then_time_then_middle_of_name() {
        let frame = frame("the JVM stands still and dumps");
        let lines = [90, 70, 60, 45, 40, 30].map(|columns| frame.fitted(columns));
        let expected = [
            "the JVM stands still and dumps: [########------------] 40 %, 120.0 MiB in 12 s, 10.0 MiB/s",
            "the JVM stands still and dumps: 40 %, 120.0 MiB in 12 s, 10.0 MiB/s",
            "the JVM stands still and dumps: 40 %, 12 s",
            "the JVM stands still and dumps: 40 %, 12 s",
            "the JVM stands still and dumps: 40 %",
            "the JVM stan...l and dumps: 40 %",
        ];
        assert_eq!(lines[..5], expected[..5]);
        assert!(lines[5].starts_with("the JVM") && lines[5].ends_with("dumps: 40 %"), "{}", lines[5]);
    }

    #[test]
    fn stage_without_an_end_has_no_percentage() {
        let frame = Frame { percent: None, bytes: None, ..frame("attaching") };
        assert_eq!(frame.fitted(80), "attaching: 12 s");
        assert_eq!(Frame { is_end: true, ..frame }.fitted(80), "attaching: done, 12 s");
    }

    #[test]
    fn bar_never_leaves_its_width() {
        assert_eq!(bar(0, 10), "[----------] ");
        assert_eq!(bar(99, 10), "[#########-] ");
        assert_eq!(bar(100, 10), "[##########] ");
    }
}
