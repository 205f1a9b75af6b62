//! Two pipes that the JVM can open by name, and that never keep it waiting. They exist before the JVM is asked for
//! anything. If the JVM could not open them, nothing is done to it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::{AtFlags, fstat, statat};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::holder::{Holder, Order};
use crate::base::deadline::{Deadline, Stopped, Woken};
use crate::base::faults::door;
use crate::compress::pages::PAGE;
use crate::files::regular_file::open_pipe_for_writing;
use crate::jvm::{Jvm, PROC};
use crate::kept::dump_dir::shares_namespace;

/// Time within which the holder must make its pipes ready for the JVM.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// The JVM cannot be given a pipe.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    #[error("pid {pid} cannot be given a pipe: it is in another {namespace} namespace than this tool")]
    OtherNamespace { pid: i32, namespace: &'static str },
    #[error("pid {pid} cannot be given a pipe: it does not reach {path}")]
    OutOfReach { pid: i32, path: String, source: io::Error },
    #[error("pid {pid} cannot be given a pipe: no process can hold it")]
    NoHolder { pid: i32, source: io::Error },
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl PipeError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OtherNamespace { .. } | Self::OutOfReach { .. } => {
                "run the tool in the JVM's own container (kubectl exec, or kubectl debug --target), or leave --no-disk \
                 away and name a directory with --dir; nothing was done to the JVM"
            }
            Self::NoHolder { .. } => {
                "leave --no-disk away and name a directory with --dir; nothing was done to the JVM"
            }
            Self::Stopped(_) => "give more time with --deadline",
        }
    }
}

/// Two pipes for one dump.
#[derive(Debug)]
pub struct PipePair {
    /// The read ends, which never block. This process alone has them.
    pub read_ends: Vec<OwnedFd>,
    /// Paths that the JVM opens to write into the pipes.
    pub names: Vec<String>,
    pub holder: Holder,
}

impl PipePair {
    /// Makes the pipes, and checks that the JVM can open them.
    ///
    /// # Errors
    /// When the JVM cannot open them, no process can hold them, or the run is stopped.
    pub fn open(jvm: &Jvm, deadline: &Deadline) -> Result<Self, PipeError> {
        let (pid, identity) = (jvm.pid(), jvm.identity);
        for namespace in ["pid", "user"] {
            if shares_namespace(&jvm.target, identity, namespace) == Some(false) {
                return Err(PipeError::OtherNamespace { pid, namespace });
            }
        }
        let no_holder = |source| PipeError::NoHolder { pid, source };
        // A pipe belongs to the user who makes it, and its mode is 0600 (Linux: `fs/pipe.c`, `get_pipe_inode`).
        let pipes = identity.io(|| Ok([make()?, make()?])).map_err(no_holder)?;
        let (read_ends, write_ends): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
        let mounts_are_shared = shares_namespace(&jvm.target, identity, "mnt") == Some(true);
        let order = Order { identity, mounts_are_shared };
        let fds: Vec<_> = write_ends.iter().map(AsFd::as_fd).collect();
        let holder = Holder::start(&order, &fds).map_err(no_holder)?;
        drop(write_ends);
        let what = "waiting for the process that holds the pipes";
        if deadline.wait(holder.as_fd(), PollFlags::IN, READY_WITHIN, what)? == Woken::TimedOut {
            return Err(no_holder(io::ErrorKind::TimedOut.into()));
        }
        let names = holder.names().map_err(no_holder)?;
        for (path, end) in names.iter().zip(&read_ends) {
            let reached = identity.io(|| reach(jvm, path, end));
            reached.map_err(|source| PipeError::OutOfReach { pid, path: path.clone(), source })?;
        }
        Ok(Self { read_ends, names, holder })
    }
}

fn make() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read_end, write_end) = door("pipe2", || Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?))?;
    // A JVM writes up to this size at a time. If the user's limit is lower, a smaller pipe will do.
    if let Err(errno) = fcntl_setpipe_size(&read_end, PAGE) {
        log::debug!("a pipe stays small: {errno}");
    }
    Ok((read_end, write_end))
}

/// Opens the write end of `end` as the JVM would: by the JVM's own /proc.
fn reach(jvm: &Jvm, path: &str, end: &OwnedFd) -> io::Result<()> {
    let proc = jvm.target.open_dir(PROC)?;
    let name = path.trim_start_matches(PROC).trim_start_matches('/');
    let (theirs, ours) = (door("statat", || Ok(statat(&proc, name, AtFlags::empty())?))?, fstat(end)?);
    // The JVM may show anything as its /proc, so the file is opened only if it is the pipe.
    if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino) {
        return Err(io::Error::other("another file has its name there"));
    }
    door("openat", || open_pipe_for_writing(&proc, name))?;
    Ok(())
}
