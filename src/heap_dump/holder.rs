//! The holder: a companion process that has the write ends of the pipes, so that the JVM can open them by names. The
//! names lie below the holder's `/proc` directory. Opening an anonymous pipe never waits for its other end (Linux:
//! `fs/pipe.c`, `fifo_open`). The names end with the holder: whichever process is killed, the JVM gets an error and
//! goes on.
//!
//! The kernel lets the JVM treat the holder as a process of its own, ptrace(2) included. So the holder has nothing that
//! the JVM has not. The holder has the JVM's identity, no capability, no environment, no other descriptor, and an empty
//! root directory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, chdir, chroot, getrlimit};
use serde::{Deserialize, Serialize};

use crate::base::identity::Identity;
use crate::base::{private_memory, sys};
use crate::guard::companion::{self, Companion, Environment, stay_alive};

/// The name under which the program runs as the holder.
pub const NAME: &str = "jmap-dump-tool-holder";

/// The descriptors are the last ones below this number, the usual limit. If a process gets the holder's number after
/// its death, it seldom has as many descriptors. Then the names lead nowhere.
const NUMBERS_BELOW: u64 = 1024;

/// A directory that ends with the process, and whose files tell nothing (proc_pid_fdinfo(5)).
const EMPTY_ROOT: &str = "/proc/self/fdinfo";

/// The run's order to the holder. The write ends come beside it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The JVM's identity.
    pub identity: Identity,
    /// True if the JVM sees the same mounts as the run.
    pub mounts_are_shared: bool,
}

/// The numbers of the descriptors in the holder, or why there are none.
type Answer = Result<Vec<i32>, String>;

/// The run's side of the holder. `Drop` ends the holder.
#[derive(Debug)]
pub struct Holder(Companion);

impl Holder {
    /// Starts the holder.
    ///
    /// # Errors
    /// When no further process can be started.
    pub fn start(order: &Order, write_ends: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let companion = Companion::start(NAME, Environment::Empty)?;
        companion.send(order, write_ends)?;
        Ok(Self(companion))
    }

    /// Returns the names of the write ends for the JVM, in the order of the write ends. The caller has waited until the
    /// holder can be read from.
    ///
    /// # Errors
    /// When the holder could not take the JVM's identity or arrange its descriptors.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let numbers = self.0.receive::<Answer>()?.map_err(io::Error::other)?;
        Ok(numbers.iter().map(|number| format!("/proc/{}/fd/{number}", self.0.pid())).collect())
    }

    /// Returns whether the holder has ended before its time.
    pub fn is_gone(&self) -> bool {
        self.0.is_gone()
    }
}

impl AsFd for Holder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Runs the holder's own process. Standard input is the control socket, and the process ends when that ends.
pub fn hold_pipes() {
    stay_alive();
    let closed = sys::close_all_but_standard();
    let Ok(Some((order, write_ends))) = companion::receive::<Order>(std::io::stdin()) else { return };
    let held = closed.and_then(|()| become_theirs(&order)).and_then(|()| renumber(&write_ends));
    drop(write_ends);
    let numbers = held.as_ref().map(|held| held.iter().map(AsRawFd::as_raw_fd).collect());
    let answer: Answer = numbers.map_err(ToString::to_string);
    if companion::send(std::io::stdin().as_fd(), &answer, &[]).is_ok() {
        // The run sends nothing more: this call waits until the run has ended.
        let _ = companion::receive::<Order>(std::io::stdin());
    }
}

/// Gives up all that the JVM does not have, and lets the JVM look at this process (ptrace(2), "Ptrace access mode
/// checking").
fn become_theirs(order: &Order) -> io::Result<()> {
    // A core dump would lie where nobody looks for it.
    private_memory::without_core()?;
    hide_root(order)?;
    order.identity.take_for_good()?;
    // The change of identity has closed the process (Linux: `kernel/cred.c`, `commit_creds`).
    private_memory::open()
}

/// Replaces the root directory. Otherwise the JVM's user could read the run's files by `/proc/HOLDER/root`.
fn hide_root(order: &Order) -> io::Result<()> {
    // True if the JVM sees these files anyway, or its user may look at other processes that see them.
    let is_theirs = order.mounts_are_shared || order.identity == Identity::current();
    match chroot(EMPTY_ROOT) {
        Err(errno) if !is_theirs => return Err(errno.into()),
        _ => {}
    }
    Ok(chdir("/")?)
}

fn renumber(write_ends: &[OwnedFd]) -> io::Result<Vec<OwnedFd>> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(NUMBERS_BELOW).min(NUMBERS_BELOW);
    let first = i32::try_from(limit.saturating_sub(write_ends.len() as u64)).map_err(io::Error::other)?;
    write_ends.iter().map(|end| Ok(fcntl_dupfd_cloexec(end, first)?)).collect()
}
