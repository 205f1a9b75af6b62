//! Connections to the attach socket, and the process that listens on it.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_to, socket_with};

use super::AttachError;
use super::patience::Patience;
use super::tmp::Tmp;
use crate::base::deadline::Deadline;
use crate::base::faults::door;
use crate::base::sys::{Peer, peer_of};
use crate::jvm::Jvm;

/// Interval of trying again while the queue of the listener is full.
const AGAIN: Duration = Duration::from_millis(10);

impl Tmp {
    /// Opens a connection for one operation, with the identity that the JVM accepts.
    pub fn connect(&self, jvm: &Jvm, deadline: &Deadline) -> Result<UnixStream, AttachError> {
        let path = self.path_by_fd();
        let error = |source| {
            let failed = AttachError::Connect { pid: jvm.pid(), path: self.socket_path(jvm), source };
            failed.unless_gone(jvm)
        };
        let mut patience = Patience::new();
        loop {
            match self.identity.io(|| door("connect", || connect_nonblocking(&path))) {
                // The queue of the listener is full: other clients wait before us.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let what = format!("waiting behind others for the attach listener of pid {}", jvm.pid());
                    deadline.sleep(AGAIN, &what)?;
                    patience.tell(&what);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(error(source)),
                Ok(stream) => {
                    stream.set_nonblocking(false).map_err(error)?;
                    self.must_be_of(jvm, &stream)?;
                    return Ok(stream);
                }
            }
        }
    }

    /// Checks that the JVM itself listens. Containers that share /tmp may have JVMs with the same pid.
    fn must_be_of(&self, jvm: &Jvm, stream: &UnixStream) -> Result<(), AttachError> {
        match door("getsockopt", || peer_of(stream)) {
            Ok(Peer { pid: Some(pid), .. }) if pid == jvm.pid() => Ok(()),
            // gVisor returns the pid of the client, not of the listener (`pkg/sentry/socket/netstack`, SO_PEERCRED).
            // This process never listens.
            Ok(Peer { pid: Some(pid), .. }) if pid.unsigned_abs() == std::process::id() => Ok(()),
            Ok(Peer { pid: Some(pid), .. }) => Err(self.occupied(jvm, format!("pid {pid} listens on it"))),
            Ok(Peer { pid: None, .. }) => {
                Err(self.occupied(jvm, "a process of another container listens on it".into()))
            }
            Err(source) => Err(AttachError::Connect { pid: jvm.pid(), path: self.socket_path(jvm), source }),
        }
    }

    /// Returns a path through the held directory. A path through /proc/PID/root could lead to another process by now.
    fn path_by_fd(&self) -> String {
        format!("/proc/self/fd/{}/{}", self.dir.as_raw_fd(), self.socket_name)
    }

    /// Returns whether no process listens, by a connection with our own rights. Root may connect to any socket.
    pub(super) fn nobody_listens(&self) -> bool {
        let asked = connect_nonblocking(&self.path_by_fd());
        asked.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

fn connect_nonblocking(path: &str) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect_to(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}
