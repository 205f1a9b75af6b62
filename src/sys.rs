//! The only file with unsafe code: what no safe wrapper does right.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The process at the other end of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// `None` when its pid namespace is hidden from us: the kernel says 0 (pid_namespaces(7)), for which rustix has
    /// no value.
    pub pid: Option<i32>,
    pub uid: u32,
}

/// Who made the other end, by SO_PEERCRED (unix(7)).
///
/// # Errors
/// When the socket is none of that kind.
pub fn peer_of(socket: impl AsFd) -> io::Result<Peer> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; `credentials` and `len` live here, `len` is the size of
    // `credentials`, and any bytes are a valid ucred.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut len,
        )
    };
    if outcome == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(Peer { pid: (credentials.pid > 0).then_some(credentials.pid), uid: credentials.uid })
}

/// Starts `exe` under the name `name` as a child of this process's own parent (CLONE_PARENT, clone(2)), which no
/// safe wrapper does. `stream` is its standard input, output and error.
///
/// # Errors
/// When the kernel makes no process: this one is the first of its pid namespace, for example.
pub fn spawn_sibling(exe: &str, name: &str, stream: BorrowedFd<'_>) -> io::Result<()> {
    let (exe, name) = (CString::new(exe)?, CString::new(name)?);
    let words = [name.as_ptr(), std::ptr::null()];
    let (stream, none) = (stream.as_raw_fd(), 0_usize);
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the child has its own copy of the memory. It makes nothing but system calls until it
    // becomes another program or ends, so that no lock of a thread that it does not have is waited for; `exe` and
    // `words` are NUL-terminated and live until then.
    unsafe {
        match libc::syscall(libc::SYS_clone, libc::c_long::from(flags), none, none, none, none) {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                for standard in 0..3 {
                    libc::dup2(stream, standard);
                }
                libc::execv(exe.as_ptr(), words.as_ptr());
                libc::_exit(127)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_of_a_pair_is_this_process() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let peer = peer_of(&one).unwrap();
        assert_eq!(peer.pid, Some(std::process::id().cast_signed()));
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert!(peer_of(std::io::stdin()).is_err());
    }
}
