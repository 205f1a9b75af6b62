//! The guard: this program once more, in a session of its own, started before anything is done to the JVM. It holds
//! what the JVM writes to, and knows what the run has made. When the run is killed, the guard goes on releasing or
//! draining until the JVM is done, removes what is left, and ends.
//!
//! There is one run in a process, and so one guard. Without one, as in the other commands, nothing is noted.

mod keeper;
mod message;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, getppid, waitpid};

pub use keeper::keep_watch;
pub use message::{Held, Undo};
use message::{Message, send};

use crate::heap_dump::Layout;

/// By this name the program is the guard.
pub const NAME: &str = "jmap-dump-tool-guard";

/// The program itself, whatever became of its file (proc_pid_exe(5)).
const EXE: &str = "/proc/self/exe";

/// How long the guard's own end may take.
const END_WITHIN: Duration = Duration::from_secs(2);

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

#[derive(Debug)]
struct Guard {
    control: OwnedFd,
    pid: Option<Pid>,
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
    let (control, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // A process that was put into a container has its parent outside: a runtime, which waits for whatever child it
    // gets. The container's first process may be the JVM, which would leave an orphan as a zombie.
    let sibling = getppid().is_none().then(|| crate::sys::spawn_sibling(EXE, NAME, theirs.as_fd()));
    let pid = match sibling {
        Some(Ok(pid)) => pid,
        _ => spawn_child(&theirs)?.id().cast_signed(),
    };
    drop(theirs);
    send(control.as_fd(), &Message::Start { limit }, &[])?;
    *lock() = Some(Guard { control, pid: Pid::from_raw(pid), next: 0, dumping: false });
    Ok(Watch(()))
}

/// All its standard streams are the control socket: none of ours stays open with it.
fn spawn_child(theirs: &OwnedFd) -> io::Result<Child> {
    let stream = || theirs.try_clone().map(Stdio::from);
    Command::new(EXE).arg0(NAME).stdin(stream()?).stdout(stream()?).stderr(stream()?).spawn()
}

fn lock() -> MutexGuard<'static, Option<Guard>> {
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(guard: &Guard, message: &Message, fds: &[BorrowedFd<'_>]) {
    if let Err(error) = send(guard.control.as_fd(), message, fds) {
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

/// The JVM writes to `fd`.
pub fn hold(what: Held, fd: BorrowedFd<'_>) {
    if let Some(guard) = lock().as_ref() {
        tell(guard, &Message::Hold { what }, &[fd]);
    }
}

/// The JVM is done, or what it writes to is given up.
pub fn let_go() {
    if let Some(guard) = lock().as_mut() {
        guard.dumping = false;
        tell(guard, &Message::LetGo, &[]);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(guard) = lock().take() else { return };
        // A JVM that still dumps is left to the guard.
        if !guard.dumping {
            tell(&guard, &Message::End, &[]);
            guard.wait();
        }
    }
}

impl Guard {
    /// Until it has closed its end of the control socket, and is no zombie.
    fn wait(self) {
        let timeout = Timespec { tv_sec: END_WITHIN.as_secs().cast_signed(), tv_nsec: 0 };
        // It says nothing, so that all there can be to read is its end, by which alone gVisor tells of it.
        let gone = poll(&mut [PollFd::new(&self.control, PollFlags::IN | PollFlags::HUP)], Some(&timeout));
        if gone != Ok(1) {
            log::warn!("the guard has not ended within {} s", END_WITHIN.as_secs());
            return;
        }
        let begun = Instant::now();
        // A sibling is no child of ours, but in gVisor, which knows no CLONE_PARENT.
        while matches!(waitpid(self.pid, WaitOptions::NOHANG), Ok(None)) && begun.elapsed() < END_WITHIN {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
