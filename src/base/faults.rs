//! Faults on demand. System calls on other processes and the stages of a dump go through [`door`], so that a test can
//! make each of them fail. Release builds do not contain the faults.

use std::io;

/// Makes the call, unless a test wants it to fail.
///
/// # Errors
/// The error of `make`, or the fault that the test has set.
pub fn door<T>(call: &str, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    #[cfg(debug_assertions)]
    if let Some(error) = switch::due(call) {
        return Err(error);
    }
    #[cfg(not(debug_assertions))]
    let _ = call;
    make()
}

#[cfg(debug_assertions)]
pub use switch::arm;

#[cfg(debug_assertions)]
mod switch {
    use std::io;
    use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use crate::base::waiting::pause;

    /// One day. No test waits so long.
    const HANGS_FOR: Duration = Duration::from_secs(24 * 3600);

    struct Fault {
        /// Name of the calls that count; empty for all calls.
        name: String,
        nth: usize,
        /// An errno(3) number, `panic` or `hang`.
        what: String,
        calls: usize,
    }

    /// `JMAP_DUMP_FAULT=N:ERRNO` makes call N fail, counted from 1. `NAME/N:ERRNO` counts only the calls of that name.
    /// `panic` instead of ERRNO ends the thread. `hang` stops it, as a disk does that does not answer.
    static FAULT: LazyLock<Mutex<Option<Fault>>> =
        LazyLock::new(|| Mutex::new(std::env::var("JMAP_DUMP_FAULT").ok().and_then(|text| parse(&text))));

    fn parse(text: &str) -> Option<Fault> {
        let (which, what) = text.rsplit_once(':')?;
        let (name, nth) = which.rsplit_once('/').unwrap_or(("", which));
        Some(Fault { name: name.to_owned(), nth: nth.parse().ok()?, what: what.to_owned(), calls: 0 })
    }

    fn lock() -> MutexGuard<'static, Option<Fault>> {
        FAULT.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the fault of this process, in the format of `JMAP_DUMP_FAULT`. Returns how many calls the last fault has
    /// counted.
    pub fn arm(text: &str) -> usize {
        std::mem::replace(&mut *lock(), parse(text)).map_or(0, |fault| fault.calls)
    }

    pub(crate) fn due(call: &str) -> Option<io::Error> {
        let mut held = lock();
        let fault = held.as_mut().filter(|fault| fault.name.is_empty() || fault.name == call)?;
        fault.calls += 1;
        log::trace!("call {}: {call}", fault.calls);
        if fault.calls != fault.nth {
            return None;
        }
        log::warn!("call {}, {call}, fails on demand", fault.calls);
        let what = fault.what.clone();
        drop(held);
        match what.as_str() {
            "panic" => panic!("{call} panics on demand"),
            "hang" => {
                pause(HANGS_FOR);
                None
            }
            errno => Some(io::Error::from_raw_os_error(errno.parse().unwrap_or(5))),
        }
    }
}
