//! The only file with unsafe code. Each function here has no correct safe wrapper.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU8, Ordering};

/// A standard stream, numbered by its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    Input = 0,
    Output = 1,
}

/// Bit N is set if standard descriptor N was closed when the program started.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Notes the closed descriptors before `main`. The start code of Rust opens /dev/null for each of them, and nobody can
/// tell afterwards (Rust: `library/std/src/sys/pal/unix/mod.rs`, `sanitize_standard_fds`).
// SAFETY: the C library calls each function in this section once, with arguments that this function does not read
// (System V ABI, "Initialization and Termination Functions"). The function makes only system calls.
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

/// Returns whether the descriptor was closed when the program started.
pub fn was_closed(standard: Standard) -> bool {
    CLOSED.load(Ordering::Relaxed) & 1 << standard as u8 != 0
}

/// The process at the other end of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// `None` when its pid namespace is hidden from us. The kernel then says 0 (pid_namespaces(7)), and rustix has no
    /// value for 0.
    pub pid: Option<i32>,
    pub uid: u32,
}

/// Returns the process that made the other end, by SO_PEERCRED (unix(7)).
///
/// # Errors
/// When the descriptor is not such a socket.
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

/// A command of fcntl(2) (Linux: `include/uapi/asm-generic/fcntl.h`). The libc crate does not define it for musl.
const F_SETSIG: libc::c_int = 10;

/// Returns whether no process has this file open for writing. Only then does the kernel give a read lease (fcntl(2),
/// F_SETLEASE), which is given back at once. No safe wrapper knows leases.
///
/// # Errors
/// When the file is not ours, or its file system has no leases: then nobody can tell.
pub fn nobody_writes(file: impl AsFd) -> io::Result<bool> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open while it is borrowed, and none of these commands takes a pointer. If a process
    // opens the file meanwhile, the kernel sends the signal of F_SETSIG: SIGURG, which is ignored by default.
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

/// Starts `exe` under the name `name` as a child of this process's parent (CLONE_PARENT, clone(2)). No safe wrapper
/// does that. `stream` is its standard input, output and error. Without `environment` the process gets no variables.
/// Returns its pid.
///
/// # Errors
/// When the kernel makes no process, for example because this process is the first of its pid namespace.
pub fn spawn_sibling(exe: &str, name: &str, environment: bool, stream: BorrowedFd<'_>) -> io::Result<u32> {
    let (exe, name) = (CString::new(exe)?, CString::new(name)?);
    let words = [name.as_ptr(), std::ptr::null()];
    let no_variables = [std::ptr::null()];
    let (stream, none) = (stream.as_raw_fd(), 0_usize);
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the child has its own copy of the memory. The child makes only system calls until it
    // becomes another program or ends. So it never waits for a lock of a thread that was not copied. `exe`, `words` and
    // `no_variables` end with NUL and live until then.
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

/// Closes all descriptors but the three standard ones, in a process that uses no other.
///
/// # Errors
/// When /proc does not list the open descriptors.
pub fn close_all_but_standard() -> io::Result<()> {
    let names = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| Some(entry.ok()?.file_name()));
    // The descriptor of the list itself is closed by now; closing its number again does no harm.
    let open: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // SAFETY: no value of this process owns an inherited descriptor.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Makes this process the leader of a new session, unless it leads a process group (setsid(2)). rustix would panic in
/// gVisor, which returns 0 for the new session.
pub fn new_session() {
    // SAFETY: the call takes no pointer, and changes nothing that Rust knows of.
    unsafe {
        libc::setsid();
    }
}

/// Gives this thread the processor only when no other thread of its cgroup wants it (SCHED_IDLE, sched(7)). musl's own
/// function refuses (musl: `src/sched/sched_setscheduler.c`).
///
/// # Errors
/// When the kernel or a filter of system calls refuses.
pub fn yield_to_all() -> io::Result<()> {
    let priority: libc::c_int = 0;
    // SAFETY: the kernel reads a `struct sched_param`, which is one int (Linux: `include/uapi/linux/sched/types.h`), and
    // `priority` lives through the call. Thread 0 is the calling one.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_IDLE, &raw const priority) };
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A level of ISA-L.
#[cfg(feature = "isal")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IgzipLevel {
    Zero = 0,
    One = 1,
    Three = 3,
}

/// The compressor of ISA-L. Its tables are made once. The safe wrapper makes them, and clears them, for each call.
#[cfg(feature = "isal")]
pub struct Igzip {
    stream: Box<isal_sys::igzip_lib::isal_zstream>,
    level: IgzipLevel,
    /// Memory of the level. ISA-L keeps pointers in it, hence the alignment.
    tables: Vec<u64>,
}

#[cfg(feature = "isal")]
impl Igzip {
    pub fn new(level: IgzipLevel) -> Self {
        use isal_sys::igzip_lib::{ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_MEDIUM, ISAL_DEF_LVL3_DEFAULT};
        let bytes = match level {
            IgzipLevel::Zero => ISAL_DEF_LVL0_DEFAULT,
            // Huffman tables for each 32 Ki tokens: 1 % smaller than with 64 Ki, which is the default, in the same time.
            IgzipLevel::One => ISAL_DEF_LVL1_MEDIUM,
            IgzipLevel::Three => ISAL_DEF_LVL3_DEFAULT,
        };
        // SAFETY: the fields are integers and pointers, and zero is a value of each.
        let stream = unsafe { Box::new_zeroed().assume_init() };
        Self { stream, level, tables: vec![0; bytes as usize / size_of::<u64>()] }
    }

    /// Appends `raw` as a deflate stream, its CRC and its length, to `out`, which must have room for that.
    ///
    /// # Errors
    /// The code of ISA-L (`igzip_lib.h`), for example -1 when `out` has no room.
    pub fn deflate(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), i32> {
        use isal_sys::igzip_lib::{COMP_OK, IGZIP_GZIP_NO_HDR, isal_deflate_stateless, isal_deflate_stateless_init};
        let stream = &mut *self.stream;
        let room = out.spare_capacity_mut();
        // SAFETY: `raw`, `room` and the tables are borrowed through both calls, and each length is at most that of its
        // memory. ISA-L reads `raw` only. It writes `total_out` bytes from the start of `room`, and these are the bytes
        // by which `out` grows.
        unsafe {
            isal_deflate_stateless_init(stream);
            stream.level = self.level as u32;
            stream.level_buf = self.tables.as_mut_ptr().cast();
            stream.level_buf_size = size_of_val(self.tables.as_slice()) as u32;
            stream.gzip_flag = IGZIP_GZIP_NO_HDR as u16;
            stream.end_of_stream = 1;
            stream.next_in = raw.as_ptr().cast_mut();
            stream.avail_in = u32::try_from(raw.len()).map_err(|_| -1)?;
            stream.next_out = room.as_mut_ptr().cast();
            stream.avail_out = room.len().min(u32::MAX as usize) as u32;
            match isal_deflate_stateless(stream) {
                code if code == COMP_OK as i32 => out.set_len(out.len() + stream.total_out as usize),
                code => return Err(code),
            }
        }
        Ok(())
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
    fn nobody_writes_is_false_for_an_open_writer() {
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
