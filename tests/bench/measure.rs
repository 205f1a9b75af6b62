//! One run of one contestant, and all rounds on one heap.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::common::hprof_check::try_census;
use crate::common::random_access::{RandomAccessFile, read_objects};
use crate::common::sampled_objects::sample;
use crate::contestants::Contestant;
use crate::cpu_time;
use crate::heap::{BuiltHeap, Spec};
use crate::options::Plan;
use crate::results::{HeapResult, Measured, Row};
use crate::site::Site;
use crate::watch::Watch;

/// None, said on stderr, where the heap cannot be had.
pub fn heap(plan: &Plan, site: &Site) -> Option<HeapResult> {
    let spec = &plan.spec;
    if let Some(obstacle) = too_large(plan, site) {
        eprintln!("SKIP {spec}: {obstacle}");
        return None;
    }
    let heap = match &site.quota {
        None => BuiltHeap::of(spec)?,
        Some(quota) => {
            let heap = BuiltHeap::behind(quota.of_jvm(), spec)?;
            quota.check_seen_by(heap.jvm.pid());
            heap
        }
    };
    // The first dump of a JVM is slower than its later ones, and would always be the same contestant's.
    let _ = Contestant::Bare.run(heap.jvm.pid(), &spec.jdk, site);
    site.clear();
    let mut rows: Vec<Row> = plan.contestants.iter().map(|contestant| row(*contestant, spec, site)).collect();
    for round in 0..plan.rounds {
        let count = rows.len();
        for turn in 0..count {
            // Nobody always runs behind the same one.
            next_run(&mut rows[(turn + round) % count], &heap, spec, site);
        }
    }
    Some(HeapResult { spec: spec.clone(), cpus: site.cpus(), rows })
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
        // Outside the measured time.
        let checked = if row.contestant.is_ours() { verify(&stored, heap, row.runs.is_empty()) } else { Ok(()) };
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
    let pid = heap.jvm.pid();
    contestant.prepare(pid, site)?;
    // What the last one has left to be written would be written on this one's time.
    rustix::fs::sync();
    heap.jvm.longest_gap();
    let [cpu, jvm_cpu, server_cpu] = cpu_times(pid, site);
    let watch = Watch::start(pid, site.work());
    let begun = Instant::now();
    let outcome = contestant.run(pid, &spec.jdk, site);
    let wall = begun.elapsed();
    let peaks = watch.end();
    let [cpu_after, jvm_cpu_after, server_cpu_after] = cpu_times(pid, site);
    let pause = heap.jvm.longest_gap();
    let outcome = outcome?;
    let stored = fs::metadata(&outcome.stored).map_err(|e| format!("{}: {e}", outcome.stored.display()))?.len();
    let measured = Measured {
        wall,
        local: outcome.local,
        pause,
        cpu: cpu_after.saturating_sub(cpu),
        jvm_cpu: jvm_cpu_after.saturating_sub(jvm_cpu),
        server_cpu: contestant.uses_s3().then(|| server_cpu_after.saturating_sub(server_cpu)),
        anon: peaks.anon,
        disk: peaks.disk,
        stored,
    };
    Ok((measured, outcome.stored))
}

/// Of what was started for a run and has ended, of the JVM, and of the S3 server.
fn cpu_times(jvm: u32, site: &Site) -> [std::time::Duration; 3] {
    [cpu_time::of_children(), cpu_time::of_process(jvm), site.s3.cpu()]
}

/// By the parser that is not ours.
fn verify(stored: &Path, heap: &BuiltHeap, is_first: bool) -> Result<(), String> {
    let census = try_census(stored)?;
    let markers = census.of("Marker");
    if !census.ended || markers != heap.markers {
        return Err(format!("DAMAGED DUMP: end record {}, {markers} of {} markers", census.ended, heap.markers));
    }
    if is_first { verify_middle(stored) } else { Ok(()) }
}

/// Some objects, as Eclipse MAT would read them.
fn verify_middle(stored: &Path) -> Result<(), String> {
    const OBJECTS: usize = 200;
    let mut file = RandomAccessFile::open(stored)?;
    read_objects(&mut file, &sample(stored, OBJECTS, 19)?).map(drop)
}

/// The part of a disk that always stays free, in percent: the kubelet's threshold, which the tool keeps, too.
const KEPT_FREE: u64 = 15;

/// Memory for the dump in the page cache, at most, in MiB. What does not fit is written while the JVM dumps.
const CACHE_MAX: u64 = 4096;

/// The heap itself and the dump in the page cache want memory; the dump, its copy and the server's want disk.
fn too_large(plan: &Plan, site: &Site) -> Option<String> {
    let mib = u64::from(plan.spec.mb);
    let memory = u64::from(plan.spec.heap_max()) + mib.min(CACHE_MAX);
    let meminfo = fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    if available.is_some_and(|kib| kib / 1024 < memory) {
        return Some(format!("it wants {memory} MiB of memory"));
    }
    let halves = if plan.contestants.iter().any(|contestant| contestant.uses_s3()) { 4 } else { 3 };
    let disk = halves * mib / 2;
    let statvfs = rustix::fs::statvfs(site.work()).expect("the work directory is there");
    let [free, all] = [statvfs.f_bavail, statvfs.f_blocks].map(|blocks| (blocks * statvfs.f_frsize) >> 20);
    let usable = free.saturating_sub(all * KEPT_FREE / 100);
    (usable < disk).then(|| {
        format!("it wants {disk} MiB of disk below {}, {KEPT_FREE} % of which stays free", site.work().display())
    })
}
