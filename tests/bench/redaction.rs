//! What redaction costs: a JVM's dump and a file's upload into a directory, each with and without, in turn on the same
//! heaps. Ratios are medians of those within a round. Writes target/bench/redaction.md.

#![allow(clippy::disallowed_methods, reason = "benchmarks read their own files and wait for their children")]

#[path = "../common/mod.rs"]
mod common;

#[allow(dead_code, reason = "shared with the benchmark against peers, which counts markers")]
mod heap;

mod machine;
mod median;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;

use heap::{BuiltHeap, Kind, Spec};
use median::median;

/// A run with redaction may take so many times as long as one without.
const BOUND: f64 = 1.15;

/// Measures what redaction costs
#[derive(Debug, Parser)]
struct Options {
    /// JDKs of the test bed
    #[arg(long, value_delimiter = ',', default_value = "8,17,25")]
    jdks: Vec<String>,
    /// About the size of the dump, in MiB
    #[arg(long, default_value = "1024")]
    mib: u32,
    /// What the heap holds
    #[arg(long, value_delimiter = ',', default_value = "objects,strings,mixed")]
    kinds: Vec<Kind>,
    #[arg(long, default_value = "5")]
    rounds: usize,
    /// The tool [default: that of `make release`, with ISA-L]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// `cargo bench` says this to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// Where a dump comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Jvm,
    File,
}

impl From {
    fn name(self) -> &'static str {
        match self {
            From::Jvm => "dump",
            From::File => "upload",
        }
    }
}

const FROM: [From; 2] = [From::Jvm, From::File];
const REDACT: [&str; 3] = ["", "--redact=strings", "--redact=all"];

fn main() -> ExitCode {
    let options = Options::parse();
    let disk = machine::file_system(&root().join("target"));
    let mut text = format!("# What redaction costs\n\n- {}\n- {}\n- {disk}\n", machine::today(), machine::machine());
    options.jdks.iter().for_each(|jdk| text += &format!("- {}\n", machine::java(jdk)));
    text += "\nMedians of each round's time, as multiples of the one without redaction.\n\n";
    text += "| heap | MiB | verb | without, s | `--redact` | `--redact all` |\n|---|--:|---|--:|--:|--:|\n";
    let mut worst: f64 = 0.0;
    for jdk in &options.jdks {
        for kind in &options.kinds {
            let spec = Spec { jdk: jdk.clone(), kind: *kind, mb: options.mib };
            let Some(measured) = Site::new(&spec, &options).map(|site| site.rounds(options.rounds)) else { continue };
            for (from, row) in FROM.into_iter().zip(measured.rows) {
                let [strings, all] = [1, 2].map(|which| ratio(&row[which], &row[0]));
                worst = worst.max(strings).max(all);
                let without = median(row[0].iter().map(Duration::as_secs_f64).collect());
                let _ = writeln!(
                    text,
                    "| JDK {jdk}, {} | {} | {} | {without:.2} | {strings:.2} | {all:.2} |",
                    kind.name(),
                    measured.bytes >> 20,
                    from.name()
                );
            }
            println!("{text}");
        }
    }
    let met = worst <= BOUND;
    let _ = writeln!(text, "\nWorst {worst:.2}, bound {BOUND}: {}.", if met { "met" } else { "**missed**" });
    let dir = root().join("target/bench");
    fs::create_dir_all(&dir).expect("target can be written");
    fs::write(dir.join("redaction.md"), &text).expect("target can be written");
    println!("{text}");
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A JVM, its dump as a file, and where all is stored.
struct Site {
    heap: BuiltHeap,
    binary: PathBuf,
    work: tempfile::TempDir,
}

struct Measured {
    bytes: u64,
    /// Of each source, and of each way to redact.
    rows: [[Vec<Duration>; 3]; 2],
}

impl Site {
    /// None, said on stderr, where the JVM is not installed.
    fn new(spec: &Spec, options: &Options) -> Option<Self> {
        let heap = BuiltHeap::of(spec)?;
        let released = root().join(format!("dist/jmap-dump-tool-{}-linux-musl", std::env::consts::ARCH));
        let binary = options.binary.clone().unwrap_or(released);
        // What is measured is a disk, and /tmp may be memory.
        let work = tempfile::tempdir_in(root().join("target")).expect("target can be written");
        let site = Self { heap, binary, work };
        let pid = site.heap.jvm.pid().to_string();
        let ended = Command::new("jattach").args([&pid, "dumpheap"]).arg(site.file()).arg("-all").output();
        assert!(ended.is_ok_and(|ended| ended.status.success()), "jattach: run tests/bench/install.sh");
        Some(site)
    }

    fn file(&self) -> PathBuf {
        self.work.path().join("java_pid7.hprof")
    }

    fn rounds(&self, rounds: usize) -> Measured {
        let bytes = fs::metadata(self.file()).expect("the JVM has dumped").len();
        let mut measured = Measured { bytes, rows: Default::default() };
        for round in 0..rounds {
            for turn in 0..FROM.len() * REDACT.len() {
                // Nobody always runs behind the same one.
                let which = (turn + round) % (FROM.len() * REDACT.len());
                let (from, redact) = (which / REDACT.len(), which % REDACT.len());
                let took = self.run(FROM[from], REDACT[redact]);
                eprintln!("{} {}: {:.2} s", FROM[from].name(), REDACT[redact], took.as_secs_f64());
                measured.rows[from][redact].push(took);
            }
        }
        measured
    }

    fn run(&self, from: From, redact: &str) -> Duration {
        let store = self.work.path().join("store");
        let _ = fs::remove_dir_all(&store);
        // What the last one has left to be written would be written on this one's time.
        rustix::fs::sync();
        let mut command = Command::new(&self.binary);
        let pid = self.heap.jvm.pid().to_string();
        match from {
            From::Jvm => {
                command.args(["dump", "bench", "heap", "prod", "--all", "--pid", &pid, "--dir"]).arg(self.work.path())
            }
            From::File => command.args(["upload", "bench", "heap", "prod"]).arg(self.file()),
        };
        command.arg("--store").arg(&store).args(Some(redact).filter(|redact| !redact.is_empty()));
        let begun = Instant::now();
        let ended = command.env_clear().stdin(Stdio::null()).output().expect("the tool can be run");
        let took = begun.elapsed();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        took
    }
}

fn ratio(with: &[Duration], without: &[Duration]) -> f64 {
    median(with.iter().zip(without).map(|(with, without)| with.as_secs_f64() / without.as_secs_f64()).collect())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
