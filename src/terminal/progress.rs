//! Progress of the run: one line on a terminal, elsewhere a line every few seconds. The lines keep proxies from cutting
//! an idle exec stream. A reader that is gone does not stop the run.
//!
//! A stage that was shown and has reached its end leaves a line with 100 %. A stage that fails leaves none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::frame::Frame;
use super::log_copy;
use super::screen::Screen;
use crate::base::deadline::tick;
use crate::base::waiting::joined_within;

/// Longest time to print the last line.
const PRINTS_WITHIN: Duration = Duration::from_secs(2);

const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_EVERY: Duration = Duration::from_millis(250);

/// The bytes that are 100 % of a stage.
#[derive(Debug, Clone, Copy)]
enum Total {
    Unknown,
    /// The stage has its end when it has all these bytes.
    Exact(u64),
    /// The stage has its end when the next one begins.
    About(u64),
}

#[derive(Debug)]
struct Stage {
    name: String,
    begun: Instant,
    /// Bytes at the start of the stage. If another part of the program counts the bytes, `counted` has the current
    /// number.
    from: u64,
    counted: Option<Arc<AtomicU64>>,
    total: Total,
    /// True if a line of this stage was printed.
    is_shown: bool,
    /// True if a line of this stage is in the copy of the log.
    is_copied: bool,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// The last frames of stages that were shown, and whether the copy of the log gets them.
    ended: Vec<(Frame, bool)>,
    over: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    bytes: AtomicU64,
}

/// Prints the progress until it is dropped.
#[derive(Debug)]
pub struct Progress {
    shared: Arc<Shared>,
    printer: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts a thread that prints to stderr.
    pub fn start() -> Self {
        let mut progress = Self::silent();
        let shared = Arc::clone(&progress.shared);
        // If no thread can be started, the run goes on without progress.
        progress.printer = std::thread::Builder::new().spawn(move || shared.print_until_over(Screen::of_stderr())).ok();
        progress
    }

    /// Returns a progress that prints nothing.
    pub fn silent() -> Self {
        let state = State { stage: Stage::new("", 0, Total::Unknown), ended: Vec::new(), over: false };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), bytes: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), printer: None }
    }

    /// Begins a new stage at zero bytes.
    pub fn stage(&self, name: &str, total: Option<u64>) {
        self.begin(Stage::new(name, 0, total.map_or(Total::Unknown, Total::Exact)));
    }

    /// Begins a new stage at zero bytes that will have about `total` bytes.
    pub fn stage_of_about(&self, name: &str, total: Option<u64>) {
        self.begin(Stage::new(name, 0, total.map_or(Total::Unknown, Total::About)));
    }

    /// Gives the running work a new name. Its bytes count on.
    pub fn go_on(&self, name: &str, total: Option<u64>) {
        let mut state = self.shared.lock();
        let bytes = self.shared.bytes.load(Ordering::Relaxed);
        state.begin(Stage::new(name, bytes, total.map_or(Total::Unknown, Total::Exact)), bytes);
        self.shared.changed.notify_all();
    }

    /// Begins a new stage whose bytes are counted in `counted`.
    pub fn stage_counted(&self, name: &str, counted: Arc<AtomicU64>, total: u64) {
        counted.store(0, Ordering::Relaxed);
        self.begin(Stage { counted: Some(counted), ..Stage::new(name, 0, Total::Exact(total)) });
    }

    /// Ends the last stage: all is done. Without this call, the progress ends as that of a run that has failed.
    pub fn done(&self) {
        let mut state = self.shared.lock();
        let end = state.stage.end(self.shared.bytes.load(Ordering::Relaxed));
        state.leave(Some(end), Stage::new("", 0, Total::Unknown));
        self.shared.changed.notify_all();
    }

    fn begin(&self, stage: Stage) {
        let mut state = self.shared.lock();
        let bytes = self.shared.bytes.swap(0, Ordering::Relaxed);
        state.begin(stage, bytes);
        self.shared.changed.notify_all();
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
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        if let Some(printer) = self.printer.take() {
            // A panic of the printer is already noted and reported by its hook.
            let _ = joined_within(printer, PRINTS_WITHIN);
        }
    }
}

impl State {
    /// Begins a stage. `bytes` counts the bytes of the last one.
    fn begin(&mut self, next: Stage, bytes: u64) {
        let end = self.stage.is_whole(bytes).then(|| self.stage.end(bytes));
        self.leave(end, next);
    }

    fn leave(&mut self, end: Option<Frame>, next: Stage) {
        let last = std::mem::replace(&mut self.stage, next);
        self.ended.extend(end.filter(|_| last.is_shown).map(|end| (end, last.is_copied)));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print_until_over(&self, screen: Screen) {
        let every = if screen.is_terminal() { BAR_EVERY } else { LINE_EVERY };
        let (mut due, mut copy_due) = (Instant::now() + every, Instant::now() + LINE_EVERY);
        let mut state = self.lock();
        loop {
            let ended = std::mem::take(&mut state.ended);
            let now = Instant::now();
            let is_due = now >= due && !state.over;
            if ended.is_empty() && !is_due {
                if state.over {
                    break;
                }
                let waited = self.changed.wait_timeout(state, due.saturating_duration_since(now));
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let frame = is_due.then(|| state.stage.show(self.bytes.load(Ordering::Relaxed))).flatten();
            let copies = frame.is_some() && now >= copy_due;
            state.stage.is_copied |= copies;
            // Nobody who begins a stage waits for a slow reader.
            drop(state);
            for (end, copies) in ended {
                screen.leave(&end);
                copy(&end, copies);
            }
            if let Some(frame) = &frame {
                screen.show(frame);
                copy(frame, copies);
            }
            (due, copy_due) =
                (if is_due { now + every } else { due }, if copies { now + LINE_EVERY } else { copy_due });
            state = self.lock();
        }
        drop(state);
        screen.clear();
    }
}

fn copy(frame: &Frame, wanted: bool) {
    if wanted {
        log_copy::add(&(frame.line() + "\n"));
    }
}

impl Total {
    fn bytes(self) -> Option<u64> {
        match self {
            Self::Unknown | Self::Exact(0) | Self::About(0) => None,
            Self::Exact(bytes) | Self::About(bytes) => Some(bytes),
        }
    }
}

impl Stage {
    fn new(name: &str, from: u64, total: Total) -> Self {
        let (begun, is_shown, is_copied) = (Instant::now(), false, false);
        Self { name: name.to_owned(), begun, from, counted: None, total, is_shown, is_copied }
    }

    /// Returns the frame to print; `None` before the first stage.
    fn show(&mut self, bytes: u64) -> Option<Frame> {
        self.is_shown |= !self.name.is_empty();
        self.is_shown.then(|| self.frame(bytes))
    }

    fn counted(&self, bytes: u64) -> u64 {
        self.counted.as_ref().map_or(bytes, |counted| counted.load(Ordering::Relaxed))
    }

    /// Returns the state of the stage. `bytes` counts the bytes of a stage without its own counter. The percentage stays
    /// below 100 until the stage has ended: the total may be an estimate, and the last bytes may be on their way.
    fn frame(&self, bytes: u64) -> Frame {
        let bytes = self.counted(bytes);
        let percent = |total: u64| (bytes as f64 / total as f64 * 100.0).min(99.0) as u8;
        // A stage without bytes has no rate.
        let has_bytes = bytes > 0 || self.total.bytes().is_some();
        Frame {
            stage: self.name.clone(),
            percent: self.total.bytes().map(percent),
            bytes: has_bytes.then(|| bytes.saturating_sub(self.from)),
            seconds: self.begun.elapsed().as_secs_f64(),
            is_end: false,
        }
    }

    /// Returns whether the stage has come to its end when the next one begins. If an upload has failed, the next try
    /// also begins a stage.
    fn is_whole(&self, bytes: u64) -> bool {
        match self.total {
            Total::Unknown => false,
            Total::About(_) => true,
            // A dump that is written again in other segments may be a little shorter than its file.
            Total::Exact(total) => self.counted(bytes) >= total - total / 100,
        }
    }

    /// Returns the last frame of the stage. The bytes that were counted while the JVM stood still are not all that it
    /// has dumped.
    fn end(&self, bytes: u64) -> Frame {
        let frame = self.frame(bytes);
        let bytes = frame.bytes.filter(|_| !matches!(self.total, Total::About(_)));
        Frame { percent: frame.percent.map(|_| 100), bytes, is_end: true, ..frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(progress: &Progress) -> String {
        let state = progress.shared.lock();
        state.stage.frame(progress.shared.bytes.load(Ordering::Relaxed)).line()
    }

    #[test]
    fn stage_that_goes_on_keeps_its_bytes_and_counts_its_own() {
        let progress = Progress::silent();
        progress.stage_of_about("the JVM stands still and dumps", Some(100));
        progress.add(30);
        assert!(line(&progress).contains(" 30 %, 30 B in "), "{}", line(&progress));
        progress.go_on("compressing", Some(60));
        assert!(line(&progress).starts_with("compressing: 50 %, 0 B in "), "{}", line(&progress));
        progress.add(30);
        assert!(line(&progress).contains(" 99 %, 30 B in "), "{}", line(&progress));
        let counted = Arc::new(AtomicU64::new(7));
        progress.stage_counted("uploading", Arc::clone(&counted), 10);
        counted.store(5, Ordering::Relaxed);
        assert!(line(&progress).starts_with("uploading: 50 %, 5 B in "), "{}", line(&progress));
        progress.stage("attaching", None);
        assert_eq!(line(&progress), "attaching: 0 s");
    }

    /// Returns the ends of stages so far. Each stage counts as shown.
    fn ends(progress: &Progress) -> Vec<String> {
        let ended = std::mem::take(&mut progress.shared.lock().ended);
        ended.iter().map(|(end, _)| end.line().replace(", 0 s", "")).collect()
    }

    fn shown(progress: &Progress) {
        progress.shared.lock().stage.show(0);
    }

    #[test]
    fn stage_leaves_a_line_only_when_it_was_shown_and_is_whole() {
        let progress = Progress::silent();
        progress.stage("uploading", Some(100));
        progress.add(40);
        shown(&progress);
        progress.stage("uploading", Some(100));
        progress.add(100);
        progress.stage_of_about("the JVM stands still and dumps", Some(1000));
        assert_eq!(ends(&progress), [""; 0], "one is not whole, one was not shown");
        shown(&progress);
        progress.go_on("compressing", Some(100));
        assert_eq!(ends(&progress), ["the JVM stands still and dumps: 100 %"]);
        shown(&progress);
        progress.add(99);
        progress.stage("uploading", None);
        assert!(ends(&progress)[0].starts_with("compressing: 100 %, "));
        shown(&progress);
        progress.done();
        assert_eq!(ends(&progress), ["uploading: done"]);
    }
}
