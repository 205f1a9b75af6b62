//! Whether the dump will fit, said before the JVM is disturbed.

use std::io;
use std::time::Duration;

use sysinfo::System;

use super::cgroup;
use super::dump_dir::DumpDir;
use crate::discovery::Jvm;
use crate::units::Bytes;

/// Classes and names, whatever the heap: 0.5 to 60 MB were seen.
const CLASSES_MAX: u64 = 64 << 20;

/// Left to the application when files are memory.
const MEMORY_HEADROOM: u64 = 64 << 20;

/// Left free on a node's disk: the kubelet evicts pods below 15 % (imagefs.available, node-pressure eviction).
const NODE_DISK_RESERVE_PERCENT: u64 = 15;

/// The dump does not fit, or there is no place for it.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    #[error("the dump of pid {pid} needs at least {needed} in {path}, {free} can be used ({limit})")]
    TooSmall { pid: i32, path: String, needed: Bytes, free: Bytes, limit: String, streamed: Duration },
    #[error("pid {pid} cannot dump without a disk: {why}")]
    NoStream { pid: i32, why: String },
    #[error("no directory for the dump of pid {pid}: {tried}")]
    NoDirectory { pid: i32, tried: String },
    #[error("cannot {what} {path}")]
    Io { what: &'static str, path: String, source: io::Error },
}

impl RoomError {
    pub fn hint(&self) -> String {
        match self {
            Self::TooSmall { streamed, .. } => format!(
                "mount a larger volume and name it with --dir, or take the risk with --force; or dump straight into a \
                 remote store with --no-disk (JDK 11.0.20, 17.0.8 and later), for which the application waits about \
                 {} s, longer if the store is slower; nothing was done to the JVM",
                streamed.as_secs().max(1)
            ),
            Self::NoStream { .. } => {
                "leave --no-disk away and name a directory with --dir; nothing was done to the JVM".into()
            }
            Self::NoDirectory { .. } => {
                "name a directory that the JVM's user can write to with --dir, for example an emptyDir:\n  \
                 volumeMounts: [{name: dumps, mountPath: /dumps}]\n  volumes: [{name: dumps, emptyDir: {}}]"
                    .into()
            }
            Self::Io { .. } => "free space there, or name another directory with --dir".into(),
        }
    }
}

/// Bounds of what the run will write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub heap_used: u64,
    pub lower: u64,
    pub upper: u64,
    /// Of the raw dump alone.
    pub raw_upper: u64,
}

impl Estimate {
    /// From the used bytes of the heap. An object needs 0.9 to 2 times its heap size in HPROF (record heads are
    /// longer, padding is missing). Live objects may be few, so a quarter counts as certain. The compressed
    /// copy is a tenth at best, and the whole at worst.
    pub fn new(heap_used: u64, live: bool) -> Self {
        let raw_lower = if live { heap_used / 4 } else { heap_used / 10 * 9 };
        let raw_upper = heap_used.saturating_mul(2).saturating_add(CLASSES_MAX);
        Self { heap_used, lower: raw_lower + raw_lower / 10, upper: raw_upper.saturating_mul(2), raw_upper }
    }
}

/// What a JVM writes to a common disk: 360 MB/s were measured on JDK 17.
const DUMPED_PER_SECOND: u64 = 300 << 20;

/// What no JVM on no disk exceeds: 1.3 GB/s were measured on JDK 21 into the page cache.
const DUMPED_PER_SECOND_AT_MOST: u64 = 1500 << 20;

/// What a full collection gets through, with all objects alive, by one thread.
const COLLECTED_PER_SECOND: u64 = 500 << 20;

/// So much of a heap goes through pipe, compression and a near store in a second, on two processors.
const STREAMED_PER_SECOND: u64 = 150 << 20;

impl Estimate {
    /// How long the application waits for a dump on a common disk, at most.
    pub fn pause(&self) -> Duration {
        per_second(self.raw_upper, DUMPED_PER_SECOND)
    }

    /// How long it takes to collect the garbage and to dump what is left, on a common disk.
    pub fn likely_with_collection(&self) -> Duration {
        per_second(self.heap_used, COLLECTED_PER_SECOND) + per_second(self.heap_used, DUMPED_PER_SECOND)
    }

    /// Nobody dumps this heap faster.
    pub fn shortest(&self) -> Duration {
        per_second(self.heap_used, DUMPED_PER_SECOND_AT_MOST)
    }

    /// How long the application waits for a dump through pipes.
    pub fn streamed(&self) -> Duration {
        Duration::from_secs(self.heap_used.div_ceil(STREAMED_PER_SECOND))
    }
}

fn per_second(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate as f64)
}

/// What can be used in a directory, and what limits it.
#[derive(Debug, Clone)]
pub struct Room {
    pub free: u64,
    pub limit: String,
}

impl Room {
    /// # Errors
    /// When the file system does not tell.
    pub fn of(dir: &DumpDir, jvm: &Jvm, disk_limit: Option<u64>) -> io::Result<Self> {
        let space = dir.free_space()?;
        let (free, total) = (space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize);
        let mount = dir.mount.as_ref();
        let mut room = Self { free, limit: format!("{} are free", Bytes(free)) };
        if mount.is_some_and(crate::discovery::mountinfo::Mount::is_node_disk) {
            let reserve = total / 100 * NODE_DISK_RESERVE_PERCENT;
            let limit = format!("{} are free, of which {} stay free on the node's disk", Bytes(free), Bytes(reserve));
            room.limit_to(free.saturating_sub(reserve), limit);
            if let Some(limit) = disk_limit {
                room.limit_to(limit, format!("the container may use {} of the node's disk", Bytes(limit)));
            }
        }
        if mount.is_some_and(crate::discovery::mountinfo::Mount::is_memory)
            && let Some(memory) = free_memory(jvm)
        {
            let limit = format!("it is memory, of which {} are free", Bytes(memory));
            room.limit_to(memory.saturating_sub(MEMORY_HEADROOM), limit);
        }
        Ok(room)
    }

    fn limit_to(&mut self, free: u64, limit: String) {
        if free < self.free {
            *self = Self { free, limit };
        }
    }
}

/// Free memory of the JVM's container, to which the pages of the dump are charged, and of the machine.
fn free_memory(jvm: &Jvm) -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let machine = system.available_memory();
    Some(cgroup::free_memory(&jvm.target, jvm.identity).map_or(machine, |container| container.min(machine)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_objects_may_be_few_but_all_objects_are_about_the_used_heap() {
        let gib = 1 << 30;
        let (live, all) = (Estimate::new(gib, true), Estimate::new(gib, false));
        assert!(live.lower < all.lower && live.upper == all.upper);
        assert!(all.lower < gib && all.raw_upper > 2 * gib);
    }
}
