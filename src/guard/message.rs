//! What a run tells its guard: one packet each, as JSON, with descriptors beside it (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::attach::Identity;
use crate::heap_dump::Layout;
use crate::spool::Section;
use crate::store::OpenMultipart;

/// No message carries more.
const FDS_MAX: usize = 2;

/// Larger than any settings; the kernel takes packets of this size at its default (socket(7), wmem_default).
const MESSAGE_MAX: usize = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The first one: how long the guard may go on alone.
    Start { limit: Duration },
    /// What is to be undone when the run dies. It is told before it is done.
    Note { id: u64, undo: Undo },
    /// That is undone, or is to stay.
    Forget { id: u64 },
    /// The JVM has been told to dump; beside it, the connection on which it will answer.
    Dumping { layout: Layout },
    /// Beside it, what the JVM writes to.
    Hold { what: Held },
    /// The JVM is done, or what it writes to is given up: nothing is to be held any more.
    LetGo,
    /// The run is over, and has undone everything itself but what is still noted.
    End,
}

/// What the JVM writes to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Held {
    File(Section),
    Pipe,
}

/// What a run leaves behind when it is killed.
#[derive(Debug, Serialize, Deserialize)]
pub enum Undo {
    /// Beside it: its directory, and the one in which the JVM will make its socket.
    AttachFile { name: String, socket: String, identity: Identity },
    /// A /tmp that was missing. Beside it: the root directory, and /tmp.
    Tmp { socket: String, identity: Identity },
    /// The private directory of the dump. Beside it: its parent.
    DumpDir { name: String, identity: Identity },
    /// Files, and directories if they are empty, the outermost first.
    Paths { files: Vec<PathBuf>, dirs: Vec<PathBuf> },
    /// An upload that is not complete.
    Multipart(Box<OpenMultipart>),
}

/// # Errors
/// When the other end is gone.
pub fn send(control: BorrowedFd<'_>, message: &Message, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::MSGSIZE.into());
    }
    rustix::io::retry_on_intr(|| sendmsg(control, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// The next message and its descriptors; `None` when the other end is gone.
///
/// # Errors
/// When it cannot be read or understood.
pub fn receive(control: impl AsFd) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
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
