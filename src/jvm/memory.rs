//! Files that are memory (tmpfs(5)): how much of it is free, and an end to what this program writes there before the
//! kernel kills for it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{StatFs, fstatfs};
use sysinfo::System;

use super::cgroup;
use crate::base::units::Bytes;

/// statfs(2), `TMPFS_MAGIC`.
const TMPFS: u64 = 0x0102_1994;

/// statfs(2), `RAMFS_MAGIC`. It has no size, and takes no holes.
const RAMFS: u64 = 0x8584_58f6;

/// Left to the application and to this program when a file is begun whose size is known.
pub const HEADROOM: u64 = 64 << 20;

/// Left to them, whatever they have taken since, while a file grows.
const RESERVE: u64 = 32 << 20;

/// So much is written before it is looked again.
const STEP: u64 = 4 << 20;

/// Whether files of the file system are memory.
pub fn is_memory(fs: &StatFs) -> bool {
    [TMPFS, RAMFS].contains(&(fs.f_type as u64))
}

/// Whether a file, or what lies in a directory, is memory.
pub fn holds(file: impl AsFd) -> bool {
    fstatfs(file).is_ok_and(|fs| is_memory(&fs))
}

/// Whether what is read there can be given back.
pub fn takes_holes(fs: &StatFs) -> bool {
    fs.f_type as u64 != RAMFS
}

/// What is free of a container's memory, or of the machine's, whichever is less.
#[derive(Debug, Clone, Copy)]
pub struct FreeMemory {
    pub bytes: u64,
    /// The machine has less than the container, or no limit is seen.
    pub of_machine: bool,
}

impl FreeMemory {
    /// Of the container whose files are read.
    pub fn of(read: &cgroup::ReadFile<'_>) -> Self {
        let machine = free_on_machine();
        match cgroup::free_memory(read) {
            Some(bytes) if bytes <= machine => Self { bytes, of_machine: false },
            _ => Self { bytes: machine, of_machine: true },
        }
    }

    /// Of this process's own container.
    pub fn own() -> Self {
        Self::of(&cgroup::own_file)
    }
}

/// Nothing is known to be free where the kernel does not tell.
fn free_on_machine() -> u64 {
    System::new().map_or(0, |mut system| {
        system.refresh_memory();
        system.available_memory()
    })
}

/// Fails when `bytes` written to `file` would leave too little memory.
///
/// # Errors
/// `StorageFull`, as of a disk, with what is free.
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

/// What may be written to a file that grows: anything, unless it is memory and little is left.
#[derive(Debug)]
pub struct Ration {
    is_memory: bool,
    taken: AtomicU64,
}

impl Ration {
    pub fn of(file: impl AsFd) -> Self {
        Self { is_memory: holds(file), taken: AtomicU64::new(0) }
    }

    /// To be called before `bytes` are written.
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

/// A file that is written to within its ration.
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
