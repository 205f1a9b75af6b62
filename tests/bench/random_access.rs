//! What one object of a stored dump costs a reader with random access: 2,000 random instances, read by themselves as
//! Eclipse MAT reads them. Without files: a dump of ours beside one that the JVM has compressed itself, of the same heap.
//! Writes target/bench/random_access.md.

#![allow(clippy::disallowed_methods, reason = "benchmarks read their own files and wait for their children")]

#[path = "../common/mod.rs"]
mod common;

#[allow(dead_code, reason = "shared with the benchmark against peers, which counts markers")]
mod heap;

#[allow(dead_code, reason = "shared with benchmarks that name JVMs and disk")]
mod machine;
mod median;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;

use common::bed;
use common::random_access::{RandomAccessFile, read_objects};
use common::sampled_objects::{Sampled, sample};
use heap::{BuiltHeap, Kind, Spec};
use median::median;

/// Of the time that the JVM's own file takes.
const BOUND: f64 = 0.2;

/// Reads random objects of gzipped dumps
#[derive(Debug, Parser)]
struct Options {
    /// Gzipped dumps with a block size; the first one is the measure of the others [default: two, made here]
    files: Vec<PathBuf>,
    #[arg(long, default_value = "2000")]
    objects: usize,
    #[arg(long, default_value = "3")]
    rounds: usize,
    /// Chooses the objects
    #[arg(long, default_value = "19")]
    seed: u64,
    /// JDK of the test bed that makes the two dumps
    #[arg(long, default_value = "17")]
    jdk: String,
    /// About the size of the two dumps, in MiB
    #[arg(long, default_value = "1024")]
    mib: u32,
    /// The tool [default: that of `make release`, with ISA-L]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// `cargo bench` says this to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.files.is_empty() {
        let rows: Vec<Row> = options.files.iter().map(|file| row(&name(file), file, &options)).collect();
        report(&rows, &options, "");
        return ExitCode::SUCCESS;
    }
    let work = tempfile::tempdir_in(root().join("target")).expect("target can be written");
    let Some(made) = dumps(work.path(), &options) else { return ExitCode::SUCCESS };
    let rows = made.map(|(name, file)| row(name, &file, &options));
    let ratio = rows[1].ratio(&rows[0]);
    let met = ratio <= BOUND;
    let verdict = if met { "met" } else { "**missed**" };
    report(&rows, &options, &format!("\nTime of ours: {ratio:.2} times that of `-gz=1`, bound {BOUND}: {verdict}.\n"));
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// None, said on stderr, where the JVM is not installed.
fn dumps(work: &Path, options: &Options) -> Option<[(&'static str, PathBuf); 2]> {
    let spec = Spec { jdk: options.jdk.clone(), kind: Kind::Mixed, mb: options.mib };
    let heap = BuiltHeap::of(&spec)?;
    let pid = heap.jvm.pid().to_string();
    let theirs = work.join("jcmd.hprof.gz");
    let mut jcmd = Command::new(bed::home(&options.jdk).join("bin/jcmd"));
    run(jcmd.args([&pid, "GC.heap_dump", "-all", "-gz=1"]).arg(&theirs));
    let released = root().join(format!("dist/jmap-dump-tool-{}-linux-musl", std::env::consts::ARCH));
    let mut ours = Command::new(options.binary.clone().unwrap_or(released));
    let store = work.join("store");
    ours.args(["dump", "bench", "heap", "prod", "--all", "--output", "json", "--pid", &pid, "--store"]).arg(&store);
    let receipt: serde_json::Value = serde_json::from_str(&run(&mut ours)).expect("a JSON receipt");
    let key = receipt["object"]["key"].as_str().expect("the receipt has a key");
    Some([("jcmd -gz=1", theirs), ("ours", store.join(key))])
}

/// What it printed.
fn run(command: &mut Command) -> String {
    let ended = command.stdin(Stdio::null()).output().expect("it can be run");
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&[ended.stderr, ended.stdout].concat()));
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

struct Row {
    name: String,
    block_size: usize,
    members: usize,
    raw_len: u64,
    stored: u64,
    /// Where in the dump the objects lie, from the first to the last.
    from: u64,
    to: u64,
    misses: u64,
    inflated: u64,
    /// One of each round.
    times: Vec<Duration>,
}

impl Row {
    fn seconds(&self) -> f64 {
        median(self.times.iter().map(Duration::as_secs_f64).collect())
    }

    fn ratio(&self, first: &Row) -> f64 {
        self.seconds() / first.seconds()
    }
}

fn row(name: &str, path: &Path, options: &Options) -> Row {
    let objects = sample(path, options.objects, options.seed).unwrap_or_else(|e| panic!("{e}"));
    let offsets = || objects.iter().map(|object: &Sampled| object.offset);
    let stored = fs::metadata(path).expect("it was read").len();
    let mut row = Row {
        name: name.to_owned(),
        block_size: 0,
        members: 0,
        raw_len: 0,
        stored,
        from: offsets().min().unwrap_or_default(),
        to: offsets().max().unwrap_or_default(),
        misses: 0,
        inflated: 0,
        times: Vec::new(),
    };
    for _ in 0..options.rounds.max(1) {
        // Opening it reads all of it, so that it comes from the page cache.
        let mut file = RandomAccessFile::open(path).unwrap_or_else(|e| panic!("{e}"));
        let time = read_objects(&mut file, &objects).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        eprintln!("{name}: {:.3} s", time.as_secs_f64());
        row.times.push(time);
        (row.block_size, row.members, row.raw_len) = (file.block_size, file.members.len(), file.raw_len);
        (row.misses, row.inflated) = (file.misses, file.inflated);
    }
    row
}

fn report(rows: &[Row], options: &Options, verdict: &str) {
    let mut text = format!("## Random access\n\n- {}\n- {}\n\n", machine::today(), machine::machine());
    text += &format!(
        "{} random instances, read one by one with the arithmetic of Eclipse MAT: a cache of 5 MiB in whole members, and \
         a miss inflates one member. The members are known before. Each object is compared with a reading from the \
         front. Times are medians of {} rounds, from the page cache.\n\n",
        options.objects, options.rounds
    );
    text +=
        "| file | block size | members | dump MiB | stored MiB | × first | objects from–to, % | misses | inflated MiB ";
    text += "| time s | × first |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    rows.iter().for_each(|row| text += &line(row, &rows[0]));
    text += verdict;
    let dir = root().join("target/bench");
    fs::create_dir_all(&dir).expect("target can be written");
    fs::write(dir.join("random_access.md"), &text).expect("target can be written");
    println!("{text}");
}

fn line(row: &Row, first: &Row) -> String {
    let percent = |offset: u64| 100.0 * offset as f64 / row.raw_len as f64;
    let cells = [
        row.name.clone(),
        row.block_size.to_string(),
        row.members.to_string(),
        format!("{:.0}", mib(row.raw_len)),
        format!("{:.2}", mib(row.stored)),
        format!("{:.4}", row.stored as f64 / first.stored as f64),
        format!("{:.1}–{:.1}", percent(row.from), percent(row.to)),
        row.misses.to_string(),
        format!("{:.0}", mib(row.inflated)),
        format!("{:.3}", row.seconds()),
        format!("{:.3}", row.ratio(first)),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn name(file: &Path) -> String {
    file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
