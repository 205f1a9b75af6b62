//! In half a processor and little memory, the dump costs the application what the bare dump costs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::tool::{Tool, binary, seconds_of};
use crate::containers::INSIDE;
use crate::harm::Guarded;

/// What the container gets beside what the JVM has taken.
const SPARE: u64 = 80 << 20;

/// Other tests run beside, and only ever make a pause longer: the best rounds are compared, with some room.
const AT_MOST: f64 = 1.1;

/// So many rounds there are at least, and at most.
const ROUNDS: std::ops::RangeInclusive<usize> = 3..=8;

/// The quota is given out in periods of 100 ms: where in one the pause begins is chance.
const PERIODS: Duration = Duration::from_millis(200);

fn start(version: &str, memory: Option<u64>, store: &std::path::Path) -> Option<Container> {
    let container = Container::builder(version)?.cpu_quota(0.5).bind(store, "/store").arg("mb=70").arg("markers=9");
    let container = container.jvm_arg("-Xmx400m").jvm_arg("-XX:+UseSerialGC");
    let container = match memory {
        Some(bytes) => container.memory_limit(bytes),
        None => container,
    };
    Some(container.start())
}

#[test]
fn pause_with_half_a_processor_is_the_bare_dump_s() {
    let store = tempfile::tempdir().unwrap();
    for version in ["8", "17", "25"] {
        let Some(unlimited) = start(version, None, store.path()) else { continue };
        let memory = resident(unlimited.pid()) + SPARE;
        drop(unlimited);
        let Some(container) = start(version, Some(memory), store.path()) else { continue };
        container.copy_in(binary(), INSIDE);
        let ours = || {
            let ended = container.exec(&[INSIDE, "--all", "--output", "json", "--store", "/store", "a", "b", "c"]);
            assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
            let receipt: serde_json::Value = serde_json::from_str(&ended.text()).unwrap();
            let object = store.path().join(receipt["object"]["key"].as_str().unwrap());
            assert_eq!(assert_complete(&object).of("Marker"), 9, "JDK {version}");
            std::fs::remove_file(object).unwrap();
        };
        // The first one attaches, and both kinds find a warm JVM.
        ours();
        let (mut bare, mut with_us): (Vec<Duration>, Vec<Duration>) = Default::default();
        let is_as_short = |bare: &[Duration], with_us: &[Duration]| with_us[0] <= bare[0].mul_f64(AT_MOST) + PERIODS;
        while bare.len() < *ROUNDS.start() || bare.len() < *ROUNDS.end() && !is_as_short(&bare, &with_us) {
            bare.push(pause_of(&container, || bare_dump(&container)));
            with_us.push(pause_of(&container, ours));
            bare.sort();
            with_us.sort();
        }
        let middle = bare.len() / 2;
        let ratio = with_us[middle].as_secs_f64() / bare[middle].as_secs_f64();
        eprintln!("JDK {version}: {with_us:?} against {bare:?}, medians {ratio:.2}");
        assert!(is_as_short(&bare, &with_us), "JDK {version}: {with_us:?} against {bare:?}");
        assert_eq!(container.say("ping"), "pong", "JDK {version}");
    }
}

/// A whole dump that is not compressed in time stays as it is, and is stored by the next start.
#[test]
fn with_half_a_processor_a_dump_outlives_the_end_of_its_time() {
    let store = tempfile::tempdir().unwrap();
    for version in ["17", "25"] {
        let Some(container) = start(version, None, store.path()) else { continue };
        container.copy_in(binary(), INSIDE);
        // Compression takes several times as long as the JVM.
        let words = ["--all", "--level", "6", "--output", "json", "--store", "/store", "--dir", "/tmp", "a", "b", "c"];
        let whole = container.exec(&[&[INSIDE][..], &words].concat());
        assert_eq!(whole.code, 0, "JDK {version}: {whole:?}");
        let receipt: serde_json::Value = serde_json::from_str(&whole.text()).unwrap();
        let (dump, compress) = (seconds_of(&receipt, "dump"), seconds_of(&receipt, "compress"));
        assert!(compress > 1.0, "JDK {version}: {receipt}");
        // A run that is faster than the one that was measured is stored in time: then it gets less time to compress.
        let run = |share: f64| {
            let deadline = format!("{}ms", ((dump + compress * share) * 1000.0) as u64);
            let ended = container.exec(&[&[INSIDE, "--deadline", &deadline, "--force"][..], &words].concat());
            let receipt = serde_json::from_str::<serde_json::Value>(&ended.text());
            let receipt = receipt.unwrap_or_else(|_| panic!("JDK {version}, {deadline}: {ended:?}"));
            if ended.code == 0 {
                std::fs::remove_file(store.path().join(receipt["object"]["key"].as_str().unwrap())).unwrap();
            }
            (ended, receipt)
        };
        let late = [0.5, 0.25, 0.125].into_iter().map(run).find(|(ended, _)| ended.code != 0);
        let (ended, receipt) = late.unwrap_or_else(|| panic!("JDK {version}: each run was over in time"));
        assert_eq!(ended.code, 8, "JDK {version}: {ended:?}");
        assert!(receipt["kept"]["path"].is_string(), "JDK {version}: {ended:?}");
        let resumed = container.exec(&[INSIDE, "upload", "--resume", "/tmp", "--store", "/store", "--output", "json"]);
        assert_eq!(resumed.code, 0, "JDK {version}: {resumed:?}");
        let receipt: serde_json::Value = serde_json::from_str(&resumed.text()).unwrap();
        let object = store.path().join(receipt["object"]["key"].as_str().unwrap());
        assert_eq!(assert_complete(&object).of("Marker"), 9, "JDK {version}");
    }
}

/// Neighbours that take each processor for the whole run, before any thread of the tool.
#[test]
fn run_among_busy_neighbours_ends_in_its_time_and_loses_nothing() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, [store, dumps]) = (jvm.arg("mb=16").arg("markers=9").start(), [(); 2].map(|()| tempdir().unwrap()));
    let processors = std::thread::available_parallelism().unwrap().get();
    let neighbour = |_| Guarded(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
    let _neighbours: Vec<_> = (0..processors).map(neighbour).collect();
    let dump = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--all", "--deadline", "20s"]);
    let begun = Instant::now();
    let ended = dump.args(&["--dir", dumps.path().to_str().unwrap()]).run();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}: {ended:?}", begun.elapsed());
    let path = match (ended.code, ended.receipt()["kept"]["path"].as_str()) {
        (8, Some(kept)) => PathBuf::from(kept),
        _ => ended.expect(0).stored(),
    };
    assert_eq!(assert_complete(path).of("Marker"), 9);
}

fn pause_of(container: &Container, dump: impl Fn()) -> Duration {
    container.longest_gap();
    dump();
    container.longest_gap()
}

/// By the JVM's own socket, without any tool.
fn bare_dump(container: &Container) {
    let socket = container.path(&format!("/tmp/.java_pid{}", container.inner_pid()));
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"1\0dumpheap\0/tmp/bare.hprof\0-all\0\0").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("Heap dump file created"), "{answer}");
    std::fs::remove_file(container.path("/tmp/bare.hprof")).unwrap();
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
