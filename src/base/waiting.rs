//! All ways in which a thread waits for another one. `clippy.toml` forbids library calls that wait without a limit
//! everywhere else.
//!
//! The stages of a dump wait only for each other. [`Halt`] ends all these waits at once. The first stage that fails or
//! panics trips it; the thread that reads the dump trips it at the deadline.
#![allow(clippy::disallowed_methods)]

use std::convert::Infallible;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, select_biased};

/// Interval at which a condition without a signal of its own is checked again.
const CHECK_EVERY: Duration = Duration::from_millis(1);

/// A state that is entered once, and that any number of threads can wait for. Made of a channel without messages: its
/// end is the signal.
#[derive(Debug)]
struct Once {
    open: Mutex<Option<Sender<Infallible>>>,
    closed: Receiver<Infallible>,
}

impl Default for Once {
    fn default() -> Self {
        let (open, closed) = bounded(0);
        Self { open: Mutex::new(Some(open)), closed }
    }
}

impl Once {
    fn enter(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn is_entered(&self) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// Tells the stages of one dump that they must stop before its end.
#[derive(Debug, Default)]
pub struct Halt(Once);

/// [`Halt::trip`] has ended the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halted;

impl Halt {
    /// Ends all waits of the stages, now and later.
    pub fn trip(&self) {
        self.0.enter();
    }

    pub fn is_tripped(&self) -> bool {
        self.0.is_entered()
    }

    /// Runs a stage, and trips the halt when it fails or panics.
    ///
    /// # Errors
    /// Errors of the stage.
    pub fn guarding<T, E>(&self, stage: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let tripping = TripInDrop(self);
        let result = stage();
        if result.is_ok() {
            std::mem::forget(tripping);
        }
        result
    }

    /// Receives the next item of a channel; `None` at its end.
    ///
    /// # Errors
    /// When the halt is tripped.
    pub fn receive<T>(&self, from: &Receiver<T>) -> Result<Option<T>, Halted> {
        select_biased! {
            recv(self.0.closed) -> _ => Err(Halted),
            recv(from) -> item => Ok(item.ok()),
        }
    }

    /// Sends an item.
    ///
    /// # Errors
    /// When the halt is tripped, or nobody receives any more.
    pub fn send<T>(&self, to: &Sender<T>, item: T) -> Result<(), Halted> {
        select_biased! {
            recv(self.0.closed) -> _ => Err(Halted),
            send(to, item) -> sent => sent.map_err(|_| Halted),
        }
    }
}

struct TripInDrop<'a>(&'a Halt);

impl Drop for TripInDrop<'_> {
    fn drop(&mut self) {
        self.0.trip();
    }
}

/// Opens when the application runs again.
#[derive(Debug, Default)]
pub struct Gate(Once);

impl Gate {
    pub fn open(&self) {
        self.0.enter();
    }

    pub fn is_open(&self) -> bool {
        self.0.is_entered()
    }

    /// Waits until the gate is open, or the stages halt.
    pub fn wait(&self, halt: &Halt) {
        select! {
            recv(self.0.closed) -> _ => {},
            recv(halt.0.closed) -> _ => {},
        }
    }
}

/// Starts a stage on a thread of its own.
///
/// # Errors
/// When the limits of processes leave no room for a thread.
pub fn started<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    stage: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, stage)
}

/// The next step when no thread can be started. Linux: `clone(2)`, EAGAIN; `pids.max` of the cgroup, RLIMIT_NPROC of
/// the user.
pub const MORE_THREADS: &str =
    "raise the limit of processes: podPidsLimit of the kubelet, pids.max of the container, or ulimit -u of the user";

/// Returns the result of a stage, and passes its panic on. The stage's own waits end by a [`Halt`] or with its
/// channels.
pub fn joined<T>(stage: ScopedJoinHandle<'_, T>) -> T {
    joined_or_panic(stage).unwrap_or_else(|panic| resume_unwind(panic))
}

/// Returns the result of a stage, or the value of its panic.
pub fn joined_or_panic<T>(stage: ScopedJoinHandle<'_, T>) -> std::thread::Result<T> {
    stage.join()
}

/// Returns the result of a thread that may hang. `None` when the thread has not ended within `time`; it then runs on
/// alone.
pub fn joined_within<T>(thread: JoinHandle<T>, time: Duration) -> Option<std::thread::Result<T>> {
    until(time, || thread.is_finished().then_some(())).map(|()| thread.join())
}

/// Calls `ask` until it returns a value, for `time` at most.
pub fn until<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begun.elapsed() >= time {
            return None;
        }
        std::thread::sleep(CHECK_EVERY);
    }
}

/// Sleeps for a short moment, whatever the state of the run: for waits that must not be interrupted.
pub fn pause(moment: Duration) {
    std::thread::sleep(moment);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tripped_halt_ends_every_wait() {
        let (halt, gate) = (Halt::default(), Gate::default());
        let ((full, _receiver), (_sender, empty)) = (bounded::<u8>(0), bounded::<u8>(0));
        std::thread::scope(|scope| {
            let sends = scope.spawn(|| halt.send(&full, 1));
            let receives = scope.spawn(|| halt.receive(&empty).map(drop));
            let waits = scope.spawn(|| gate.wait(&halt));
            pause(Duration::from_millis(1));
            halt.trip();
            joined(waits);
            assert_eq!([sends, receives].map(joined), [Err(Halted); 2]);
        });
        assert_eq!((halt.send(&full, 1), halt.receive(&empty)), (Err(Halted), Err(Halted)));
    }

    #[test]
    fn failing_stage_trips_its_halt_and_good_one_does_not() {
        let halt = Halt::default();
        assert_eq!(halt.guarding(|| Ok::<_, ()>(1)), Ok(1));
        assert!(!halt.is_tripped());
        assert_eq!(halt.guarding(|| Err::<(), _>(1)), Err(1));
        assert!(halt.is_tripped());
        let halt = Halt::default();
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| halt.guarding::<(), ()>(|| panic!("on purpose"))));
        assert!(panicked.is_err() && halt.is_tripped());
    }

    #[test]
    fn hanging_thread_is_left_to_itself() {
        let hanging = std::thread::spawn(|| pause(Duration::from_secs(60)));
        assert!(joined_within(hanging, Duration::from_millis(5)).is_none());
        let quick = std::thread::spawn(|| 7);
        assert_eq!(joined_within(quick, Duration::from_secs(60)).unwrap().unwrap(), 7);
    }
}
