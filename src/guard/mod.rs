//! The guard: a companion that is started before anything is done to the JVM. It holds the files that the JVM writes
//! to, and knows what the run has made. When the run is killed, the guard releases these files until the JVM is done,
//! removes what is left, and ends.
//!
//! There is one run in a process, and so one guard. Without one, as in the other commands, nothing is noted.

pub mod companion;
pub mod message;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use message::Message;
pub use message::Undo;

use crate::compress::spool::Section;
use crate::jvm::layout::Layout;
use companion::{Companion, Environment};

/// By this name the program is the guard.
pub const NAME: &str = "jmap-dump-tool-guard";

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

#[derive(Debug)]
struct Guard {
    companion: Companion,
    next: u64,
    /// The JVM is at its dump.
    dumping: bool,
}

/// While it lives, the guard does.
#[derive(Debug)]
pub struct Watch(());

/// Starts the guard of this run. Alone, it goes on for `limit`.
///
/// # Errors
/// When there can be no second process.
pub fn start(limit: Duration) -> io::Result<Watch> {
    let companion = Companion::start(NAME, Environment::Inherited)?;
    companion.send(&Message::Start { limit }, &[])?;
    *lock() = Some(Guard { companion, next: 0, dumping: false });
    Ok(Watch(()))
}

fn lock() -> MutexGuard<'static, Option<Guard>> {
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(guard: &Guard, message: &Message, fds: &[BorrowedFd<'_>]) {
    if let Err(error) = guard.companion.send(message, fds) {
        log::debug!("the guard does not listen: {error}");
    }
}

/// What was made and is not yet undone; forgotten in `Drop`.
#[derive(Debug)]
#[must_use]
pub struct Note(Option<u64>);

/// Notes what is to be undone when this run is killed, before it is done.
pub fn note(undo: Undo, fds: &[BorrowedFd<'_>]) -> Note {
    let mut guard = lock();
    Note(guard.as_mut().map(|guard| {
        guard.next += 1;
        tell(guard, &Message::Note { id: guard.next, undo }, fds);
        guard.next
    }))
}

impl Drop for Note {
    fn drop(&mut self) {
        if let (Some(guard), Some(id)) = (lock().as_ref(), self.0) {
            tell(guard, &Message::Forget { id }, &[]);
        }
    }
}

/// The JVM has been told to dump, and will answer on `connection`.
pub fn dumping(layout: Layout, connection: BorrowedFd<'_>) {
    if let Some(guard) = lock().as_mut() {
        guard.dumping = true;
        tell(guard, &Message::Dumping { layout }, &[connection]);
    }
}

/// The JVM writes to the file `fd`.
pub fn hold(section: Section, fd: BorrowedFd<'_>) {
    if let Some(guard) = lock().as_ref() {
        tell(guard, &Message::Hold { section }, &[fd]);
    }
}

/// The JVM is done, or its dump is given up.
pub fn let_go() {
    if let Some(guard) = lock().as_mut() {
        guard.dumping = false;
        tell(guard, &Message::LetGo, &[]);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(mut guard) = lock().take() else { return };
        // A JVM that still dumps is left to the guard.
        if !guard.dumping {
            tell(&guard, &Message::End, &[]);
            guard.companion.end();
        }
    }
}
