//! Another process, held by its `/proc/PID` directory: its files, its file system, signals, liveness. If the process
//! has ended, every call fails with "no such process", even if another process has its pid.

mod file_system;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::proc_status::{ProcStatus, start_ticks};
use crate::base::faults::door;
use crate::files::regular_file::{self, Access, Links};
pub use file_system::INSIDE_MAX;

/// One page: the piece that the kernel returns at once for a file of `/proc` (Linux: `fs/seq_file.c`).
const READ_STEP: usize = 4096;

/// Longest file of `/proc/PID` that is read into memory. Command lines have at most 6 MiB (execve(2)), unless the
/// process moves their ends (PR_SET_MM, prctl(2)). A namespace has at most 100,000 mounts (Linux:
/// `Documentation/admin-guide/sysctl/fs.rst`, mount-max).
const PROC_MAX: usize = 16 << 20;

/// A process that is looked at, and perhaps gets a signal.
#[derive(Debug)]
pub struct Target {
    pid: i32,
    proc_dir: OwnedFd,
    /// The start time, as read at the first call.
    start_ticks: OnceLock<Option<u64>>,
    /// Root directory, held with our own rights. The process's own user may not open it if the process is not dumpable
    /// (proc(5)).
    root: OnceLock<OwnedFd>,
    cwd: OnceLock<OwnedFd>,
}

impl Target {
    /// Holds the process, which may have ended already.
    ///
    /// # Errors
    /// When there is no such process, or no `/proc`.
    pub fn open(proc_root: &Path, pid: i32) -> io::Result<Self> {
        let path = proc_root.join(pid.to_string());
        let proc_dir = door("open /proc/PID", || regular_file::hold_dir_in(CWD, path, Links::Refuse))?;
        Ok(Self { pid, proc_dir, start_ticks: OnceLock::new(), root: OnceLock::new(), cwd: OnceLock::new() })
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn start_ticks(&self) -> Option<u64> {
        *self.start_ticks.get_or_init(|| self.read_start_ticks())
    }

    /// Reads a whole file below `/proc/PID`.
    ///
    /// # Errors
    /// ESRCH when the process has ended, EACCES when we may not read, `FileTooLarge` beyond 16 MiB.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_pieces(name, |piece| {
            bytes.extend_from_slice(piece);
            if bytes.len() > PROC_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
        })?;
        Ok(bytes)
    }

    /// Reads a file of any length below `/proc/PID`, and passes its pieces to `each` in order.
    ///
    /// # Errors
    /// As [`Target::read`], and those of `each`.
    pub fn read_pieces(&self, name: &str, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let file = door(name, || regular_file::open_in(&self.proc_dir, name, Access::Read))?;
        let mut piece = [0; READ_STEP];
        door("read", || {
            loop {
                match rustix::io::read(&file, &mut piece) {
                    Ok(0) => return Ok(()),
                    Ok(n) => each(&piece[..n])?,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        })
    }

    /// Reads the status of the process.
    ///
    /// # Errors
    /// As [`Target::read`].
    pub fn status(&self) -> io::Result<ProcStatus> {
        self.read("status").map(|text| ProcStatus::parse(&text))
    }

    pub fn is_alive(&self) -> bool {
        self.status().is_ok_and(|status| status.is_alive())
    }

    /// Returns the names of the process's threads. The kernel cuts a name to 15 bytes (prctl(2), PR_SET_NAME).
    pub fn thread_names(&self) -> Vec<String> {
        let opened = door("task", || regular_file::open_dir_in(&self.proc_dir, "task", Links::Refuse));
        let entries = opened.and_then(|dir| Ok(rustix::fs::Dir::read_from(&dir)?)).into_iter().flatten();
        let numbers = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
        let names = numbers.filter_map(|number| self.read(&format!("task/{number}/comm")).ok());
        names.map(|name| String::from_utf8_lossy(&name).trim_end().to_owned()).collect()
    }

    /// Opens the process's program for reading, even if its path has changed.
    ///
    /// # Errors
    /// As [`Target::read`].
    pub fn open_exe(&self) -> io::Result<File> {
        door("exe", || regular_file::open_named_in(&self.proc_dir, Path::new("exe")))
    }

    /// Returns the target of the symbolic link `name` below `/proc/PID`.
    ///
    /// # Errors
    /// As [`Target::read`].
    pub fn link(&self, name: &str) -> io::Result<PathBuf> {
        let target = door(name, || Ok(rustix::fs::readlinkat(&self.proc_dir, name, Vec::new())?))?;
        Ok(PathBuf::from(std::ffi::OsString::from(String::from_utf8_lossy(target.as_bytes()).into_owned())))
    }

    /// Sends SIGQUIT to this process and to no other.
    ///
    /// # Errors
    /// When the process has ended, or we may not signal it.
    pub fn send_quit(&self) -> io::Result<()> {
        door("kill", || match pidfd_send_signal(&self.proc_dir, Signal::QUIT) {
            // Before Linux 5.1, or where a seccomp profile forbids the call.
            Err(Errno::NOSYS | Errno::PERM | Errno::BADF) => self.send_quit_without_proc_fd(),
            other => Ok(other?),
        })
    }

    /// Sends the signal by a pidfd, or else by pid. The start time shows that it is still the same process.
    fn send_quit_without_proc_fd(&self) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid).ok_or(io::ErrorKind::InvalidInput)?;
        let held = pidfd_open(pid, PidfdFlags::empty());
        if self.read_start_ticks().is_none() || self.read_start_ticks() != self.start_ticks() {
            return Err(Errno::SRCH.into());
        }
        match held.and_then(|fd| pidfd_send_signal(fd, Signal::QUIT)) {
            Err(Errno::NOSYS | Errno::PERM) => Ok(rustix::process::kill_process(pid, Signal::QUIT)?),
            other => Ok(other?),
        }
    }

    /// Returns the time since the process started; `None` if the kernel does not say.
    pub fn age(&self) -> Option<Duration> {
        let uptime = regular_file::read_named("/proc/uptime", regular_file::TEXT_MAX).ok()?;
        let uptime = String::from_utf8(uptime).ok()?;
        let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
        let started = self.start_ticks()? as f64 / rustix::param::clock_ticks_per_second() as f64;
        Duration::try_from_secs_f64(uptime - started).ok()
    }

    fn read_start_ticks(&self) -> Option<u64> {
        start_ticks(&self.read("stat").ok()?)
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.proc_dir.as_fd()
    }
}
