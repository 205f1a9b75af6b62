//! Every way in which a thread waits for another one. The methods of the libraries that wait without an end are
//! forbidden everywhere else (`clippy.toml`).
//!
//! The stages of a dump wait for each other and for nothing else. [`Halt`] ends all of these waits at once: the first
//! stage that leaves before its work is done trips it. The thread that reads the dump trips it at the deadline.
#![allow(clippy::disallowed_methods)]

use std::convert::Infallible;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, select_biased};

/// How often something is looked at that gives no sign of its own.
const LOOK: Duration = Duration::from_millis(1);

/// A state that is entered once, and that any number of threads wait for: a channel that nobody sends to, closed.
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

/// The stages of one dump have stopped before its end.
#[derive(Debug, Default)]
pub struct Halt(Once);

/// The wait was ended by [`Halt::trip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halted;

impl Halt {
    /// Ends all waits of the stages, those to come included.
    pub fn trip(&self) {
        self.0.enter();
    }

    pub fn is_tripped(&self) -> bool {
        self.0.is_entered()
    }

    /// Runs a stage, and trips the halt when it fails or panics.
    ///
    /// # Errors
    /// Those of the stage.
    pub fn guarding<T, E>(&self, stage: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let tripping = TripInDrop(self);
        let result = stage();
        if result.is_ok() {
            std::mem::forget(tripping);
        }
        result
    }

    /// The next of a channel; `None` at its end.
    ///
    /// # Errors
    /// When the halt is tripped.
    pub fn receive<T>(&self, from: &Receiver<T>) -> Result<Option<T>, Halted> {
        select_biased! {
            recv(self.0.closed) -> _ => Err(Halted),
            recv(from) -> item => Ok(item.ok()),
        }
    }

    /// Sends, unless all receivers are gone.
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

    /// Waits until it is open, or the stages halt.
    pub fn wait(&self, halt: &Halt) {
        select! {
            recv(self.0.closed) -> _ => {},
            recv(halt.0.closed) -> _ => {},
        }
    }
}

/// Starts a stage, where the limits of processes leave room for a thread.
///
/// # Errors
/// When they do not.
pub fn started<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    stage: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, stage)
}

/// What to do when a thread cannot be had. Linux: `clone(2)`, EAGAIN; `pids.max` of the cgroup, RLIMIT_NPROC of the user.
pub const MORE_THREADS: &str =
    "raise the limit of processes: podPidsLimit of the kubelet, pids.max of the container, or ulimit -u of the user";

/// The result of a stage, whose waits end by a [`Halt`] or with its channels. A panic goes on here.
pub fn joined<T>(stage: ScopedJoinHandle<'_, T>) -> T {
    joined_or_panic(stage).unwrap_or_else(|panic| resume_unwind(panic))
}

/// The same, or what it has panicked with.
pub fn joined_or_panic<T>(stage: ScopedJoinHandle<'_, T>) -> std::thread::Result<T> {
    stage.join()
}

/// The same of a thread that may hang; `None` when it has not ended within `time`, and is left to itself.
pub fn joined_within<T>(thread: JoinHandle<T>, time: Duration) -> Option<std::thread::Result<T>> {
    until(time, || thread.is_finished().then_some(())).map(|()| thread.join())
}

/// Asks again and again, for `time` at most.
pub fn until<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begun.elapsed() >= time {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// Does nothing for a moment, however the run stands: for what is short, and what must not be cut off.
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
