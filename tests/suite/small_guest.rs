//! In half a processor and little memory, the dump costs the application what the bare dump costs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::tool::binary;
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
