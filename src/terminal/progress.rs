//! Progress of the run: a bar on a terminal, elsewhere a line every few seconds. The lines keep proxies from cutting an
//! idle exec stream. A reader that is gone does not stop the run.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::log_copy;
use super::output::Stderr;
use crate::base::deadline::tick;
use crate::base::printable::printable;
use crate::base::units::Bytes;
use crate::base::waiting::joined_within;

/// Longest time to print the last line.
const PRINTS_WITHIN: Duration = Duration::from_secs(2);

const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_EVERY: Duration = Duration::from_millis(250);
const BAR_WIDTH: usize = 30;

#[derive(Debug)]
struct Stage {
    name: String,
    begun: Instant,
    /// Bytes at the start of the stage. If another part of the program counts the bytes, `counted` has the current
    /// number.
    from: u64,
    counted: Option<Arc<AtomicU64>>,
    /// The bytes that are 100 %, if known.
    total: Option<u64>,
    over: bool,
}

#[derive(Debug)]
struct Shared {
    stage: Mutex<Stage>,
    ended: Condvar,
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
        progress.printer = std::thread::Builder::new().spawn(move || shared.print_until_over()).ok();
        progress
    }

    /// Returns a progress that prints nothing.
    pub fn silent() -> Self {
        let stage = Stage::new("", 0, None);
        let shared = Shared { stage: Mutex::new(stage), ended: Condvar::new(), bytes: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), printer: None }
    }

    /// Begins a new stage at zero bytes.
    pub fn stage(&self, name: &str, total: Option<u64>) {
        let mut stage = self.lock();
        self.shared.bytes.store(0, Ordering::Relaxed);
        *stage = Stage::new(name, 0, total);
    }

    /// Gives the running work a new name. Its bytes count on.
    pub fn go_on(&self, name: &str, total: Option<u64>) {
        let mut stage = self.lock();
        *stage = Stage::new(name, self.shared.bytes.load(Ordering::Relaxed), total);
    }

    /// Begins a new stage whose bytes are counted in `counted`.
    pub fn stage_counted(&self, name: &str, counted: Arc<AtomicU64>, total: u64) {
        counted.store(0, Ordering::Relaxed);
        *self.lock() = Stage { counted: Some(counted), ..Stage::new(name, 0, Some(total)) };
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.shared.stage.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.lock().over = true;
        self.shared.ended.notify_all();
        if let Some(printer) = self.printer.take() {
            // A panic of the printer is already noted and reported by its hook.
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
    fn new(name: &str, from: u64, total: Option<u64>) -> Self {
        Self { name: name.to_owned(), begun: Instant::now(), from, counted: None, total, over: false }
    }

    /// Returns the line to print. `bytes` counts the bytes of a stage without its own counter.
    fn line(&self, bytes: u64) -> String {
        let bytes = self.counted.as_ref().map_or(bytes, |counted| counted.load(Ordering::Relaxed));
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        // A stage without bytes has no rate.
        if bytes == 0 && self.total.is_none() {
            return format!("{}: {seconds:.0} s", printable(&self.name));
        }
        let done = bytes.saturating_sub(self.from);
        let rate = Bytes((done as f64 / seconds) as u64);
        let bar = self.total.filter(|total| *total > 0).map(|total| bar(bytes, total)).unwrap_or_default();
        // The name of a stage may contain the name of a file or an object.
        let name = printable(&self.name);
        format!("{name}: {bar}{} in {seconds:.0} s, {rate}/s", Bytes(done))
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

    #[test]
    fn stage_that_goes_on_keeps_its_bytes_and_counts_its_own() {
        let progress = Progress::silent();
        let line = || progress.lock().line(progress.shared.bytes.load(Ordering::Relaxed));
        progress.stage("the JVM stands still and dumps", Some(100));
        progress.add(30);
        assert!(line().contains(" 30 %, 30 B in "), "{}", line());
        progress.go_on("compressing", Some(60));
        assert!(line().starts_with("compressing: [") && line().contains(" 50 %, 0 B in "), "{}", line());
        progress.add(30);
        assert!(line().contains(" 100 %, 30 B in "), "{}", line());
        let counted = Arc::new(AtomicU64::new(7));
        progress.stage_counted("uploading", Arc::clone(&counted), 10);
        counted.store(5, Ordering::Relaxed);
        assert!(line().starts_with("uploading: [") && line().contains(" 50 %, 5 B in "), "{}", line());
        progress.stage("attaching", None);
        assert_eq!(line(), "attaching: 0 s");
    }
}
