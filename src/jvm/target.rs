//! Another process, held by its `/proc/PID` directory: its files, its file system, signals, liveness. If the process
//! has ended, every call fails with "no such process", even if another process has its pid.

use std::fs::File;
use std::io::{self, Read};
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

/// One page: the piece that the kernel returns at once for a file of `/proc` (Linux: `fs/seq_file.c`).
const READ_STEP: usize = 4096;

/// Longest file of `/proc/PID` that is read into memory. Command lines have at most 6 MiB (execve(2)), unless the
/// process moves their ends (PR_SET_MM, prctl(2)). A namespace has at most 100,000 mounts (Linux:
/// `Documentation/admin-guide/sysctl/fs.rst`, mount-max).
const PROC_MAX: usize = 16 << 20;

/// Longest file that is read in the process's own file system: hsperfdata. It has 32 KiB by default and 2 MiB at most
/// (JDK: `globals.hpp`, PerfDataMemorySize).
pub const INSIDE_MAX: u64 = 2 << 20;

/// Bytes of a file that are searched at a time.
const PIECE: usize = 1 << 20;

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

    /// Reads a small file in the process's own file system, which may contain anything. `path` is as the process sees
    /// it.
    ///
    /// # Errors
    /// As [`Target::open_dir`]; `NotRegular`, or when the file is longer than 2 MiB.
    pub fn read_inside(&self, path: &str) -> io::Result<Vec<u8>> {
        let (dir, name) = path.rsplit_once('/').ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.open_dir(dir)?;
        let file = door(path, || regular_file::open_in(&dir, name, Access::Read))?;
        door("read", || regular_file::read_bounded(file, INSIDE_MAX))
    }

    /// Reads a small file by a path that the process was given. The path may be relative to its current directory and
    /// may contain links.
    ///
    /// # Errors
    /// As [`Target::read_inside`].
    pub fn read_named_inside(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = self.open_named_inside(path)?;
        door("read", || regular_file::read_bounded(file, INSIDE_MAX))
    }

    /// Returns whether the first `max` bytes of the file contain `wanted`, which must not be longer than one piece.
    ///
    /// # Errors
    /// As [`Target::read_inside`].
    pub fn finds_inside(&self, path: &str, wanted: &[u8], max: u64) -> io::Result<bool> {
        let mut file = self.open_named_inside(path)?.take(max);
        let (mut piece, mut kept) = (vec![0; PIECE], 0);
        loop {
            let n = door("read", || file.read(&mut piece[kept..]))?;
            if n == 0 {
                return Ok(false);
            }
            let filled = kept + n;
            let starts = piece[..filled].iter().enumerate().filter(|(_, byte)| **byte == wanted[0]);
            if starts.into_iter().any(|(at, _)| piece[at..filled].starts_with(wanted)) {
                return Ok(true);
            }
            // The wanted bytes may lie across two pieces.
            kept = filled.min(wanted.len() - 1);
            piece.copy_within(filled - kept..filled, 0);
        }
    }

    fn open_named_inside(&self, path: &str) -> io::Result<File> {
        let (from, name) = if path.starts_with('/') {
            (self.open_root()?, path.trim_start_matches('/'))
        } else {
            (self.open_cwd()?, path)
        };
        match door(name, || regular_file::open_below(&from, name)) {
            Err(error) if [Errno::NOSYS, Errno::PERM].contains(&errno_of(&error)) => {
                door(name, || regular_file::open_named_in(&from, Path::new(name)))
            }
            other => other,
        }
    }

    /// Holds root and current directory with our own rights. Later calls as another user may lack them.
    pub fn hold_dirs(&self) {
        for (link, held) in [("root", &self.root), ("cwd", &self.cwd)] {
            if let Ok(dir) = self.open_dir_at(link) {
                let _ = held.set(dir);
            }
        }
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

    /// Holds a directory in the process's own file system. `path` is as the process sees it.
    ///
    /// # Errors
    /// When it does not exist, is no directory, or `/proc/PID/root` is closed to us.
    pub fn open_dir(&self, path: &str) -> io::Result<OwnedFd> {
        let root = self.open_root()?;
        let inside = path.trim_start_matches('/');
        // A link to an absolute path must start at the process's root, not at ours.
        match door(inside, || regular_file::hold_dir_below(&root, inside)) {
            // Before Linux 5.6, or where a seccomp profile forbids the call.
            Err(error) if [Errno::NOSYS, Errno::PERM].contains(&errno_of(&error)) => {
                door(inside, || regular_file::hold_dir_in(&root, inside, Links::Follow))
            }
            other => other,
        }
    }

    /// Holds the process's root directory.
    ///
    /// # Errors
    /// As [`Target::open_dir`].
    pub fn open_root(&self) -> io::Result<OwnedFd> {
        match self.open_dir_at("root") {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match self.root.get() {
                Some(held) => held.try_clone(),
                None if self.shares_our_root() => door("open /", || regular_file::hold_dir_in(CWD, "/", Links::Refuse)),
                None => Err(error),
            },
            other => other,
        }
    }

    /// Returns whether the process sees the same mounts as this one, from the same root: then its paths are ours. Mount
    /// ids are unique in the whole kernel (proc_pid_mountinfo(5)), and any process may read the table.
    pub fn shares_our_root(&self) -> bool {
        let ours = regular_file::read_named("/proc/self/mountinfo", PROC_MAX as u64).unwrap_or_default();
        !ours.is_empty() && self.read("mountinfo").is_ok_and(|theirs| theirs == ours)
    }

    /// Holds the process's current directory.
    ///
    /// # Errors
    /// As [`Target::open_dir`].
    pub fn open_cwd(&self) -> io::Result<OwnedFd> {
        match self.open_dir_at("cwd") {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.cwd.get().map_or(Err(error), |held| held.try_clone())
            }
            other => other,
        }
    }

    fn open_dir_at(&self, inside: &str) -> io::Result<OwnedFd> {
        door(inside, || regular_file::hold_dir_in(&self.proc_dir, inside, Links::Follow))
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

    /// Returns the name of the process's `path` as this process can reach it, for messages.
    pub fn seen_from_here(&self, path: &str) -> String {
        if self.shares_our_root() { path.to_owned() } else { format!("/proc/{}/root{path}", self.pid) }
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

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.proc_dir.as_fd()
    }
}
