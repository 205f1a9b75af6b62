//! `watch --when`: a full heap is dumped once for all pods, and a healthy one is left alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::console::Console;
use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::tool::binary;
use crate::common::waiting::wait_until;
use crate::containers::INSIDE;
use crate::watch::{Pod, Watcher};

/// Starts a watcher of the JVM that has this argument.
fn watch(pod: &Pod, jvm: &str, conditions: &[&str]) -> Watcher {
    let when = conditions.join(",");
    Watcher::start(pod.tool(&["--match", jvm, "--when", &when, "--for", "1s", "-v"]))
}

/// Returns what the watcher says of itself in its status.
fn told(pod: &Pod, field: &str) -> String {
    pod.status()[field].as_str().unwrap_or_default().to_owned()
}

/// Has a full collection made about once a second until `done`: two of them show the level to a watcher, which looks as
/// often.
#[track_caller]
fn collect_until(what: &str, jvms: &[&Console], done: impl Fn() -> bool) {
    let mut collected = None::<Instant>;
    wait_until(what, || {
        if collected.is_none_or(|at| at.elapsed() > Duration::from_millis(1200)) {
            jvms.iter().for_each(|jvm| drop(jvm.say("gc")));
            collected = Some(Instant::now());
        }
        done()
    });
}

fn has_attach_socket(jvm: &TestJvm) -> bool {
    Path::new(&format!("/tmp/.java_pid{}", jvm.pid())).exists()
}

#[test]
fn full_heap_is_dumped_by_the_watcher_once() {
    for (version, collector) in [("8", "-XX:+UseParallelGC"), ("25", "-XX:+UseSerialGC")] {
        let (pod, Some(jvm)) = (Pod::new(), TestJvm::builder(version)) else { continue };
        let jvm = jvm.jvm_arg("-Xmx200m").jvm_arg(collector).arg("mb=90").arg("markers=4711").start();
        let _watcher = watch(&pod, "markers=4711", &["heap>30%"]);
        wait_until("a look", || told(&pod, "looking_at").contains("the heap, and"));
        collect_until("the dump", &[&jvm], || told(&pod, "last_automatic").contains(".hprof.gz"));
        let dumps = pod.dumps();
        assert_eq!(dumps.len(), 1, "JDK {version}");
        assert_eq!(assert_complete(&dumps[0]).of("Marker"), 4711, "JDK {version}");
        let receipt = pod.server.objects().into_iter().find(|key| key.ends_with(".json")).unwrap();
        let receipt: serde_json::Value =
            serde_json::from_slice(&std::fs::read(pod.server.object(&receipt)).unwrap()).unwrap();
        let reason = receipt["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with("watch: heap>30%: "), "{receipt}");
        assert_eq!(receipt["live"], serde_json::Value::Null, "{receipt}");
    }
}

#[test]
fn garbage_and_full_memory_call_for_no_heap_dump() {
    let (pod, Some(jvm)) = (Pod::new(), TestJvm::builder("25")) else { return };
    let jvm = jvm.jvm_arg("-Xmx400m").jvm_arg("-XX:+UseShenandoahGC").arg("mb=90").arg("markers=4712").start();
    jvm.say("churn 60");
    let _watcher = watch(&pod, "markers=4712", &["heap>60%", "memory>0%"]);
    wait_until("a look", || told(&pod, "looking_at").contains("the heap, and"));
    // Three collections come within 15 s.
    std::thread::sleep(Duration::from_secs(15));
    assert_eq!(pod.dumps().len(), 0, "{}", pod.status());
    assert!(!has_attach_socket(&jvm), "it was attached to");
}

/// Twenty watchers of one application, and their status files.
struct Storm {
    store: Pod,
    jvm: TestJvm,
    watchers: Vec<(Watcher, PathBuf)>,
    _dirs: Vec<tempfile::TempDir>,
}

impl Storm {
    fn start(markers: u32) -> Option<Self> {
        let mark = format!("markers={markers}");
        let jvm = TestJvm::builder("17")?.jvm_arg("-Xmx200m").jvm_arg("-XX:+UseSerialGC").arg("mb=90").arg(&mark);
        let (store, jvm, dirs) =
            (Pod::new(), jvm.start(), Vec::from_iter((0..20).map(|_| tempfile::tempdir().unwrap())));
        let start = |dir: &tempfile::TempDir| {
            let status = dir.path().join("status.json");
            let tool = store.tool_in(dir.path(), &["--match", &mark, "--when", "heap>30%", "--for", "1s"]);
            (Watcher::start(tool.args(&["--status", status.to_str().unwrap()])), status)
        };
        Some(Self { watchers: dirs.iter().map(start).collect(), store, jvm, _dirs: dirs })
    }

    /// Returns what each watcher says, if all of them do.
    fn tell(&self, field: &str) -> Option<Vec<String>> {
        let told = |(_, status): &(Watcher, PathBuf)| {
            let status: serde_json::Value = serde_json::from_slice(&std::fs::read(status).ok()?).ok()?;
            Some(status[field].as_str()?.to_owned())
        };
        self.watchers.iter().map(told).collect()
    }
}

/// One store knows conditions of requests, another one does not.
#[test]
fn twenty_watchers_pause_an_application_once() {
    let (Some(with), Some(without)) = (Storm::start(4713), Storm::start(4715)) else { return };
    without.store.server.refuse_conditions();
    let storms = [with, without];
    let all_tell = |field: &str| storms.iter().all(|storm| storm.tell(field).is_some());
    wait_until("all looks", || all_tell("looking_at"));
    collect_until("all answers", &[&storms[0].jvm, &storms[1].jvm], || all_tell("last_automatic"));
    for storm in &storms {
        assert_eq!(storm.store.dumps().len(), 1, "{:?}", storm.tell("last_automatic"));
    }
}

/// The heap is full long before the time of `--for`. The small artefacts come first, for the dump may come too late.
#[test]
fn leak_that_outruns_its_time_is_dumped() {
    let (pod, Some(jvm)) = (Pod::new(), TestJvm::builder("17")) else { return };
    let jvm = jvm.jvm_arg("-Xmx200m").jvm_arg("-XX:+UseG1GC").jvm_arg("-XX:+ExitOnOutOfMemoryError");
    let jvm = jvm.arg("mb=90").arg("markers=4716").start();
    let _watcher = Watcher::start(pod.tool(&["--match", "markers=4716", "--when", "heap>60%"]));
    wait_until("a look", || told(&pod, "looking_at").contains("the heap, and"));
    jvm.say("leak 5");
    wait_until("the dump", || pod.dumps().len() == 1);
    assert_complete(&pod.dumps()[0]);
    let objects = pod.server.objects();
    let small = objects.iter().filter(|key| key.ends_with(".txt.gz")).count();
    assert_eq!(small, 3, "{objects:?}");
}

/// `memory>…` alone holds at once, and asks for small artefacts. The heap comes later.
#[test]
fn small_artefacts_do_not_put_off_a_heap_dump() {
    let (Some(container), store) = (Container::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let container = container.memory_limit(600 << 20).jvm_arg("-Xmx200m").jvm_arg("-XX:+UseSerialGC").arg("mb=90");
    let container = container.bind(store.path(), "/store").start();
    container.copy_in(binary(), INSIDE);
    let words = [INSIDE, "watch", "shop", "cart", "prod", "/tmp", "--store", "/store", "--when", "memory>5%,heap>30%"];
    let _watcher = container.command(&[&words[..], &["--for", "1s"]].concat()).spawn();
    let has = |end: &str| {
        let entries = std::fs::read_dir(store.path().join("shop/cart/prod")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(end)).count()
    };
    wait_until("small artefacts", || has("_memory.txt.gz") == 1);
    collect_until("the dump", &[&container], || has(".hprof.gz") == 1);
    assert_eq!(has("_memory.txt.gz"), 1);
}

#[test]
fn settings_that_say_off_end_automatic_dumps() {
    let (pod, Some(jvm)) = (Pod::new(), TestJvm::builder("17")) else { return };
    let jvm = jvm.jvm_arg("-Xmx200m").jvm_arg("-XX:+UseSerialGC").arg("mb=90").arg("markers=4714").start();
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "when = \"off\"\n").unwrap();
    let config = config.path().to_str().unwrap();
    let flags = ["--match", "markers=4714", "--when", "heap>30%", "--for", "1s", "--config", config];
    let _watcher = Watcher::start(pod.tool(&flags));
    wait_until("a look", || told(&pod, "looking_at").contains("the heap, and"));
    for _ in 0..4 {
        jvm.say("gc");
        std::thread::sleep(Duration::from_millis(1200));
    }
    assert_eq!(pod.dumps().len(), 0);
    assert!(!has_attach_socket(&jvm), "it was attached to");
    std::fs::write(config, "").unwrap();
    wait_until("the dump", || pod.dumps().len() == 1);
}

/// Direct buffers fill the container; the heap is small.
#[test]
fn memory_outside_the_heap_calls_for_small_artefacts() {
    let (Some(container), store) = (Container::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let container = container.memory_limit(600 << 20).jvm_arg("-Xmx100m").jvm_arg("-XX:MaxDirectMemorySize=1g");
    let container = container.bind(store.path(), "/store").start();
    container.copy_in(binary(), INSIDE);
    let words = [INSIDE, "watch", "shop", "cart", "prod", "/tmp", "--store", "/store", "--when", "memory>60%,heap>80%"];
    let mut watcher = container.command(&[&words[..], &["--for", "1s", "--output", "json"]].concat()).spawn();
    container.say("direct 400");
    let objects = || {
        let entries = std::fs::read_dir(store.path().join("shop/cart/prod")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name.ends_with(".gz"));
        names.sort();
        names
    };
    wait_until("three objects", || objects().len() == 3);
    let objects = objects();
    let kinds: Vec<_> = objects.iter().filter_map(|name| name.rsplit('_').next()).collect();
    assert_eq!(kinds, ["histogram.txt.gz", "memory.txt.gz", "threads.txt.gz"], "{objects:?}");
    watcher.signal(rustix::process::Signal::TERM);
    let ended = watcher.wait();
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(text.contains("watch: memory>60%: ") && text.contains("no heap dump, for the heap is not above"), "{text}");
}
