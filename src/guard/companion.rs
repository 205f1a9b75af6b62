//! A companion of a run: a second process of this program, with a name of its own. A socket connects the two. When the
//! socket closes, the companion knows that the run is over.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};
use rustix::process::{Pid, WaitOptions, getppid, waitpid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::base::sys;
use crate::base::waiting::until;

/// This program, even if its file was replaced (proc_pid_exe(5)).
const EXE: &str = "/proc/self/exe";

/// Longest time for a companion to end.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Most descriptors in one message.
const FDS_MAX: usize = 2;

/// Longest message. The settings of a run are smaller, and the kernel accepts packets of this size by default
/// (socket(7), wmem_default).
const MESSAGE_MAX: usize = 64 << 10;

/// The environment variables that a companion gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    Inherited,
    /// No variables, because they may hold the keys of a store.
    Empty,
}

/// The run's end of a companion.
#[derive(Debug)]
pub struct Companion {
    name: &'static str,
    control: OwnedFd,
    pid: u32,
}

impl Companion {
    /// Starts the companion. `main` chooses its task by `name`.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn start(name: &'static str, environment: Environment) -> io::Result<Self> {
        let (control, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // A process without a visible parent was started in the container from outside, by the container runtime. The
        // runtime reaps each of its children, so the companion becomes its child. As an orphan, the companion would
        // become a child of the container's first process. That may be the JVM, which would never reap the zombie.
        if getppid().is_none()
            && let Ok(pid) = sys::spawn_sibling(EXE, name, environment == Environment::Inherited, theirs.as_fd())
        {
            return Ok(Self { name, control, pid });
        }
        let pid = spawn_child(name, environment, &theirs)?.id();
        Ok(Self { name, control, pid })
    }

    /// Returns the pid in the pid namespace of this process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a message to the companion.
    ///
    /// # Errors
    /// When the companion is gone.
    pub fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(self.control.as_fd(), message, fds)
    }

    /// Receives the next message. The caller has seen that there is one.
    ///
    /// # Errors
    /// When the companion is gone.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<T> {
        let (message, _) = receive(&self.control)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(message)
    }

    pub fn is_gone(&self) -> bool {
        self.is_gone_within(Duration::ZERO, PollFlags::empty())
    }

    fn is_gone_within(&self, time: Duration, signs: PollFlags) -> bool {
        let timeout = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        let poll_once = || poll(&mut [PollFd::new(&self.control, signs)], Some(&timeout));
        rustix::io::retry_on_intr(poll_once) == Ok(1)
    }

    /// Ends the companion. Waits until it has closed its end of the socket and is no zombie.
    pub fn end(&mut self) {
        // The companion may be gone already.
        let _ = shutdown(&self.control, Shutdown::Write);
        // The companion sends nothing more, so the only event to read is its end. gVisor reports the end in no other
        // way.
        if !self.is_gone_within(END_WITHIN, PollFlags::IN) {
            log::warn!("{} has not ended within {} s", self.name, END_WITHIN.as_secs());
            return;
        }
        let pid = Pid::from_raw(self.pid.cast_signed());
        // A sibling is no child of this process, so waitpid fails at once. In gVisor, which ignores CLONE_PARENT, it is
        // a child.
        let _ = until(END_WITHIN, || (!matches!(waitpid(pid, WaitOptions::NOHANG), Ok(None))).then_some(()));
    }
}

impl AsFd for Companion {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

/// Starts a child. All its standard streams are the control socket, so it keeps no stream of ours open.
fn spawn_child(name: &str, environment: Environment, theirs: &OwnedFd) -> io::Result<Child> {
    let stream = || theirs.try_clone().map(Stdio::from);
    let mut command = Command::new(EXE);
    if environment == Environment::Empty {
        command.env_clear();
    }
    command.arg0(name).stdin(stream()?).stdout(stream()?).stderr(stream()?).spawn()
}

/// Protects a companion from everything that ends the run: its signals, and the end of its terminal session.
pub fn stay_alive() {
    sys::new_session();
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
}

/// Sends one packet of JSON, with descriptors (unix(7), SCM_RIGHTS).
///
/// # Errors
/// When the other end is gone.
pub fn send(control: BorrowedFd<'_>, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::MSGSIZE.into());
    }
    rustix::io::retry_on_intr(|| sendmsg(control, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives the next message and its descriptors; `None` when the other end is gone.
///
/// # Errors
/// When the message cannot be read or parsed.
pub fn receive<T: DeserializeOwned>(control: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        recvmsg(&control, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)
    })?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let fds = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds = fds.flatten().collect();
    Ok(Some((serde_json::from_slice(&bytes[..got.bytes])?, fds)))
}
