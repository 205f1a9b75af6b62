//! System calls that touch another process go through [`door`], so that a test can make any of them fail.
//! Builds without debug assertions have no such switch.

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
mod switch {
    use std::io;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// `JMAP_DUMP_FAULT=N:ERRNO` makes the Nth call fail, counted from 1; `NAME/N:ERRNO` the Nth one of that name.
    static FAULT: LazyLock<Option<(String, usize, i32)>> = LazyLock::new(|| {
        let text = std::env::var("JMAP_DUMP_FAULT").ok()?;
        let (which, errno) = text.split_once(':')?;
        let (name, nth) = which.rsplit_once('/').unwrap_or(("", which));
        Some((name.to_owned(), nth.parse().ok()?, errno.parse().ok()?))
    });

    static CALLS: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn due(call: &str) -> Option<io::Error> {
        let (name, nth, errno) = FAULT.as_ref()?;
        if !name.is_empty() && name != call {
            return None;
        }
        let this = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        log::trace!("call {this}: {call}");
        (this == *nth).then(|| {
            log::warn!("call {this}, {call}, fails on demand");
            io::Error::from_raw_os_error(*errno)
        })
    }
}
