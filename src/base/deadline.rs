//! The clock and the [`Cancel`] of a run. Every wait takes them and names what it waits for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::waiting::pause;

/// Counts the steps of progress of this process.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// Counts the running calls that may take long without progress.
static SLOW_CALLS: AtomicU64 = AtomicU64::new(0);

/// Longest time of one slow call: an fsync of 4 GB to a disk that writes 35 MB/s.
const SLOW_WITHIN: Duration = Duration::from_secs(120);

/// Counts one step of progress, for [`Deadline::watch_over`].
pub fn tick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// Makes a call that may take long without any sign of progress, such as fsync(2).
pub fn slowly<T>(call: impl FnOnce() -> T) -> T {
    SLOW_CALLS.fetch_add(1, Ordering::Relaxed);
    let result = call();
    SLOW_CALLS.fetch_sub(1, Ordering::Relaxed);
    tick();
    result
}

/// Interval at which [`Deadline::watch_over`] checks the progress.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// Reasons why a run stops before its work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The time of the run is over.
    Deadline,
    /// A signal with this number asked the run to end.
    Signal(i32),
    /// The application has waited for its dump for this time.
    MaxPause(Duration),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Deadline => write!(f, "the deadline of this run has passed"),
            Reason::Signal(number) => write!(f, "signal {number} ended this run"),
            Reason::MaxPause(limit) => {
                write!(f, "the application was paused for {} s, the most that --max-pause allows", limit.as_secs_f64())
            }
        }
    }
}

/// The run was stopped while it waited for something.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason} while {waiting_for}")]
pub struct Stopped {
    pub reason: Reason,
    pub waiting_for: String,
}

/// A flag that is set once. Every wait sees it through an eventfd.
#[derive(Debug)]
pub struct Cancel {
    reason: OnceLock<Reason>,
    event: OwnedFd,
}

impl Cancel {
    fn new() -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { reason: OnceLock::new(), event })
    }

    /// Stops the run. Only the first reason is kept.
    pub fn trip(&self, reason: Reason) {
        if self.reason.set(reason).is_ok() {
            // The write fails only if the counter is full, and a full counter is readable too.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    pub fn reason(&self) -> Option<Reason> {
        self.reason.get().copied()
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Reasons why a wait on a descriptor ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Woken {
    Ready,
    TimedOut,
}

/// The end of a run, or of one stage of it.
#[derive(Debug, Clone)]
pub struct Deadline {
    end: Instant,
    cancel: Arc<Cancel>,
}

impl Deadline {
    /// Returns the deadline of a run that ends after `limit`.
    ///
    /// # Errors
    /// When the kernel gives no eventfd.
    pub fn after(limit: Duration) -> std::io::Result<Self> {
        Ok(Self { end: Instant::now() + limit, cancel: Arc::new(Cancel::new()?) })
    }

    /// Returns the deadline of one stage of this run: `limit` from now, but never later than the end of the run.
    #[must_use]
    pub fn at_most(&self, limit: Duration) -> Self {
        Self { end: self.end.min(Instant::now() + limit), cancel: Arc::clone(&self.cancel) }
    }

    pub fn cancel(&self) -> &Arc<Cancel> {
        &self.cancel
    }

    pub fn end(&self) -> Instant {
        self.end
    }

    /// Waits for the deadline or a signal, and then until the run makes no progress for `patience`. Returns the reason
    /// of the end. Needs a thread of its own: a thread that waits for a dead disk cannot end itself.
    pub fn watch_over(&self, patience: Duration) -> Reason {
        while self.check("").is_ok() {
            self.poll(None, self.remaining());
        }
        let reason = self.cancel.reason().unwrap_or(Reason::Deadline);
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            pause(WATCH_EVERY);
            let ticks = TICKS.load(Ordering::Relaxed);
            if ticks != seen {
                (seen, since) = (ticks, Instant::now());
            }
            let is_slow = SLOW_CALLS.load(Ordering::Relaxed) > 0;
            if since.elapsed() >= if is_slow { patience.max(SLOW_WITHIN) } else { patience } {
                return reason;
            }
        }
    }

    pub fn remaining(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Fails if the run is over.
    ///
    /// # Errors
    /// When the run was stopped, or its time is over.
    pub fn check(&self, waiting_for: &str) -> Result<(), Stopped> {
        let reason = self.cancel.reason().or_else(|| self.remaining().is_zero().then_some(Reason::Deadline));
        match reason {
            Some(reason) => Err(Stopped { reason, waiting_for: waiting_for.to_owned() }),
            None => Ok(()),
        }
    }

    /// Sleeps for `time`, unless the run is stopped first.
    ///
    /// # Errors
    /// When the run was stopped, or its time is over.
    pub fn sleep(&self, time: Duration, waiting_for: &str) -> Result<(), Stopped> {
        self.check(waiting_for)?;
        self.poll(None, time);
        self.check(waiting_for)
    }

    /// Waits until `fd` has one of `events`, for `time` at most.
    ///
    /// # Errors
    /// When the run was stopped, or its time is over.
    pub fn wait(&self, fd: BorrowedFd<'_>, events: PollFlags, time: Duration, what: &str) -> Result<Woken, Stopped> {
        self.check(what)?;
        if self.poll(Some((fd, events)), time) {
            return Ok(Woken::Ready);
        }
        self.check(what)?;
        Ok(Woken::TimedOut)
    }

    /// Returns true when `watched` is ready.
    fn poll(&self, watched: Option<(BorrowedFd<'_>, PollFlags)>, time: Duration) -> bool {
        let limit = Instant::now() + time.min(self.remaining());
        loop {
            let mut fds = vec![PollFd::new(&self.cancel.event, PollFlags::IN)];
            fds.extend(watched.as_ref().map(|(fd, events)| PollFd::from_borrowed_fd(*fd, *events)));
            let left = limit.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            if poll(&mut fds, Some(&timeout)) != Err(Errno::INTR) {
                return fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tripped_cancel_ends_sleep_and_keeps_first_reason() {
        let deadline = Deadline::after(Duration::from_secs(60)).unwrap();
        deadline.cancel().trip(Reason::Signal(15));
        deadline.cancel().trip(Reason::Deadline);
        let begun = Instant::now();
        let stopped = deadline.sleep(Duration::from_secs(30), "testing").unwrap_err();
        assert_eq!(stopped.reason, Reason::Signal(15));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_stage_never_outlives_the_run() {
        let deadline = Deadline::after(Duration::from_millis(10)).unwrap();
        let stage = deadline.at_most(Duration::from_secs(60));
        assert!(stage.sleep(Duration::from_secs(30), "testing").is_err());
    }
}
