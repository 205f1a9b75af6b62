//! System calls that touch another process, and the stages of a dump, go through [`door`], so that a test can make any
//! of them fail. Builds without debug assertions have no such switch.

use std::io;

/// Makes the call, unless a test wants it to fail.
///
/// # Errors
/// The call's own.
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

    /// A day: no test waits so long.
    const HANGS_FOR: Duration = Duration::from_secs(24 * 3600);

    struct Fault {
        /// Of the calls that count; empty for all.
        name: String,
        nth: usize,
        /// A number of errno(3), `panic` or `hang`.
        what: String,
        calls: usize,
    }

    /// `JMAP_DUMP_FAULT=N:ERRNO` makes the Nth call fail, counted from 1; `NAME/N:ERRNO` the Nth one of that name.
    /// In the place of ERRNO, `panic` ends the thread, and `hang` keeps it as a disk would that does not answer.
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

    /// Sets the fault of this process, in the form of the variable; says how many calls counted for the last one.
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
