//! How large a heap and its dump may become, as the tool tells it.

use serde_json::Value;

use crate::common::bed::cannot_run;
use crate::common::jvm::TestJvm;
use crate::common::tool::{Ended, Tool};
use crate::full_volume::Volume;
use crate::newest::compiles;

const MIB: u64 = 1 << 20;

/// Each collector, and the versions of the bed that have it.
const COLLECTORS: [(&[&str], &[&str]); 9] = [
    (&["-XX:+UseSerialGC"], &["8", "11", "17", "21", "25", "28"]),
    (&["-XX:+UseSerialGC", "-XX:NewRatio=1"], &["8", "17", "25"]),
    (&["-XX:+UseParallelGC"], &["8", "11", "17", "21", "25", "26", "27", "28"]),
    (&["-XX:+UseG1GC"], &["8", "11", "17", "21", "25", "28"]),
    (&["-XX:+UseConcMarkSweepGC"], &["8", "11"]),
    (&["-XX:+UseZGC"], &["11", "17", "21", "25", "28"]),
    (&["-XX:+UseZGC", "-XX:+ZGenerational"], &["21"]),
    (&["-XX:+UseShenandoahGC"], &["11", "17", "21", "25", "28"]),
    (&["-XX:+UseEpsilonGC"], &["17", "25"]),
];

#[test]
fn ps_tells_the_largest_heap_of_each_collector() {
    let mut jvms = Vec::new();
    for (flags, versions) in COLLECTORS {
        for version in versions {
            let Some(jvm) = TestJvm::builder(version) else { continue };
            let jvm = jvm.jvm_arg("-XX:+UnlockExperimentalVMOptions").jvm_arg("-Xmx400m");
            let jvm = flags.iter().fold(jvm, |jvm, flag| jvm.jvm_arg(flag));
            jvms.push((format!("JDK {version} {flags:?}"), jvm.arg("markers=1").start()));
        }
    }
    let told = Tool::new(&["ps", "--output", "json"]).run().expect(0);
    let rows: Vec<Value> = serde_json::from_slice(&told.stdout).unwrap();
    let max = |jvm: &TestJvm| rows.iter().find(|row| row["pid"] == jvm.pid()).map(|row| row["heap_max"].clone());
    let wrong: Vec<_> = jvms.iter().filter(|(_, jvm)| max(jvm) != Some((400 * MIB).into())).collect();
    let wrong: Vec<_> = wrong.iter().map(|(what, jvm)| format!("{what}: {:?}", max(jvm))).collect();
    assert!(!jvms.is_empty() && wrong.is_empty(), "not {}: {wrong:#?}", 400 * MIB);
}

#[test]
fn disk_limit_counts_on_any_disk_outside_a_container() {
    let (Some(jvm), disk, memory) =
        (TestJvm::builder("17"), tempfile::tempdir_in("/var/tmp").unwrap(), tempfile::tempdir().unwrap())
    else {
        return;
    };
    let jvm = jvm.arg("mb=30").start();
    let Some(_volume) = Volume::mount(memory.path(), "1g") else { return cannot_run("mounting a tmpfs needs root") };
    for dir in [disk.path(), memory.path()] {
        let limited = |limit: &str| {
            let words = ["--all", "--dir", dir.to_str().unwrap(), "--disk-limit", limit];
            Tool::dump(jvm.pid(), "/var/tmp").args(&words).arg("--dry-run").run()
        };
        let ended = limited("1Mi").expect(6);
        assert!(ended.stderr.contains("1.0 MiB of the disk may be used"), "{}", ended.stderr);
        limited("4Gi").expect(0);
    }
}

/// The line of `check` about the dump's size.
#[track_caller]
fn size_line(ended: &Ended) -> Value {
    let lines: Vec<Value> = serde_json::from_slice(&ended.stdout).unwrap();
    let line = lines.into_iter().find(|line| line["what"] == "size");
    line.unwrap_or_else(|| panic!("no line: {ended:?}"))
}

/// MiB of "the dump has at most 291.5 MiB, …".
#[track_caller]
fn most(ended: &Ended) -> f64 {
    let line = size_line(ended);
    let words: Vec<&str> = line["found"].as_str().unwrap().split(' ').collect();
    let at = words.iter().position(|word| word.starts_with("MiB")).unwrap_or_else(|| panic!("{line}"));
    words[at - 1].parse().unwrap()
}

fn checked(version: &str, flags: &[&str]) -> Option<Ended> {
    let jvm = flags.iter().fold(TestJvm::builder(version)?, |jvm, flag| jvm.jvm_arg(flag));
    let jvm = jvm.jvm_arg("-XX:+UseSerialGC").jvm_arg("-Xmx400m").arg("mb=100").start();
    jvm.say("gc");
    Some(Tool::new(&["check", "--pid", &jvm.pid().to_string(), "--output", "json"]).run().expect(0))
}

#[test]
fn largest_dump_follows_compact_object_headers() {
    let of = |flag| Some(most(&checked("25", &[flag])?));
    let Some((plain, compact)) = of("-XX:-UseCompactObjectHeaders").zip(of("-XX:+UseCompactObjectHeaders")) else {
        return;
    };
    // 33 / 16 and 25 / 8 of the heap, which holds arrays, and 64 MiB for classes.
    let growth = |most: f64| most - 64.0;
    assert!(growth(compact) / growth(plain) > 1.4, "{compact} MiB, and {plain} MiB without");
    // They are the default from JDK 27 on.
    let Some(default) = checked("27", &[]) else { return };
    assert!(growth(most(&default)) / growth(plain) > 1.4, "{} MiB, and {plain} MiB without", most(&default));
}

#[test]
fn flat_value_objects_leave_the_dump_without_a_bound() {
    let Some(flat) = checked("28", &["--enable-preview"]) else { return };
    let line = size_line(&flat);
    assert!(line["state"] == "unknown" && line["found"].as_str().unwrap().contains("no bound"), "{line}");
    let Some(plain) = checked("28", &[]) else { return };
    assert_eq!(size_line(&plain)["state"], "ok");
}

/// Two thousand stacks of a thousand small frames.
const STACKS: &str = "
    public final class Stacks {
        static int deep(int n, boolean parks) {
            if (n > 0) return deep(n - 1, parks) + 1;
            if (parks) java.util.concurrent.locks.LockSupport.park();
            return 0;
        }
        public static void main(String[] args) throws Exception {
            for (int i = 0; i < 20_000; i++) deep(200, false);
            var parked = new java.util.ArrayList<Thread>();
            for (int i = 0; i < 2_000; i++) parked.add(Thread.ofVirtual().start(() -> deep(1_000, true)));
            for (Thread thread : parked) while (thread.getState() != Thread.State.WAITING) Thread.sleep(1);
            Heap.main(args);
        }
    }
";

/// Each frame is a record, and compiled code holds several frames in one.
#[test]
fn stacks_of_virtual_threads_leave_no_bound() {
    let Some(jvm) = TestJvm::builder("28") else { return };
    let classes = tempfile::tempdir().unwrap();
    if !compiles("Stacks", STACKS, &[], classes.path()) {
        return;
    }
    let jvm = jvm.jvm_arg("-XX:-UseCompactObjectHeaders").jvm_arg("-XX:+UseSerialGC");
    let jvm = jvm.jvm_arg("-Xmx200m").program("Stacks", classes.path()).start();
    jvm.say("gc");
    let check = Tool::new(&["check", "--pid", &jvm.pid().to_string(), "--output", "json"]).run().expect(0);
    let line = size_line(&check);
    let found = line["found"].as_str().unwrap();
    assert!(line["state"] == "unknown" && found.contains("no bound"), "{line}");
}
