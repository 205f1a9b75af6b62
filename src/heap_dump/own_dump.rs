//! The dump that a JVM writes by itself at its first OutOfMemoryError: its file, and the obstacles to it.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Access, AtFlags, accessat, fstat, statat};

use super::estimate::least_of_all;
use super::{DiskLimits, Room};
use crate::base::run_id::run_id;
use crate::base::units::Bytes;
use crate::compress::cpu_share;
use crate::files::regular_file::{Links, hold_dir_in};
use crate::jvm::layout::Layout;
use crate::jvm::memory::{self, FreeMemory};
use crate::jvm::{Jvm, cgroup};
use crate::kept::dump_dir::DumpDir;
use crate::kept::names::part_name;

/// The reason why no such dump can come.
#[derive(Debug, thiserror::Error)]
pub enum OwnDumpError {
    #[error(
        "pid {pid} will not write its heap on OutOfMemoryError: a JVM does that at the first one of its life, and it has \
         thrown {thrown} already"
    )]
    Spent { pid: i32, thrown: u64 },
    #[error(
        "pid {pid} will not write its heap on OutOfMemoryError: a JVM does that once in its life, and it has written {path}"
    )]
    Written { pid: i32, path: String },
    #[error("pid {pid} cannot write its heap to {path}: {why}")]
    Unusable { pid: i32, path: String, why: &'static str, source: Option<io::Error> },
    #[error("pid {pid} cannot write its heap to {path}: {taken} is there, and a JVM never replaces a file")]
    Taken { pid: i32, path: String, taken: String, is_last: bool },
    #[error("the heap of pid {pid} needs at least {needed} in {path}, {free} can be used ({limit})")]
    TooSmall { pid: i32, path: String, needed: Bytes, free: Bytes, limit: String },
}

impl OwnDumpError {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spent { .. } | Self::Written { .. } => 4,
            Self::Unusable { .. } | Self::Taken { .. } | Self::TooSmall { .. } => 6,
        }
    }

    pub fn hint(&self) -> &'static str {
        match self {
            Self::Spent { .. } | Self::Written { .. } | Self::Taken { is_last: true, .. } => {
                "dump it now: jmap-dump-tool PROJECT APP ENV; the next JVM can be armed from its start, by \
                 -XX:+HeapDumpOnOutOfMemoryError"
            }
            Self::Unusable { .. } => "name another directory with --path, as the JVM sees it; nothing was armed",
            Self::Taken { is_last: false, .. } => "move it away, or name another directory with --path",
            Self::TooSmall { .. } => "free space there, or name a larger directory with --path; nothing was armed",
        }
    }
}

/// The file that the JVM will write.
#[derive(Debug)]
pub struct OwnDump<'a> {
    jvm: &'a Jvm,
    /// The directory as the JVM names it. If it does not begin at the root, it begins at the JVM's current directory.
    dir: String,
    name: String,
    held: OwnedFd,
}

impl<'a> OwnDump<'a> {
    /// Returns the file `name` in `dir`. The JVM lists a directory first: it takes a path that it cannot list for the
    /// name of a file (JDK: `heapDumper.cpp`, `HeapDumper::dump_heap`).
    ///
    /// # Errors
    /// When the JVM cannot make a file there.
    pub fn in_dir(jvm: &'a Jvm, dir: &str, name: &str) -> Result<Self, OwnDumpError> {
        let own = Self::hold(jvm, dir, name)?;
        let why = "its user cannot list the directory, and a JVM takes what it cannot list for the name of a file";
        own.must_allow(Access::READ_OK, why)?;
        Ok(own)
    }

    /// Returns the file that `HeapDumpPath` means: the path is a directory or a file.
    ///
    /// # Errors
    /// As [`OwnDump::in_dir`].
    pub fn of_path(jvm: &'a Jvm, path: &str, name: &str) -> Result<Self, OwnDumpError> {
        if path.is_empty() {
            // The JVM does not list an empty path.
            return Self::hold(jvm, ".", name);
        }
        if jvm.identity.io(|| open_dir(jvm, path)).is_ok() {
            return Self::in_dir(jvm, path, name);
        }
        let (dir, name) = path.rsplit_once('/').unwrap_or((".", path));
        Self::hold(jvm, if dir.is_empty() { "/" } else { dir }, name)
    }

    fn hold(jvm: &'a Jvm, dir: &str, name: &str) -> Result<Self, OwnDumpError> {
        let held = jvm.identity.io(|| open_dir(jvm, dir));
        let error = |source| OwnDumpError::Unusable {
            pid: jvm.pid(),
            path: seen_from_here(jvm, dir),
            why: "the directory cannot be opened",
            source: Some(source),
        };
        let (dir, name) = (dir.to_owned(), name.to_owned());
        let own = Self { jvm, dir: dir.clone(), name, held: held.map_err(error)? };
        // A process keeps a current directory that somebody has removed. Nothing can be made there.
        if fstat(&own.held).is_ok_and(|stat| stat.st_nlink == 0) {
            return Err(own.refused("the directory was deleted", None));
        }
        own.must_allow(Access::WRITE_OK | Access::EXEC_OK, "its user may not make a file there")?;
        Ok(own)
    }

    fn must_allow(&self, access: Access, why: &'static str) -> Result<(), OwnDumpError> {
        let allowed = self.jvm.identity.io(|| Ok(accessat(&self.held, ".", access, AtFlags::empty())?));
        allowed.map_err(|source| self.refused(why, Some(source)))
    }

    fn refused(&self, why: &'static str, source: Option<io::Error>) -> OwnDumpError {
        OwnDumpError::Unusable { pid: self.jvm.pid(), path: self.here(), why, source }
    }

    /// Returns the path as the JVM names it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.dir.trim_end_matches('/'), self.name)
    }

    /// Returns the path as this process names it.
    fn here(&self) -> String {
        seen_from_here(self.jvm, &self.path())
    }

    /// Returns whether the JVM has made a file there since it was started.
    pub fn was_written(&self) -> bool {
        let look = || Ok(statat(&self.held, &self.name, AtFlags::SYMLINK_NOFOLLOW)?);
        let (Ok(stat), Some(age)) = (self.jvm.identity.io(look), self.jvm.target.age()) else { return false };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let started = now.saturating_sub(age).as_secs();
        stat.st_uid == self.jvm.identity.uid && u64::try_from(stat.st_mtime).is_ok_and(|written| written >= started)
    }

    /// Checks that no file has a name of the dump. The JVM opens its dump with O_EXCL and, from JDK 22 on, also each
    /// part of its heap.
    ///
    /// # Errors
    /// When one of the names is taken. `is_last` says that the JVM has used up its own dump.
    pub fn must_be_free(&self, layout: Layout, is_last: bool) -> Result<(), OwnDumpError> {
        // The JVM dumps with 3/8 of its processors, but at least one (JDK: `heapDumper.hpp`,
        // default_num_of_dump_threads).
        let parts = if layout == Layout::Parts { (cpu_share::processors() * 3.0 / 8.0).max(1.0) as u32 } else { 0 };
        let parts = (0..parts).map(|number| part_name(&self.name, number));
        for name in std::iter::once(self.name.clone()).chain(parts) {
            if self.jvm.identity.io(|| Ok(statat(&self.held, &name, AtFlags::SYMLINK_NOFOLLOW)?)).is_ok() {
                let taken = format!("{}/{name}", self.dir.trim_end_matches('/'));
                let (pid, path, taken) = (self.jvm.pid(), self.here(), seen_from_here(self.jvm, &taken));
                return Err(OwnDumpError::Taken { pid, path, taken, is_last });
            }
        }
        Ok(())
    }

    /// Makes a directory there as the JVM's user, and removes it. Nothing else shows quotas, inodes and file systems
    /// that refuse. Returns the room for a dump.
    ///
    /// # Errors
    /// When nothing can be made there.
    pub fn try_it(&self, limits: &DiskLimits) -> Result<Room, OwnDumpError> {
        let (jvm, why) = (self.jvm, "nothing can be made there");
        let tried = self.held.try_clone().and_then(|parent| {
            let dir = DumpDir::create_in(parent, &jvm.target, jvm.identity, &self.absolute(), &run_id())?;
            Room::on_disk(&dir, jvm, limits)
        });
        let mut room = tried.map_err(|source| self.refused(why, Some(source)))?;
        if memory::holds(&self.held) {
            let free = FreeMemory::of(&cgroup::files_of(&jvm.target, jvm.identity));
            let whose = if free.of_machine { "the machine" } else { "the container" };
            room.limit_to(free.bytes, format!("it is memory, of which {whose} has {} free", Bytes(free.bytes)));
        }
        Ok(room)
    }

    /// Checks the room.
    ///
    /// # Errors
    /// When a dump of the objects that the heap holds now would not fit.
    pub fn must_have_room(&self, room: &Room, heap_used: u64, gzipped: bool) -> Result<(), OwnDumpError> {
        let needed = least_of_all(heap_used, gzipped);
        if room.free >= needed {
            return Ok(());
        }
        let (path, limit) = (self.here(), room.limit.clone());
        let (needed, free) = (Bytes(needed), Bytes(room.free));
        Err(OwnDumpError::TooSmall { pid: self.jvm.pid(), path, needed, free, limit })
    }

    pub fn is_memory(&self) -> bool {
        memory::holds(&self.held)
    }

    /// Returns the directory from the root on, as far as the kernel tells.
    fn absolute(&self) -> String {
        if self.dir.starts_with('/') {
            return self.dir.trim_end_matches('/').to_owned();
        }
        let cwd = self.jvm.target.link("cwd").map(|cwd| cwd.display().to_string()).unwrap_or_default();
        format!("{}/{}", cwd.trim_end_matches('/'), self.dir.trim_start_matches("./").trim_matches('.'))
    }
}

/// Opens a directory of the JVM. A path that does not begin at the root begins at the JVM's current directory.
fn open_dir(jvm: &Jvm, dir: &str) -> io::Result<OwnedFd> {
    match dir {
        "/" => jvm.target.open_root(),
        _ if dir.starts_with('/') => jvm.target.open_dir(dir),
        _ => hold_dir_in(jvm.target.open_cwd()?, dir, Links::Follow),
    }
}

fn seen_from_here(jvm: &Jvm, path: &str) -> String {
    if path.starts_with('/') { jvm.target.seen_from_here(path) } else { format!("/proc/{}/cwd/{path}", jvm.pid()) }
}
