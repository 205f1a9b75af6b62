//! Panics of any thread: each is a fault of this program, is told in one line, and ends it with 1.

use std::any::Any;
use std::backtrace::Backtrace;
use std::panic::{UnwindSafe, catch_unwind, set_hook};
use std::sync::{Mutex, PoisonError};

use super::printable::printable;

static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// From now on a panic is noted instead of printed. It unwinds all the same, and what a thread has made is undone.
pub fn note_all() {
    set_hook(Box::new(|info| {
        let place = info.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        let words: String = printable(message(info.payload())).chars().take(500).collect();
        log::debug!("panic at {place}: {words}");
        Backtrace::force_capture().to_string().lines().for_each(|line| log::debug!("{line}"));
        FIRST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| format!("at {place}: {words}"));
    }));
}

/// Where the first one was, and its words.
pub fn first() -> Option<String> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Runs `work` up to its end or its panic.
///
/// # Errors
/// With what it has panicked with.
pub fn caught<T>(work: impl FnOnce() -> T + UnwindSafe) -> std::thread::Result<T> {
    catch_unwind(work)
}

/// The words of a panic.
pub fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it has panicked")
}
