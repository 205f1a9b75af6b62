//! Checks whether the dump will fit, before the JVM is disturbed.

use std::io;
use std::time::Duration;

use super::estimate::Estimate;
use super::memory_room::{MemoryRoom, Shortage};
use super::{DiskLimits, Manner, PlanRequest, disk_limit};
use crate::base::units::Bytes;
use crate::base::waiting::MORE_THREADS;
use crate::files::open_limit::TooFewFiles;
use crate::jvm::Jvm;
use crate::jvm::layout::Layout;
use crate::jvm::mountinfo::Mount;
use crate::jvm::proc_limits::max_file_size;
use crate::kept::dump_dir::DumpDir;

/// Percentage that stays free on a node's disk: the kubelet evicts pods below 15 % (imagefs.available, node-pressure
/// eviction).
const NODE_DISK_RESERVE_PERCENT: u64 = 15;

/// The dump does not fit, or no directory can take it.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    #[error("the dump of pid {pid} needs at least {needed} in {path}, {free} can be used ({limit})")]
    TooSmall { pid: i32, path: String, needed: Bytes, free: Bytes, limit: String, streamed: Duration },
    #[error("the dump of pid {pid} could have its application killed: {shortage}")]
    TooLittleMemory { pid: i32, shortage: Shortage, streamed: Duration },
    #[error("pid {pid} cannot dump without a disk: {why}")]
    NoStream { pid: i32, why: String },
    #[error("no directory for the dump of pid {pid}: {tried}")]
    NoDirectory { pid: i32, tried: String },
    #[error("a thread that is needed cannot be started")]
    NoThread(#[source] io::Error),
    #[error(transparent)]
    OpenFiles(#[from] TooFewFiles),
    #[error("cannot {what} {path}")]
    Io { what: &'static str, path: String, source: io::Error },
}

impl RoomError {
    pub fn hint(&self) -> String {
        match self {
            Self::TooSmall { streamed, .. } => {
                format!(
                    "mount a larger volume and name it with --dir; or take the risk with --force; {}",
                    stream(streamed)
                )
            }
            Self::TooLittleMemory { streamed, .. } => format!(
                "mount a volume that is on a disk and name it with --dir (or --store); or raise the memory limit; or \
                 take the risk with --force; {}",
                stream(streamed)
            ),
            Self::NoStream { .. } => {
                "leave --no-disk away and name a directory with --dir; nothing was done to the JVM".into()
            }
            Self::NoDirectory { .. } => {
                "name a directory that the JVM's user can write to with --dir, for example an emptyDir:\n  \
                 volumeMounts: [{name: dumps, mountPath: /dumps}]\n  volumes: [{name: dumps, emptyDir: {}}]"
                    .into()
            }
            Self::NoThread(_) => MORE_THREADS.into(),
            Self::OpenFiles(_) => "raise the limit: 'ulimit -n 1024', as root where it must be".into(),
            Self::Io { source, .. } => format!(
                "{}; or name another directory with --dir; or name another directory with --to",
                unwritten_hint(source)
            ),
        }
    }
}

/// Returns the next step for a path that cannot be written.
fn unwritten_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "see that its directory is there",
        io::ErrorKind::PermissionDenied => "let this user write there",
        io::ErrorKind::ReadOnlyFilesystem => "mount a volume there that can be written",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space there",
        _ => "look into the state of its file system, and free space there",
    }
}

fn stream(streamed: &Duration) -> String {
    format!(
        "or dump straight into a remote store with --no-disk (JDK 11.0.20, 17.0.8 and later), for which the application \
         waits about {} s, longer if the store is slower; nothing was done to the JVM",
        streamed.as_secs().max(1)
    )
}

/// The bytes that can be used in a directory, and the limit of these.
#[derive(Debug)]
pub struct Room {
    /// Bytes until a write fails, or the kubelet evicts.
    pub free: u64,
    pub limit: String,
    /// `None` if no file of the run is memory.
    memory: Option<MemoryRoom>,
}

impl Room {
    /// Returns the room for a dump of at most `raw_upper` bytes.
    ///
    /// # Errors
    /// When a file system cannot be examined.
    pub fn of(dir: &DumpDir, jvm: &Jvm, request: &PlanRequest<'_>, layout: Layout, raw_upper: u64) -> io::Result<Self> {
        let memory = MemoryRoom::of(dir, jvm, request.store_dir, layout, raw_upper)?;
        Ok(Self { memory, ..Self::on_disk(dir, jvm, request.disk_limits)? })
    }

    /// Returns the room on the disk: bytes until a write fails, or the kubelet evicts. Memory is not considered.
    ///
    /// # Errors
    /// When the file system cannot be examined.
    pub fn on_disk(dir: &DumpDir, jvm: &Jvm, limits: &DiskLimits) -> io::Result<Self> {
        let space = dir.free_space()?;
        let (free, total) = (space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize);
        let mut room = Self { free, limit: format!("{} are free", Bytes(free)), memory: None };
        if total == 0 {
            // The file system is a tmpfs without a size, or a ramfs.
            (room.free, room.limit) = (u64::MAX, "its size has no limit".into());
        }
        if dir.mount.as_ref().is_some_and(Mount::is_node_disk) {
            let reserve = total / 100 * NODE_DISK_RESERVE_PERCENT;
            let limit = format!("{} are free, of which {} stay free on the node's disk", Bytes(free), Bytes(reserve));
            room.limit_to(free.saturating_sub(reserve), limit);
        }
        // If the mount is not known, the limit that was given counts.
        let counts = dir.mount.as_ref().is_none_or(Mount::counts_for_container);
        if let Some(limit) = limits.container.filter(|_| counts) {
            room.limit_to(limit, format!("{} of the disk may be used, as was told", Bytes(limit)));
        }
        if let Some((volume, limit)) = limits.of_dir(&dir.inside) {
            // A directory that cannot be examined counts as empty.
            let held = jvm.identity.io(|| jvm.target.open_dir(volume));
            let used = held.map_or(0, |held| jvm.identity.io(|| Ok(disk_limit::occupied(&held))).unwrap_or(0));
            let text = format!("{volume} may hold {}, and {} lie there", Bytes(limit), Bytes(used));
            room.limit_to(limit.saturating_sub(used), text);
        }
        // Anybody may read the limits of a process (proc_pid_limits(5)).
        if let Some(limit) = jvm.target.read("limits").ok().and_then(|text| max_file_size(&text)) {
            room.limit_to(limit, format!("the JVM may write files of {} at most (ulimit -f)", Bytes(limit)));
        }
        Ok(room)
    }

    /// Limits the room to `free` bytes. `limit` is the reason, for messages.
    pub fn limit_to(&mut self, free: u64, limit: String) {
        if free < self.free {
            (self.free, self.limit) = (free, limit);
        }
    }

    /// Returns whether the largest dump, not compressed, and its copy can lie there, and none of it is memory.
    pub fn surely_holds(&self, estimate: Option<&Estimate>) -> bool {
        self.memory.is_none() && estimate.is_some_and(|estimate| estimate.surely_fits(self.free))
    }

    /// Returns the memory that is missing for a dump that is read in this manner.
    pub fn shortage(&self, manner: Manner) -> Option<Shortage> {
        self.memory.as_ref()?.shortage(manner)
    }
}
