//! In half a processor and little memory, the dump costs the application what the bare dump costs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::tool::{binary, seconds_of};
use crate::containers::INSIDE;

/// What the container gets beside what the JVM has taken.
const SPARE: u64 = 80 << 20;

/// Other tests run beside, and only ever make a pause longer: the best rounds are compared, with some room.
const AT_MOST: f64 = 1.1;

/// The quota is given out in periods of 100 ms: where in one the pause begins is chance.
const PERIODS: Duration = Duration::from_millis(200);

fn start(version: &str, memory: Option<u64>, store: &std::path::Path) -> Option<Container> {
    let container = Container::builder(version)?.cpu_quota(0.5).bind(store, "/store").arg("mb=100").arg("markers=9");
    let container = container.jvm_arg("-Xmx400m").jvm_arg("-XX:+UseSerialGC");
    let container = match memory {
        Some(bytes) => container.memory_limit(bytes),
        None => container,
    };
    Some(container.start())
}

#[test]
fn with_half_a_processor_and_little_memory_the_pause_is_the_bare_dump_s() {
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
        let rounds = (0..3).map(|_| (pause_of(&container, || bare_dump(&container)), pause_of(&container, ours)));
        let (mut bare, mut with_us): (Vec<Duration>, Vec<Duration>) = rounds.unzip();
        bare.sort();
        with_us.sort();
        let ratio = with_us[1].as_secs_f64() / bare[1].as_secs_f64();
        eprintln!("JDK {version}: {with_us:?} against {bare:?}, medians {ratio:.2}");
        assert!(with_us[0] <= bare[0].mul_f64(AT_MOST) + PERIODS, "JDK {version}: {with_us:?} against {bare:?}");
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
        let deadline = format!("{}ms", ((dump + compress / 2.0) * 1000.0) as u64);
        let ended = container.exec(&[&[INSIDE, "--deadline", &deadline, "--force"][..], &words].concat());
        assert_eq!(ended.code, 8, "JDK {version}, {deadline}: {ended:?}");
        let receipt: serde_json::Value = serde_json::from_str(&ended.text()).unwrap();
        assert!(receipt["kept"]["path"].is_string(), "JDK {version}, {deadline}: {ended:?}");
        let resumed = container.exec(&[INSIDE, "upload", "--resume", "/tmp", "--store", "/store", "--output", "json"]);
        assert_eq!(resumed.code, 0, "JDK {version}: {resumed:?}");
        let receipt: serde_json::Value = serde_json::from_str(&resumed.text()).unwrap();
        let object = store.path().join(receipt["object"]["key"].as_str().unwrap());
        assert_eq!(assert_complete(&object).of("Marker"), 9, "JDK {version}");
    }
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
