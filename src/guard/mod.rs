//! The guard: a companion that starts before the run does anything to the JVM. The guard holds the files that the JVM
//! writes, and knows the changes that the run has made. If the run is killed, the guard gives back the room of these
//! files until the JVM has finished. Then it undoes the changes and ends.
//!
//! A process has one run, and so one guard. Without a guard, as in most other commands, nothing is noted.

pub mod companion;
pub mod message;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use message::Message;
pub use message::Undo;

use crate::compress::block::Section;
use crate::jvm::layout::Layout;
use companion::{Companion, Environment};

/// The process name of a guard.
pub const NAME: &str = "jmap-dump-tool-guard";

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

#[derive(Debug)]
struct Guard {
    companion: Companion,
    next: u64,
    /// True while the JVM dumps.
    dumping: bool,
}

/// Ends the guard when it is dropped.
#[derive(Debug)]
pub struct Watch(());

/// Starts the guard of this run. Without the run, the guard goes on for `limit` at most.
///
/// # Errors
/// When no second process can be started.
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

/// A change that the guard knows. Dropping the note means that the change is undone.
#[derive(Debug)]
#[must_use]
pub struct Note(Option<u64>);

/// Tells the guard about a change, before the change is made.
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

/// Tells the guard that the JVM dumps, and will answer on `connection`.
pub fn dumping(layout: Layout, connection: BorrowedFd<'_>) {
    if let Some(guard) = lock().as_mut() {
        guard.dumping = true;
        tell(guard, &Message::Dumping { layout }, &[connection]);
    }
}

/// Tells the guard that the JVM writes the file `fd`.
pub fn hold(section: Section, fd: BorrowedFd<'_>) {
    if let Some(guard) = lock().as_ref() {
        tell(guard, &Message::Hold { section }, &[fd]);
    }
}

/// Tells the guard that the JVM has finished, or that its dump is given up.
pub fn let_go() {
    if let Some(guard) = lock().as_mut() {
        guard.dumping = false;
        tell(guard, &Message::LetGo, &[]);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(mut guard) = lock().take() else { return };
        // If the JVM still dumps, the guard stays and finishes alone.
        if !guard.dumping {
            tell(&guard, &Message::End, &[]);
            guard.companion.end();
        }
    }
}
