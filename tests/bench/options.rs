//! The flags of `make bench BENCH="…"`.

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::common::tool;
use crate::heap::{Kind, Spec};

/// Runs the tool against its peers; writes target/bench/bench.md and bench.svg
#[derive(Debug, Parser)]
pub struct Options {
    /// JDKs of the test bed
    #[arg(long, value_delimiter = ',', default_value = "8,17,21,25")]
    jdks: Vec<String>,
    /// About the size of the dump, in GiB [default: 0.25,1,4; quick: 0.25]
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<f64>,
    /// What the heap holds [default: all; quick: mixed]
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Rounds of each heap; in a round each contestant runs once [default: 5, of heaps above 2 GiB and quick: 3]
    #[arg(long)]
    rounds: Option<usize>,
    /// One small heap on each JDK
    #[arg(long)]
    quick: bool,
    /// The tool with ISA-L [default: that of `make release`]
    #[arg(long, value_name = "FILE")]
    isal: Option<PathBuf>,
    /// The tool with flate2 [default: the one that cargo has built with this benchmark]
    #[arg(long, value_name = "FILE")]
    flate2: Option<PathBuf>,
    /// Dumps are made and stored in a new directory there [default: target/bench]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// `cargo bench` says this to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    pub fn heaps(&self) -> Vec<Spec> {
        let mut heaps = Vec::new();
        for &size in or(&self.sizes, if self.quick { &[0.25] } else { &[0.25, 1.0, 4.0] }) {
            for &kind in or(&self.kinds, if self.quick { &[Kind::Mixed] } else { &Kind::ALL }) {
                let mb = (size * 1024.0).round() as u32;
                heaps.extend(self.jdks.iter().map(|jdk| Spec { jdk: jdk.clone(), kind, mb }));
            }
        }
        heaps
    }

    pub fn rounds(&self, heap: &Spec) -> usize {
        let usual = if self.quick || heap.mb > 2048 { 3 } else { 5 };
        self.rounds.unwrap_or(usual).max(1)
    }

    pub fn isal(&self) -> PathBuf {
        let released = format!("dist/jmap-dump-tool-{}-linux-musl", std::env::consts::ARCH);
        self.isal.clone().unwrap_or_else(|| root().join(released))
    }

    /// None where cargo has built the tool with ISA-L, and no other was named.
    pub fn flate2(&self) -> Option<PathBuf> {
        let built = (!cfg!(feature = "isal")).then(|| tool::binary().to_owned());
        self.flate2.clone().or(built)
    }

    /// Below `target` by default: what is measured is a disk, and /tmp may be memory.
    pub fn work(&self) -> PathBuf {
        self.work.clone().unwrap_or_else(report_dir).join("bench-work")
    }
}

pub fn report_dir() -> PathBuf {
    root().join("target/bench")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn or<'a, T>(given: &'a [T], usual: &'a [T]) -> &'a [T] {
    if given.is_empty() { usual } else { given }
}
