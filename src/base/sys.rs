//! The only file with unsafe code: what no safe wrapper does right.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU8, Ordering};

/// A standard stream by its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    Input = 0,
    Output = 1,
}

/// The standard descriptors that were closed when the program started: bit N for descriptor N.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// The C library calls it before `main`. Rust's own start opens /dev/null in the place of what is closed (Rust:
/// `library/std/src/sys/pal/unix/mod.rs`, `sanitize_standard_fds`), and nobody can tell after that.
// SAFETY: each address in this section is that of a function which the C library calls once, without arguments that this
// one would take (System V ABI, "Initialization and Termination Functions"). It makes only system calls.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_CLOSED: extern "C" fn() = note_closed;

extern "C" fn note_closed() {
    for fd in 0..3_u8 {
        // SAFETY: the call takes no pointer, and changes nothing.
        if unsafe { libc::fcntl(i32::from(fd), libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
}

/// Whether the descriptor was closed when the program started.
pub fn was_closed(standard: Standard) -> bool {
    CLOSED.load(Ordering::Relaxed) & 1 << standard as u8 != 0
}

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

/// Linux: `include/uapi/asm-generic/fcntl.h`; libc does not know it for musl.
const F_SETSIG: libc::c_int = 10;

/// Whether no process has this file open for writing: only then does the kernel give a read lease (fcntl(2),
/// F_SETLEASE), for which there is no safe wrapper. It is given back at once.
///
/// # Errors
/// When the file is not ours, or its file system knows no leases: then nobody can tell.
pub fn nobody_writes(file: impl AsFd) -> io::Result<bool> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open while it is borrowed, and none of these commands takes a pointer. Whoever opens
    // the file meanwhile makes the kernel send the signal that F_SETSIG names: SIGURG, which is ignored by default.
    let outcome = unsafe {
        libc::fcntl(fd, F_SETSIG, libc::SIGURG);
        let outcome = libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK);
        if outcome == 0 { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) } else { outcome }
    };
    match outcome {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EAGAIN) => Ok(false),
            error => Err(error),
        },
        _ => Ok(true),
    }
}

/// Starts `exe` under the name `name` as a child of this process's own parent (CLONE_PARENT, clone(2)), which no
/// safe wrapper does. `stream` is its standard input, output and error. Without `environment` it gets no variable.
/// Returns its number.
///
/// # Errors
/// When the kernel makes no process: this one is the first of its pid namespace, for example.
pub fn spawn_sibling(exe: &str, name: &str, environment: bool, stream: BorrowedFd<'_>) -> io::Result<u32> {
    let (exe, name) = (CString::new(exe)?, CString::new(name)?);
    let words = [name.as_ptr(), std::ptr::null()];
    let no_variables = [std::ptr::null()];
    let (stream, none) = (stream.as_raw_fd(), 0_usize);
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the child has its own copy of the memory. It makes nothing but system calls until it
    // becomes another program or ends, so that no lock of a thread that it does not have is waited for; `exe`,
    // `words` and `no_variables` end with NUL and live until then.
    unsafe {
        match libc::syscall(libc::SYS_clone, libc::c_long::from(flags), none, none, none, none) {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                for standard in 0..3 {
                    libc::dup2(stream, standard);
                }
                if environment {
                    libc::execv(exe.as_ptr(), words.as_ptr());
                } else {
                    libc::execve(exe.as_ptr(), words.as_ptr(), no_variables.as_ptr());
                }
                libc::_exit(127)
            }
            pid => u32::try_from(pid).map_err(io::Error::other),
        }
    }
}

/// Closes all descriptors but the three standard ones, for a process that owns no other.
///
/// # Errors
/// When /proc does not tell which are open.
pub fn close_all_but_standard() -> io::Result<()> {
    let names = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| Some(entry.ok()?.file_name()));
    // The list's own descriptor is closed behind it.
    let open: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // SAFETY: no value of this process stands for a descriptor that it has inherited.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Makes this process the leader of a session of its own, if it leads no process group (setsid(2)). gVisor gives 0 for
/// the new session, which rustix takes for no possible number of a process, and panics.
pub fn new_session() {
    // SAFETY: it takes no pointer, and changes nothing that Rust knows of.
    unsafe {
        libc::setsid();
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

    #[test]
    fn a_file_that_somebody_has_open_for_writing_is_being_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reader = std::fs::File::open(file.path()).unwrap();
        assert!(!nobody_writes(&reader).unwrap());
        let path = file.into_temp_path();
        assert!(nobody_writes(&reader).unwrap());
        let writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        assert!(!nobody_writes(&reader).unwrap());
        drop(writer);
        assert!(nobody_writes(&reader).unwrap());
    }
}
