//! Sends operations to a JVM through its attach listener, without any tool of the JDK.

mod answer_stream;
mod attach_file;
mod connection;
mod handshake;
mod patience;
mod protocol;
mod tmp;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::PollFlags;

pub use answer_stream::AnswerStream;
pub use attach_file::STAYS_AFTER_SIGNAL;

pub use protocol::{ARG_MAX, AttachOperation, Reply};

use crate::base::deadline::{Deadline, Stopped, Woken};
use crate::base::faults::door;
use crate::base::identity::{Identity, IdentityError};
use crate::base::printable::printable;
use crate::jvm::Jvm;
use tmp::Tmp;

/// The JVM cannot be attached to, or an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("pid {pid} is an OpenJ9 JVM, which has another attach mechanism and no HPROF dumps")]
    OpenJ9 { pid: i32 },
    #[error("pid {pid} runs as {theirs}, this tool as {ours}: the JVM accepts only its own uid and gid")]
    OtherIdentity { pid: i32, theirs: Identity, ours: Identity, source: Option<IdentityError> },
    #[error("pid {pid} has attaching switched off (-XX:+DisableAttachMechanism)")]
    Disabled { pid: i32 },
    #[error("pid {pid} does not catch SIGQUIT and has no attach socket: the signal would kill it, so it was not sent")]
    WouldKill { pid: i32 },
    #[error("pid {pid}: no directory for the attach socket: {path}: {source}")]
    NoTmp {
        pid: i32,
        path: String,
        /// True if -XX:AltTempDir names the directory.
        told: bool,
        source: io::Error,
    },
    #[error(
        "pid {pid} is closed to this tool: it is not dumpable (it has changed its user since it began), or has \
         capabilities that this tool has not; and its mounts are not ours, so that its files cannot be reached"
    )]
    Closed { pid: i32, source: io::Error },
    #[error("pid {pid}: cannot create the attach file {path}")]
    AttachFile { pid: i32, path: String, source: io::Error },
    #[error("pid {pid}: cannot send SIGQUIT")]
    Signal { pid: i32, source: io::Error },
    #[error("pid {pid}: {path} is in the way of the attach socket: {what}")]
    InTheWay { pid: i32, path: String, what: String },
    #[error("pid {pid}: {path} is in use by another process: {who}")]
    Occupied { pid: i32, path: String, who: String },
    #[error("pid {pid}: nobody listens on the socket {path} of uid {owner}, and it cannot be removed")]
    Stale { pid: i32, path: String, owner: u32, source: io::Error },
    #[error("pid {pid} runs as {theirs}, and the attach socket {path} belongs to uid {owner}")]
    ForeignSocket { pid: i32, path: String, owner: u32, theirs: Identity },
    #[error("pid {pid} is stopped, and did not go on within {seconds} s: it was not signalled")]
    StaysStopped { pid: i32, seconds: u64 },
    #[error("pid {pid} opened no attach socket {path} within {seconds} s")]
    NoAnswer { pid: i32, path: String, seconds: u64 },
    #[error("pid {pid}: cannot connect to {path}")]
    Connect { pid: i32, path: String, source: io::Error },
    #[error("pid {pid}: the connection broke during '{operation}'")]
    Broken { pid: i32, operation: String, source: io::Error },
    #[error("pid {pid} closed the connection without an answer to '{operation}': it refused our identity ({ours})")]
    Refused { pid: i32, operation: String, ours: Identity },
    #[error("pid {pid} ended")]
    Gone { pid: i32 },
    #[error("an argument of '{operation}' is longer than {ARG_MAX} bytes or holds NUL")]
    Argument { operation: String },
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl AttachError {
    /// Returns `Gone` if the JVM ended: that explains any failure of the connection.
    fn unless_gone(self, jvm: &Jvm) -> Self {
        if jvm.target.is_alive() { self } else { Self::Gone { pid: jvm.pid() } }
    }

    pub fn hint(&self) -> String {
        match self {
            Self::OpenJ9 { pid } => {
                format!(
                    "with its own tools: jcmd {pid} Dump.heap FILE makes a .phd, Dump.system a core; neither is HPROF; \
                     Thread.print and GC.class_histogram print threads and classes"
                )
            }
            Self::OtherIdentity { theirs, .. } => format!(
                "run the tool as {theirs} (kubectl exec enters as the container's user; securityContext.runAsUser: {}, \
                 runAsGroup: {}), or as root with the capabilities SETUID and SETGID",
                theirs.uid, theirs.gid
            ),
            Self::Disabled { .. } => {
                "start the JVM without -XX:+DisableAttachMechanism, or with -XX:+HeapDumpOnOutOfMemoryError".into()
            }
            Self::WouldKill { .. } => {
                "a JVM that is still starting needs a moment: try again; with -Xrs add -XX:+StartAttachListener".into()
            }
            Self::NoTmp { told: true, .. } => {
                "-XX:AltTempDir names it: see that it is there, writable for the JVM's user, and with a path of at most 80 \
                 bytes; or start the JVM without that option"
                    .into()
            }
            Self::NoTmp { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run the tool in the JVM's own container and as its user; or in a sidecar, as root with the capabilities \
                 SETUID and SETGID"
                    .into()
            }
            Self::Closed { .. } => {
                "run the tool in the JVM's own container and as its user; or in a sidecar, as the JVM's user where the JVM \
                 is an ordinary process, else as root with the capabilities SETUID, SETGID and SYS_PTRACE"
                    .into()
            }
            Self::NoTmp { .. } | Self::AttachFile { .. } => {
                "the JVM needs a writable /tmp for its attach socket; mount one:\n  \
                 volumeMounts: [{name: tmp, mountPath: /tmp}]\n  volumes: [{name: tmp, emptyDir: {}}]"
                    .into()
            }
            Self::Signal { .. } => "run the tool as the JVM's user, or as root with the capability KILL".into(),
            Self::InTheWay { path, .. } => format!("remove {} and try again", printable(path)),
            Self::Occupied { .. } => {
                "leave it alone; two containers with JVMs of one number share this /tmp: give each its own, and restart \
                 the one that started last"
                    .into()
            }
            Self::Stale { path, .. } => {
                format!("remove it as root: rm {}; or run this tool as root, which does so itself", printable(path))
            }
            Self::ForeignSocket { path, .. } => format!(
                "a JVM of that user may have left it: run this tool as root, which removes it if nobody listens; or, if \
                 no other container uses this /tmp, remove it as root: rm {}",
                printable(path)
            ),
            Self::StaysStopped { pid, .. } => format!(
                "let it go on: kill -CONT {pid}, or detach its debugger; or give it more time with --attach-timeout"
            ),
            Self::NoAnswer { .. } => {
                "it may be far from a safepoint: give it more time with --attach-timeout; or its program gave it -XX:AltTempDir \
                 in a way that cannot be seen from outside: leave the option out".into()
            }
            Self::Connect { .. } | Self::Broken { .. } => "try again; look into the JVM's log".into(),
            Self::Refused { .. } => "run the tool as exactly the uid and gid of the JVM, or as root".into(),
            Self::Gone { .. } => "look for the reason in the pod's events; the next start is another JVM".into(),
            Self::Argument { .. } => "use a shorter --dir; or use a shorter --path".into(),
            Self::Stopped(_) => "give more time with --deadline".into(),
        }
    }
}

/// Most bytes of an answer that are stored: the stacks of some thousand threads. The rest is read and dropped.
const ANSWER_MAX: usize = 4 << 20;

/// A JVM whose attach listener answers.
#[derive(Debug)]
pub struct VirtualMachine<'a> {
    jvm: &'a Jvm,
    tmp: Tmp,
    /// The identity that the JVM sees.
    identity: Identity,
}

impl<'a> VirtualMachine<'a> {
    /// Attaches to the JVM. Tries its socket first. Sends the signal last, and only to a process that catches it.
    ///
    /// # Errors
    /// When it is not possible. All changes are undone then.
    pub fn attach(jvm: &'a Jvm, timeout: Duration, deadline: &Deadline) -> Result<Self, AttachError> {
        handshake::attach(jvm, timeout, deadline)
    }

    pub fn jvm(&self) -> &Jvm {
        self.jvm
    }

    /// Checks what would prevent the attach, as far as that is visible without touching the JVM.
    ///
    /// # Errors
    /// The first obstacle.
    pub fn prospect(jvm: &Jvm) -> Result<(), AttachError> {
        handshake::prospect(jvm)
    }

    /// Notes that the directory of the socket may be removed: JDK 11.0.13 and later create a missing socket again
    /// (JDK-8225690).
    pub fn socket_is_expendable(&self) {
        self.tmp.is_expendable();
    }

    /// Sends an operation and reads its whole answer.
    ///
    /// # Errors
    /// When the JVM refuses, dies, or the run is stopped.
    pub fn execute(&self, operation: &AttachOperation<'_>, deadline: &Deadline) -> Result<Reply, AttachError> {
        self.send(operation, |_| (), deadline)?.finish(deadline)
    }

    /// Sends an operation. [`Pending::finish`] reads the answer. `connected` gets the connection before the JVM gets
    /// the operation.
    ///
    /// # Errors
    /// As [`VirtualMachine::execute`].
    pub fn send(
        &self,
        operation: &AttachOperation<'_>,
        connected: impl FnOnce(BorrowedFd<'_>),
        deadline: &Deadline,
    ) -> Result<Pending<'a>, AttachError> {
        let name = operation.name().to_owned();
        let request = operation.request().ok_or_else(|| AttachError::Argument { operation: name.clone() })?;
        let stream = self.tmp.connect(self.jvm, deadline)?;
        let mut pending =
            Pending { jvm: self.jvm, operation: name, identity: self.identity, stream, answer: Vec::new() };
        connected(pending.stream.as_fd());
        match door("write", || pending.stream.write_all(&request)) {
            // A JVM that refuses us closes the connection at once. The empty answer then reports it.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(pending.broken(error)),
            _ => Ok(pending),
        }
    }
}

/// An operation that the JVM works on.
#[derive(Debug)]
pub struct Pending<'a> {
    jvm: &'a Jvm,
    operation: String,
    identity: Identity,
    stream: UnixStream,
    answer: Vec<u8>,
}

impl Pending<'_> {
    /// Waits for more of the answer, for `time` at most. Returns true when the answer is complete.
    ///
    /// # Errors
    /// When the connection breaks, or the run is stopped.
    pub fn poll(&mut self, time: Duration, deadline: &Deadline) -> Result<bool, AttachError> {
        let mut piece = [0; 4096];
        let Some(n) = self.read_piece(&mut piece, time, deadline)? else { return Ok(false) };
        // Bytes beyond the limit are read too, or the JVM would wait.
        let room = ANSWER_MAX.saturating_sub(self.answer.len());
        self.answer.extend_from_slice(&piece[..n.min(room)]);
        Ok(n == 0)
    }

    /// Reads the next bytes of the answer. Returns 0 at its end, and `None` if none have come within `time`.
    fn read_piece(
        &mut self,
        piece: &mut [u8],
        time: Duration,
        deadline: &Deadline,
    ) -> Result<Option<usize>, AttachError> {
        let what = format!("waiting for pid {} to answer '{}'", self.jvm.pid(), self.operation);
        if deadline.wait(self.stream.as_fd(), PollFlags::IN, time, &what)? == Woken::TimedOut {
            return Ok(None);
        }
        match door("read", || self.stream.read(piece)) {
            Ok(n) => Ok(Some(n)),
            // A JVM that refuses us may reset the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && self.answer.is_empty() => Ok(Some(0)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Waits for the end of the answer.
    ///
    /// # Errors
    /// As [`Pending::poll`]; also when there is no answer at all.
    pub fn finish(mut self, deadline: &Deadline) -> Result<Reply, AttachError> {
        while !self.poll(Duration::from_secs(1), deadline)? {}
        let jvm = self.jvm;
        // The answer of a JVM that was killed may be incomplete: JDK 24 and later send it line by line.
        if jvm.target.is_alive() { self.reply() } else { Err(AttachError::Gone { pid: jvm.pid() }) }
    }

    /// Returns the answer, once [`Pending::poll`] has returned true.
    ///
    /// # Errors
    /// When the answer is empty.
    pub fn reply(self) -> Result<Reply, AttachError> {
        let Self { jvm, operation, identity: ours, answer, .. } = self;
        let refused = AttachError::Refused { pid: jvm.pid(), operation, ours };
        Reply::parse(&answer).ok_or_else(|| refused.unless_gone(jvm))
    }

    fn broken(&self, source: io::Error) -> AttachError {
        AttachError::Broken { pid: self.jvm.pid(), operation: self.operation.clone(), source }.unless_gone(self.jvm)
    }
}
