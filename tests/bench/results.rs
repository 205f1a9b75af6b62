//! What was measured, and what it comes to.

use std::fmt;
use std::time::Duration;

use crate::contestants::Contestant;
use crate::heap::Spec;
use crate::median::median;
use crate::spread::Spread;

#[derive(Debug, Clone)]
pub struct Measured {
    /// From the first command to the end of the last.
    pub wall: Duration,
    /// Until the compressed dump was a file here, if its upload came after that.
    pub local: Option<Duration>,
    /// As the JVM felt it.
    pub pause: Duration,
    pub cpu: Duration,
    pub jvm_cpu: Duration,
    /// If it stored there.
    pub server_cpu: Option<Duration>,
    pub anon: u64,
    pub disk: u64,
    pub stored: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s, pause {:.2} s, ", seconds(self.wall), seconds(self.pause))?;
        write!(f, "CPU {:.2} s, of the JVM {:.2} s, ", seconds(self.cpu), seconds(self.jvm_cpu))?;
        write!(f, "anon {:.1} MiB, disk {:.1} MiB, ", mib(self.anon), mib(self.disk))?;
        write!(f, "stored {:.1} MiB", mib(self.stored))
    }
}

pub struct Row {
    pub contestant: Contestant,
    /// One of each round.
    pub runs: Vec<Measured>,
    /// Why there are none.
    pub obstacle: Option<String>,
    pub failed: bool,
}

pub struct HeapResult {
    pub spec: Spec,
    /// That JVM and contestant might use at a time.
    pub cpus: f64,
    pub rows: Vec<Row>,
}

/// One number of a run.
pub type Of = fn(&Measured) -> f64;

pub const WALL: Of = |run| seconds(run.wall);
pub const PAUSE: Of = |run| seconds(run.pause);
/// Without the upload, if it came last.
pub const LOCAL: Of = |run| seconds(run.local.unwrap_or(run.wall));
pub const CPU: Of = |run| seconds(run.cpu);
pub const JVM_CPU: Of = |run| seconds(run.jvm_cpu);
pub const SERVER_CPU: Of = |run| run.server_cpu.map_or(f64::NAN, seconds);
pub const ANON: Of = |run| mib(run.anon);
pub const DISK: Of = |run| mib(run.disk);
pub const STORED: Of = |run| mib(run.stored);

impl Row {
    pub fn ran(&self) -> bool {
        self.obstacle.is_none() && !self.runs.is_empty()
    }

    pub fn median(&self, of: Of) -> f64 {
        median(self.runs.iter().map(of).collect())
    }

    /// Smallest and largest.
    pub fn range(&self, of: Of) -> (f64, f64) {
        let values = || self.runs.iter().map(of);
        (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max))
    }

    /// Of each round: what slowed one round down slowed both.
    pub fn ratio(&self, other: &Row, of: Of) -> Option<Spread> {
        Spread::of(self.runs.iter().zip(&other.runs).map(|(ours, theirs)| of(ours) / of(theirs)).collect())
    }
}

impl HeapResult {
    /// If it ran.
    pub fn row(&self, contestant: Contestant) -> Option<&Row> {
        self.rows.iter().find(|row| row.contestant == contestant && row.ran())
    }

    pub fn ratio(&self, one: Contestant, other: Contestant, of: Of) -> Option<Spread> {
        self.row(one)?.ratio(self.row(other)?, of)
    }

    pub fn rounds(&self) -> usize {
        self.rows.iter().map(|row| row.runs.len()).max().unwrap_or_default()
    }

    /// Seconds that a round cannot do without: processor time of the JVM for its dump and of `igzip -1` for the
    /// compression, on all processors.
    pub fn floors(&self) -> Option<Vec<f64>> {
        let [bare, deflate] = [self.row(Contestant::Bare)?, self.row(Contestant::Igzip)?];
        let floor = |(bare, deflate)| (JVM_CPU(bare) + CPU(deflate)) / self.cpus;
        Some(bare.runs.iter().zip(&deflate.runs).map(floor).collect())
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
