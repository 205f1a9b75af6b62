//! A JVM with a heap of one kind and size, ready to be dumped.

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use clap::ValueEnum;

use crate::common::bed;
use crate::common::jvm::TestJvm;

/// 4 GiB of small objects take a minute on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);
const PATIENCE_FOR_GIB: Duration = Duration::from_secs(120);

/// Dumps above this size, in MiB, are large: their heap is not twice as large as they are.
const COMMON_MAX: u32 = 4096;

/// Those of `Heap` itself, in each heap.
const MARKERS: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Maps, numbers, linked markers: the most records for each byte
    Objects,
    /// Short texts
    Strings,
    /// Large arrays of bytes and longs, half of each is noise
    Arrays,
    /// What an application holds
    Mixed,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Objects, Kind::Strings, Kind::Arrays, Kind::Mixed];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Objects => "objects",
            Kind::Strings => "strings",
            Kind::Arrays => "arrays",
            Kind::Mixed => "mixed",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    pub jdk: String,
    pub kind: Kind,
    /// Of the dump, about.
    pub mb: u32,
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JDK {}, {}, {} GiB", self.jdk, self.kind.name(), self.gib())
    }
}

impl Spec {
    /// To two places, as it was asked for.
    pub fn gib(&self) -> f64 {
        (f64::from(self.mb) / 10.24).round() / 100.0
    }

    /// -Xmx in MiB. Room for the garbage of the building, so that no JVM collects while it is dumped. Objects take less
    /// room in a heap than in its dump.
    pub fn heap_max(&self) -> u32 {
        if self.mb <= COMMON_MAX { self.mb * 22 / 10 + 256 } else { self.mb * 9 / 8 + 768 }
    }

    fn patience(&self) -> Duration {
        PATIENCE.max(PATIENCE_FOR_GIB.mul_f64(self.gib()))
    }
}

pub struct BuiltHeap {
    pub jvm: TestJvm,
    /// Instances of `Marker` in it.
    pub markers: u64,
}

impl BuiltHeap {
    /// None, said on stderr, where this JVM is not installed.
    pub fn of(spec: &Spec) -> Option<BuiltHeap> {
        Self::behind(Vec::new(), spec)
    }

    /// The JVM's program is started by `words`.
    pub fn behind(words: Vec<OsString>, spec: &Spec) -> Option<BuiltHeap> {
        let jvm = start(words, spec)?;
        let markers = MARKERS + built(&jvm, spec);
        // Not before each run: a collected heap stays so, and the first run would differ from the others.
        let pid = jvm.pid().to_string();
        let collected = Command::new("jattach").args([&pid, "jcmd", "GC.run"]).output();
        assert!(collected.is_ok_and(|ended| ended.status.success()), "jattach GC.run: run tests/bench/install.sh");
        Some(BuiltHeap { jvm, markers })
    }
}

/// `Heap` comes behind the arguments of `BenchHeap`, which starts it.
fn start(words: Vec<OsString>, spec: &Spec) -> Option<TestJvm> {
    let heap = format!("-Xmx{}m", spec.heap_max());
    let builder = TestJvm::builder(&spec.jdk)?.clean_env().behind(words).jvm_arg(heap);
    let builder = builder.jvm_arg("-cp").jvm_arg(bed::classes()).jvm_arg("BenchHeap");
    let builder = builder.jvm_arg(spec.kind.name()).jvm_arg(spec.mb.to_string());
    Some(builder.arg(format!("markers={MARKERS}")).start())
}

/// Waits for the heap, and returns the number of its markers.
fn built(jvm: &TestJvm, spec: &Spec) -> u64 {
    let end = Instant::now() + spec.patience();
    loop {
        let log = jvm.log();
        if let Some(markers) = log.lines().find_map(|line| line.strip_prefix("BUILT ")) {
            return markers.parse().expect("BenchHeap prints a number");
        }
        assert!(jvm.is_alive() && Instant::now() < end, "{spec}: no heap; output:\n{log}");
        thread::sleep(Duration::from_millis(50));
    }
}
