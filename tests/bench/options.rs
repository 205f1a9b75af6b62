//! The flags of `make bench BENCH="…"`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

use crate::common::tool;
use crate::companions::Companion;
use crate::contestants::Contestant;
use crate::heap::{Kind, Spec};

/// Runs the tool against its peers; writes target/bench/bench.md and bench.svg
#[derive(Debug, Parser)]
pub struct Options {
    /// JDKs of the test bed [default: 8,17,21,25; of large heaps: 17,21]
    #[arg(long, value_delimiter = ',')]
    jdks: Vec<String>,
    /// About the size of the dump, in GiB; heaps above 8 are large [default: 0.25,1,4,10; quick: 0.25]
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<f64>,
    /// What the heap holds [default: all; quick, and of large heaps: mixed]
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Who runs [default: all; on large heaps: bare,isal,igzip]
    #[arg(long, value_delimiter = ',')]
    contestants: Vec<Contestant>,
    /// Rounds of each heap; in a round each contestant runs once [default: 6; quick, and of large heaps: 3]
    #[arg(long)]
    rounds: Option<usize>,
    /// One small heap on each JDK
    #[arg(long)]
    quick: bool,
    /// CPU quota of the JVM and of each contestant, such as 0.5; needs root
    #[arg(long, value_name = "CPUS")]
    pub cpus: Option<f64>,
    /// Processes that want a processor each for the whole time, at normal priority
    #[arg(long, value_name = "COUNT", default_value = "0")]
    pub busy: usize,
    /// The tool with ISA-L [default: that of `make release`]
    #[arg(long, value_name = "FILE")]
    isal: Option<PathBuf>,
    /// The tool with flate2 [default: the one that cargo has built with this benchmark]
    #[arg(long, value_name = "FILE")]
    flate2: Option<PathBuf>,
    /// Dumps are made and stored in a new directory there [default: target/bench]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Name of the two files with the results
    #[arg(long, value_name = "NAME", default_value = "bench")]
    pub report: String,
    /// What this process is instead, for another one that measures
    #[arg(long, hide = true)]
    pub companion: Option<Companion>,
    /// `cargo bench` says this to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is done with one heap.
pub struct Plan {
    pub spec: Spec,
    pub contestants: Vec<Contestant>,
    pub rounds: usize,
}

/// Dumps above this size take minutes, in MiB.
const LARGE: u32 = 8192;

impl Options {
    pub fn plans(&self) -> Vec<Plan> {
        let mut plans = Vec::new();
        for &size in or(&self.sizes, if self.quick { &[0.25] } else { &[0.25, 1.0, 4.0, 10.0] }) {
            let mb = (size * 1024.0).round() as u32;
            let is_large = mb > LARGE;
            let jdks = ["8", "17", "21", "25"].map(str::to_owned);
            for &kind in or(&self.kinds, if self.quick || is_large { &[Kind::Mixed] } else { &Kind::ALL }) {
                for jdk in or(&self.jdks, if is_large { &jdks[1..3] } else { &jdks }) {
                    plans.push(self.plan(Spec { jdk: jdk.clone(), kind, mb }, is_large));
                }
            }
        }
        plans
    }

    fn plan(&self, spec: Spec, is_large: bool) -> Plan {
        const FEW: [Contestant; 3] = [Contestant::Bare, Contestant::Isal, Contestant::Igzip];
        let contestants = or(&self.contestants, if is_large { &FEW } else { Contestant::value_variants() }).to_vec();
        let rounds = self.rounds.unwrap_or(if self.quick || is_large { 3 } else { 6 }).max(1);
        Plan { spec, contestants, rounds }
    }

    pub fn isal(&self) -> PathBuf {
        let released = format!("dist/jmap-dump-tool-{}-linux-musl", std::env::consts::ARCH);
        self.isal.as_deref().map_or_else(|| root().join(released), absolute)
    }

    /// None where cargo has built the tool with ISA-L, and no other was named.
    pub fn flate2(&self) -> Option<PathBuf> {
        let built = (!cfg!(feature = "isal")).then(|| tool::binary().to_owned());
        self.flate2.as_deref().map(absolute).or(built)
    }

    /// Below `target` by default: what is measured is a disk, and /tmp may be memory.
    pub fn base(&self) -> PathBuf {
        self.work.as_deref().map_or_else(report_dir, absolute)
    }

    pub fn work(&self) -> PathBuf {
        self.base().join("bench-work")
    }
}

pub fn report_dir() -> PathBuf {
    root().join("target/bench")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program under a quota does not begin in our directory.
fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

fn or<'a, T>(given: &'a [T], usual: &'a [T]) -> &'a [T] {
    if given.is_empty() { usual } else { given }
}
