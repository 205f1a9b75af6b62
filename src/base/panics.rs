//! Panics of any thread. Each panic is a fault of this program: one line reports it, and the exit status is 1.

use std::any::Any;
use std::backtrace::Backtrace;
use std::panic::{UnwindSafe, catch_unwind, set_hook};
use std::sync::{Mutex, PoisonError};

use super::printable::printable;

static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// Installs a hook that notes a panic instead of printing it. The thread still unwinds, and its `Drop`s undo what it
/// made.
pub fn note_all() {
    set_hook(Box::new(|info| {
        let location = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        let words: String = printable(message(info.payload())).chars().take(500).collect();
        log::debug!("panic at {location}: {words}");
        Backtrace::force_capture().to_string().lines().for_each(|line| log::debug!("{line}"));
        FIRST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| format!("at {location}: {words}"));
    }));
}

/// Returns the source line and the message of the first panic.
pub fn first() -> Option<String> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Runs `work` until it returns or panics.
///
/// # Errors
/// The value of the panic.
pub fn caught<T>(work: impl FnOnce() -> T + UnwindSafe) -> std::thread::Result<T> {
    catch_unwind(work)
}

/// Returns the message of a panic.
pub fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it has panicked")
}
