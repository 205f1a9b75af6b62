//! The file system of a target, as the target sees it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;

use super::{PROC_MAX, Target};
use crate::base::faults::door;
use crate::files::regular_file::{self, Access, Links};

/// Longest file that is read in the process's own file system: hsperfdata. It has 32 KiB by default and 2 MiB at most
/// (JDK: `globals.hpp`, PerfDataMemorySize).
pub const INSIDE_MAX: u64 = 2 << 20;

/// Bytes of a file that are searched at a time.
const PIECE: usize = 1 << 20;

impl Target {
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

    /// Holds root and current directory with our own rights. Later calls as another user may lack them.
    pub fn hold_dirs(&self) {
        for (link, held) in [("root", &self.root), ("cwd", &self.cwd)] {
            if let Ok(dir) = self.open_dir_at(link) {
                let _ = held.set(dir);
            }
        }
    }

    /// Returns the name of the process's `path` as this process can reach it, for messages.
    pub fn seen_from_here(&self, path: &str) -> String {
        if self.shares_our_root() { path.to_owned() } else { format!("/proc/{}/root{path}", self.pid) }
    }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
