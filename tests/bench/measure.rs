//! One run of one contestant, and all rounds on one heap.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::common::hprof_check::try_census;
use crate::contestants::{Contestant, Site};
use crate::heap::{BuiltHeap, Spec};
use crate::results::{HeapResult, Measured, Row};
use crate::watch::Watch;

/// None, said on stderr, where the heap cannot be had.
pub fn heap(spec: &Spec, rounds: usize, site: &Site) -> Option<HeapResult> {
    if let Some(obstacle) = too_large(spec, site) {
        eprintln!("SKIP {spec}: {obstacle}");
        return None;
    }
    let heap = BuiltHeap::of(spec)?;
    // The first dump of a JVM is slower than its later ones, and would always be the same contestant's.
    let _ = Contestant::Bare.run(heap.jvm.pid(), &spec.jdk, site);
    site.clear();
    let mut rows: Vec<Row> = Contestant::ALL.map(|contestant| row(contestant, spec, site)).into();
    for round in 0..rounds {
        let count = rows.len();
        for turn in 0..count {
            // Nobody always runs behind the same one.
            next_run(&mut rows[(turn + round) % count], &heap, spec, site);
        }
    }
    Some(HeapResult { spec: spec.clone(), rows })
}

fn row(contestant: Contestant, spec: &Spec, site: &Site) -> Row {
    let obstacle = contestant.obstacle(&spec.jdk, site);
    if let Some(obstacle) = &obstacle {
        eprintln!("SKIP {}, {spec}: {obstacle}", contestant.name());
    }
    Row { contestant, runs: Vec::new(), obstacle, failed: false }
}

/// Who has failed once is out: the rounds of all rows are the same ones.
fn next_run(row: &mut Row, heap: &BuiltHeap, spec: &Spec, site: &Site) {
    if row.obstacle.is_some() {
        return;
    }
    let outcome = run(row.contestant, heap, spec, site).and_then(|(measured, stored)| {
        // Once is enough, and outside the measured time. 4 GiB take half a minute and as much memory as the dump.
        let checked = if row.contestant.is_ours() && row.runs.is_empty() { verify(&stored, heap) } else { Ok(()) };
        checked.map(|()| measured)
    });
    match outcome {
        Ok(measured) => {
            eprintln!("{spec}, {}: {measured}", row.contestant.name());
            row.runs.push(measured);
        }
        Err(error) => {
            eprintln!("FAILED {spec}, {}: {error}", row.contestant.name());
            (row.obstacle, row.failed) = (Some(error), true);
        }
    }
    site.clear();
}

fn run(contestant: Contestant, heap: &BuiltHeap, spec: &Spec, site: &Site) -> Result<(Measured, PathBuf), String> {
    // What the last one has left to be written would be written on this one's time.
    rustix::fs::sync();
    heap.jvm.longest_gap();
    let (pid, cpu) = (heap.jvm.pid(), children_cpu());
    let watch = Watch::start(pid, site.work());
    let begun = Instant::now();
    let outcome = contestant.run(pid, &spec.jdk, site);
    let wall = begun.elapsed();
    let peaks = watch.end();
    let pause = heap.jvm.longest_gap();
    let stored = outcome?;
    let size = fs::metadata(&stored).map_err(|e| format!("{}: {e}", stored.display()))?.len();
    let cpu = children_cpu().saturating_sub(cpu);
    Ok((Measured { wall, pause, cpu, anon: peaks.anon, disk: peaks.disk, stored: size }, stored))
}

/// By the parser that is not ours.
fn verify(stored: &PathBuf, heap: &BuiltHeap) -> Result<(), String> {
    let census = try_census(stored)?;
    let markers = census.of("Marker");
    if census.ended && markers == heap.markers {
        return Ok(());
    }
    Err(format!("DAMAGED DUMP: end record {}, {markers} of {} markers", census.ended, heap.markers))
}

/// User and system time of all processes that were waited for, as getrusage(RUSAGE_CHILDREN) has it; proc(5).
fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
    let fields = stat.rsplit_once(')').expect("a name in parentheses").1.split_ascii_whitespace();
    let ticks: u64 = fields.skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The heap itself and the dump in the page cache want memory; the dump, its copy and the server's want disk.
fn too_large(spec: &Spec, site: &Site) -> Option<String> {
    let mib = u64::from(spec.mb);
    let memory = fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    if available.is_some_and(|kib| kib / 1024 < 3 * mib) {
        return Some(format!("it wants {} MiB of memory", 3 * mib));
    }
    let disk = rustix::fs::statvfs(site.work()).expect("the work directory is there");
    // The tool itself wants room for the worst case, and 15 % of some file systems.
    let free = (disk.f_bavail * disk.f_frsize) >> 20;
    (free < 6 * mib).then(|| format!("it wants {} MiB of disk below {}", 6 * mib, site.work().display()))
}
