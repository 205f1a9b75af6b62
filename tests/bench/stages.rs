//! The two stages that see each byte of a dump, by themselves on one core: the walk and the compression.
//! Dumps of 500 MiB, or of `--mib N`. The walk does not look into arrays of numbers, so their heap is no measure.
//! It is measured with the count of classes, as a run does it, and without, as a run without a disk does it.

#![allow(clippy::disallowed_methods, reason = "benchmarks read their own files and wait for their children")]

#[path = "../common/mod.rs"]
mod common;

#[allow(dead_code, reason = "shared with the other benchmark, which counts markers")]
mod heap;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jmap_dump_tool::block::{Block, Section, Slot};
use jmap_dump_tool::gzip::Encoder;
use jmap_dump_tool::pages::{PAGE, Page, Pool};
use jmap_dump_tool::waiting::Halt;
use jmap_dump_tool::{Histogram, Tally, Walker};

use heap::{BuiltHeap, Kind, Spec};

const ROUNDS: usize = 5;
const JDKS: [&str; 4] = ["21", "17", "25", "8"];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mib = args.iter().position(|arg| arg == "--mib").and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(500);
    let backend = if cfg!(feature = "isal") { "isal" } else { "flate2" };
    let mut text = "| stage | heap | MB/s | of the dump |\n|---|---|--:|--:|\n".to_owned();
    for kind in Kind::ALL {
        let Some(dump) = dump(kind, mib) else { return };
        let _ = writeln!(text, "| walk | {} | {:.0} | |", kind.name(), walk(&dump, Histogram::new));
        let _ = writeln!(text, "| walk, no classes | {} | {:.0} | |", kind.name(), walk(&dump, || ()));
        for level in [1, 2, 6] {
            let (speed, part) = compress(&dump, level);
            let _ = writeln!(text, "| {backend} -{level} | {} | {speed:.0} | {part:.3} |", kind.name());
        }
    }
    println!("{text}");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&dir).expect("target can be written");
    fs::write(dir.join(format!("stages-{backend}.md")), text).expect("target can be written");
}

/// Of a JVM that is really there; None where no JVM is.
fn dump(kind: Kind, mb: u32) -> Option<Vec<u8>> {
    let specs = JDKS.map(|jdk| Spec { jdk: jdk.to_owned(), kind, mb });
    let heap = specs.iter().find_map(BuiltHeap::of)?;
    let dir = tempfile::tempdir().expect("a directory for the dump");
    let file = dir.path().join("heap.hprof");
    let pid = heap.jvm.pid().to_string();
    let ended = Command::new("jattach").args([&pid, "dumpheap"]).arg(&file).arg("-all").output();
    assert!(ended.is_ok_and(|ended| ended.status.success()), "jattach: run tests/bench/install.sh");
    Some(fs::read(&file).expect("the JVM has dumped"))
}

/// The pieces that the pipeline pushes. MB/s of the fastest round: the others were disturbed.
fn walk<T: Tally>(dump: &[u8], tally: impl Fn() -> T) -> f64 {
    let round = |_| {
        let begun = Instant::now();
        let (mut walker, mut tally) = (Walker::new(), tally());
        dump.chunks(PAGE).for_each(|piece| walker.push_to(piece, &mut tally).expect("the JVM writes HPROF"));
        assert!(walker.finish().complete, "the JVM's dump is whole");
        begun.elapsed()
    };
    speed(dump, (0..ROUNDS).map(round).min())
}

/// MB/s of the fastest round, and what is left of the dump.
fn compress(dump: &[u8], level: u32) -> (f64, f64) {
    let rounds: Vec<(Duration, usize)> = (0..ROUNDS.min(3)).map(|_| compress_once(dump, level)).collect();
    let part = rounds[0].1 as f64 / dump.len() as f64;
    (speed(dump, rounds.iter().map(|round| round.0).min()), part)
}

fn take(pool: &Pool) -> Page {
    pool.take(&Halt::default()).expect("nothing halts it")
}

fn compress_once(dump: &[u8], level: u32) -> (Duration, usize) {
    let (pool, mut encoder) = (Pool::new(2), Encoder::new(level));
    let (mut took, mut size) = (Duration::ZERO, 0);
    for (seq, piece) in dump.chunks(PAGE).enumerate() {
        let (mut raw, gz) = (take(&pool), take(&pool));
        // In the pipeline the reader fills the page.
        raw.as_mut_vec().extend_from_slice(piece);
        let block = Block { slot: Slot { section: Section::Head, seq: seq as u32 }, ends: false, raw };
        let begun = Instant::now();
        let member = encoder.compress(&block, gz).expect("a page has room for its members");
        took += begun.elapsed();
        size += member.gz.as_slice().len();
    }
    (took, size)
}

fn speed(dump: &[u8], fastest: Option<Duration>) -> f64 {
    dump.len() as f64 / 1e6 / fastest.expect("there are rounds").as_secs_f64()
}
