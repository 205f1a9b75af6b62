//! Checks whether the files that a run writes into memory fit beside the application. If not, the kernel would kill one
//! of them.

use std::path::Path;
use std::{fmt, io};

use rustix::fs::{StatFs, fstat, fstatfs, stat, statfs};

use super::Manner;
use crate::base::units::Bytes;
use crate::jvm::layout::Layout;
use crate::jvm::memory::{self, FreeMemory, HEADROOM};
use crate::jvm::{Jvm, cgroup};
use crate::kept::dump_dir::DumpDir;

/// A file system that is memory.
#[derive(Debug, Clone, Copy)]
struct InMemory {
    /// Free bytes. The file system takes no more than that.
    free: u64,
    takes_holes: bool,
}

impl InMemory {
    fn of(fs: &StatFs) -> Option<Self> {
        let free = if fs.f_blocks == 0 { u64::MAX } else { fs.f_bavail.saturating_mul(fs.f_bsize as u64) };
        memory::is_memory(fs).then(|| Self { free, takes_holes: memory::takes_holes(fs) })
    }
}

/// The files of a run that are memory.
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    /// The raw dump, which the JVM writes.
    raw: Option<InMemory>,
    /// The compressed copy, which this process writes.
    copy: Option<InMemory>,
    copy_in_store: bool,
    same_file_system: bool,
}

/// Most bytes that lie in memory at a time. A page is charged to the container of the process that writes it first
/// (kernel: cgroup-v1/memory.rst, "Shared Page Accounting"; cgroup-v2.rst, "Memory Ownership").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Peak {
    raw: u64,
    copy: u64,
    both: u64,
}

impl Spread {
    /// Returns the peak. `raw` is the largest size of the raw dump, and so of the copy. If the dump is captured, each
    /// of its bytes lies there raw or compressed, and not as both.
    fn peak(&self, manner: Manner, layout: Layout, raw: u64) -> Peak {
        let twice = raw.saturating_mul(2);
        let merges = layout == Layout::Parts && manner == Manner::Whole;
        // A store puts a dump in parts into order when the raw dump is gone.
        let sorts = layout == Layout::Parts && manner == Manner::Captured && self.copy_in_store;
        let bounded = |file: Option<InMemory>, bytes: u64| file.map_or(0, |fs| bytes.min(fs.free));
        let (raw_peak, copy) =
            (bounded(self.raw, if merges { twice } else { raw }), bounded(self.copy, if sorts { twice } else { raw }));
        let gives_back = manner == Manner::Captured && self.raw.is_none_or(|fs| fs.takes_holes);
        let both = raw_peak.saturating_add(copy).min(if gives_back && !sorts { raw } else { twice });
        let both = self.raw.filter(|_| self.same_file_system).map_or(both, |fs| both.min(fs.free));
        Peak { raw: raw_peak, copy, both }
    }
}

/// Free memory, by container.
#[derive(Debug, Clone, Copy)]
struct Containers {
    jvm: FreeMemory,
    own: FreeMemory,
    /// True if both are charged to one container.
    same: bool,
}

/// Free memory that does not suffice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    path: String,
    /// The owner of the memory, for messages.
    whose: &'static str,
    needed: u64,
    free: u64,
}

impl Shortage {
    /// Returns how many bytes can be used.
    pub fn usable(&self) -> u64 {
        self.free.saturating_sub(HEADROOM)
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, whose, needed, free } = self;
        let (free, headroom) = (Bytes(*free), Bytes(HEADROOM));
        // `u64::MAX` means that neither the dump nor the file system has a bound.
        let most = if *needed == u64::MAX { "any amount".to_owned() } else { format!("up to {}", Bytes(*needed)) };
        write!(
            f,
            "{most} may lie in {path} at a time, and it is memory: {whose} has {free} free, of which {headroom} stay free"
        )
    }
}

impl Containers {
    fn shortage(&self, peak: Peak, paths: &Paths) -> Option<Shortage> {
        let short = |needed: u64, memory: FreeMemory, whose, path: &str| {
            let whose = if memory.of_machine { "the machine" } else { whose };
            let shortage = Shortage { path: path.to_owned(), whose, needed, free: memory.bytes };
            (needed > shortage.usable()).then_some(shortage)
        };
        let path = if peak.raw > 0 { &paths.raw } else { &paths.copy };
        if self.same {
            let least = if self.own.bytes < self.jvm.bytes { self.own } else { self.jvm };
            return short(peak.both, least, "the JVM's container", path);
        }
        let machine = FreeMemory { of_machine: true, ..self.jvm };
        short(peak.raw, self.jvm, "the JVM's container", &paths.raw)
            .or_else(|| short(peak.copy, self.own, "this tool's container", &paths.copy))
            .or_else(|| short(peak.both, machine, "", path).filter(|_| self.jvm.of_machine && self.own.of_machine))
    }
}

#[derive(Debug)]
struct Paths {
    raw: String,
    copy: String,
}

/// The memory that a dump through one directory may take.
#[derive(Debug)]
pub struct MemoryRoom {
    spread: Spread,
    paths: Paths,
    containers: Containers,
    layout: Layout,
    raw_upper: u64,
}

impl MemoryRoom {
    /// Examines the file systems of the dump and its copy. Returns `None` if no byte that is written is memory.
    ///
    /// # Errors
    /// When a file system cannot be examined.
    pub fn of(
        dir: &DumpDir,
        jvm: &Jvm,
        store_dir: Option<&Path>,
        layout: Layout,
        raw_upper: u64,
    ) -> io::Result<Option<Self>> {
        let raw = InMemory::of(&fstatfs(dir)?);
        // A directory that does not exist yet will be made on the file system of its ancestor.
        let store = store_dir.and_then(|dir| dir.ancestors().find(|dir| dir.exists()));
        let spread = match store {
            None => Spread { raw, copy: raw, copy_in_store: false, same_file_system: true },
            Some(store) => Spread {
                raw,
                copy: InMemory::of(&statfs(store)?),
                copy_in_store: true,
                same_file_system: stat(store)?.st_dev == fstat(dir)?.st_dev,
            },
        };
        if spread.raw.is_none() && spread.copy.is_none() {
            return Ok(None);
        }
        let copy = store_dir.map_or_else(|| dir.here.clone(), |dir| dir.display().to_string());
        let theirs = cgroup::files_of(&jvm.target, jvm.identity);
        let same = cgroup::is_same_group(&cgroup::own_file, &theirs);
        let containers = Containers { jvm: FreeMemory::of(&theirs), own: FreeMemory::own(), same };
        let paths = Paths { raw: dir.here.clone(), copy };
        Ok(Some(Self { spread, paths, containers, layout, raw_upper }))
    }

    /// Returns the memory that is missing for a dump that is read in this manner.
    pub fn shortage(&self, manner: Manner) -> Option<Shortage> {
        self.containers.shortage(self.spread.peak(manner, self.layout, self.raw_upper), &self.paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn on(free: u64) -> Option<InMemory> {
        Some(InMemory { free: free * MIB, takes_holes: true })
    }

    fn beside(free: u64) -> Spread {
        Spread { raw: on(free), copy: on(free), copy_in_store: false, same_file_system: true }
    }

    fn both(spread: Spread, manner: Manner, layout: Layout) -> u64 {
        spread.peak(manner, layout, 100 * MIB).both / MIB
    }

    #[test]
    fn captured_dump_needs_less_memory_than_a_whole_one() {
        assert_eq!(both(beside(1000), Manner::Captured, Layout::Sequential), 100);
        assert_eq!(both(beside(1000), Manner::Whole, Layout::Sequential), 200);
        assert_eq!(both(beside(16), Manner::Whole, Layout::Sequential), 16, "a small tmpfs holds no more");
        let merging = beside(1000).peak(Manner::Whole, Layout::Parts, 100 * MIB);
        assert_eq!((merging.raw / MIB, merging.both / MIB), (200, 200));
        let ramfs = InMemory { free: u64::MAX, takes_holes: false };
        let ramfs = Spread { raw: Some(ramfs), copy: Some(ramfs), ..beside(0) };
        let ramfs = Spread { same_file_system: true, ..ramfs };
        assert_eq!(both(ramfs, Manner::Captured, Layout::Sequential), 200);
    }

    #[test]
    fn store_that_is_memory_holds_a_second_copy_of_a_dump_in_parts() {
        let store = Spread { raw: None, copy: on(1000), copy_in_store: true, same_file_system: false };
        assert_eq!(both(store, Manner::Captured, Layout::Sequential), 100);
        assert_eq!(both(store, Manner::Captured, Layout::Parts), 200);
        let two = Spread { raw: on(30), copy: on(20), copy_in_store: true, same_file_system: false };
        assert_eq!(both(two, Manner::Captured, Layout::Sequential), 50);
    }

    #[test]
    fn each_container_is_charged_for_what_it_writes() {
        let of = |mib| FreeMemory { bytes: mib * MIB, of_machine: false };
        let paths = Paths { raw: "/dumps".into(), copy: "/dumps".into() };
        let whose = |jvm, own, same| {
            let peak = beside(1000).peak(Manner::Captured, Layout::Sequential, 100 * MIB);
            let containers = Containers { jvm: of(jvm), own: of(own), same };
            containers.shortage(peak, &paths).map(|shortage| shortage.whose)
        };
        assert_eq!(whose(164, 164, false), None);
        assert_eq!(whose(163, 164, false), Some("the JVM's container"));
        assert_eq!(whose(164, 163, false), Some("this tool's container"));
        assert_eq!(whose(164, 164, true), None);
        assert_eq!(whose(1000, 163, true), Some("the JVM's container"));
    }
}
