//! File systems whose files are memory (tmpfs(5)): how much is free, and a limit on our writes there. Without it, the
//! kernel would kill a process.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{StatFs, fstatfs};
use sysinfo::System;

use super::cgroup;
use crate::base::units::Bytes;

/// The type of tmpfs: statfs(2), `TMPFS_MAGIC`.
const TMPFS: u64 = 0x0102_1994;

/// The type of ramfs: statfs(2), `RAMFS_MAGIC`. It has no size limit and no holes.
const RAMFS: u64 = 0x8584_58f6;

/// Bytes that stay free for the application and this program when a file of known size is begun.
pub const HEADROOM: u64 = 64 << 20;

/// Bytes that stay free for both while a file grows.
const RESERVE: u64 = 32 << 20;

/// Bytes that are written between two checks of the free memory.
const STEP: u64 = 4 << 20;

/// Returns whether files of the file system are memory.
pub fn is_memory(fs: &StatFs) -> bool {
    [TMPFS, RAMFS].contains(&(fs.f_type as u64))
}

/// Returns whether the file or directory lies in memory.
pub fn holds(file: impl AsFd) -> bool {
    fstatfs(file).is_ok_and(|fs| is_memory(&fs))
}

/// Returns whether room of a file can be given back while it is read.
pub fn takes_holes(fs: &StatFs) -> bool {
    fs.f_type as u64 != RAMFS
}

/// Free memory of a container or of the machine: the smaller of the two.
#[derive(Debug, Clone, Copy)]
pub struct FreeMemory {
    pub bytes: u64,
    /// True if the machine has less than the container, or the container has no visible limit.
    pub of_machine: bool,
}

impl FreeMemory {
    /// Returns the free memory of the container whose files `read` returns.
    pub fn of(read: &cgroup::ReadFile<'_>) -> Self {
        let machine = free_on_machine();
        match cgroup::free_memory(read) {
            Some(bytes) if bytes <= machine => Self { bytes, of_machine: false },
            _ => Self { bytes: machine, of_machine: true },
        }
    }

    /// Returns the free memory of this process's container.
    pub fn own() -> Self {
        Self::of(&cgroup::own_file)
    }
}

/// Returns the free memory of the machine. 0 if the kernel does not say.
fn free_on_machine() -> u64 {
    System::new().map_or(0, |mut system| {
        system.refresh_memory();
        system.available_memory()
    })
}

/// Fails if `bytes` written to `file` would leave too little memory.
///
/// # Errors
/// `StorageFull`, as on a full disk, with the free bytes.
pub fn must_hold(file: impl AsFd, bytes: u64) -> io::Result<()> {
    if holds(file) { must_be_free(bytes.saturating_add(HEADROOM)) } else { Ok(()) }
}

fn must_be_free(bytes: u64) -> io::Result<()> {
    let free = FreeMemory::own().bytes;
    if free >= bytes {
        return Ok(());
    }
    let text = format!("it is memory, of which {} are free, and {} have to be", Bytes(free), Bytes(bytes));
    Err(io::Error::new(io::ErrorKind::StorageFull, text))
}

/// A limit for a file that grows. Only a file in memory has one.
#[derive(Debug)]
pub struct Ration {
    is_memory: bool,
    taken: AtomicU64,
}

impl Ration {
    pub fn of(file: impl AsFd) -> Self {
        Self { is_memory: holds(file), taken: AtomicU64::new(0) }
    }

    /// Checks the free memory now and then. Callers call it before they write `bytes`.
    ///
    /// # Errors
    /// As [`must_hold`].
    pub fn take(&self, bytes: u64) -> io::Result<()> {
        if !self.is_memory {
            return Ok(());
        }
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let is_due = before == 0 || before / STEP != (before + bytes) / STEP;
        if is_due { must_be_free(RESERVE + STEP.max(bytes)) } else { Ok(()) }
    }
}

/// A writer to a file, limited by its ration.
#[derive(Debug)]
pub struct Rationed<'a> {
    file: &'a File,
    ration: Ration,
}

impl<'a> Rationed<'a> {
    pub fn new(file: &'a File) -> Self {
        Self { file, ration: Ration::of(file) }
    }
}

impl Write for Rationed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ration.take(bytes.len() as u64)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
