//! `--if`: healthy JVMs are left alone; and what a hook says is heard.

use std::path::Path;

use crate::common::container::Container;
use crate::common::jvm::TestJvm;
use crate::common::tool::{Tool, binary};
use crate::common::waiting::wait_until;
use crate::containers::INSIDE;

#[test]
fn jvm_with_room_in_its_old_generation_is_not_touched() {
    for version in ["8", "17", "25"] {
        let (Some(jvm), store) = (TestJvm::builder(version), tempfile::tempdir().unwrap()) else { continue };
        let jvm = jvm.jvm_arg("-Xmx200m").arg("mb=40").start();
        jvm.say("gc");
        let dump = |condition: &str| Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--if", condition]);
        let ended = dump("heap>85%").run().expect(0);
        let why = ended.receipt()["nothing_done"].as_str().unwrap_or_else(|| panic!("{ended:?}")).to_owned();
        assert!(why.contains("not heap>85%"), "JDK {version}: {why}");
        assert!(!Path::new(&format!("/tmp/.java_pid{}", jvm.pid())).exists(), "JDK {version}: it was attached to");
        assert_eq!(std::fs::read_dir(store.path()).unwrap().count(), 0, "JDK {version}");
        dump("memory>100%,heap>5%").run().expect(0).stored();
    }
}

/// Shenandoah tells the use of this moment: it rises to 340 MiB, of which 110 live.
#[test]
fn garbage_of_a_healthy_heap_is_no_reason() {
    let (Some(jvm), store) = (TestJvm::builder("25"), tempfile::tempdir().unwrap()) else { return };
    let jvm = jvm.jvm_arg("-Xmx400m").jvm_arg("-XX:+UseShenandoahGC").arg("mb=90").start();
    jvm.say("churn 30");
    wait_until("much garbage", || heap_used(&jvm) > 270 << 20);
    let dump = |condition: &str| {
        Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--if", condition]).run().expect(0).receipt()
    };
    let receipt = dump("heap>60%");
    let why = receipt["nothing_done"].as_str().unwrap_or_else(|| panic!("{receipt}"));
    assert!(why.contains("not heap>60%: "), "{why}");
    wait_until("much garbage", || heap_used(&jvm) > 270 << 20);
    let receipt = dump("heap>20%");
    let reason = receipt["reason"].as_str().unwrap_or_else(|| panic!("{receipt}"));
    let level: f64 = reason.strip_prefix("heap>20%: ").and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap();
    // What comes to life during a collection counts; that of a busy machine takes a second or two.
    assert!((20.0..60.0).contains(&level), "the objects that live: {reason}");
}

/// Returns the used bytes of the heap, as `ps` tells them.
fn heap_used(jvm: &TestJvm) -> u64 {
    let told = Tool::new(&["ps", "--output", "json"]).run().expect(0).stdout;
    let rows: serde_json::Value = serde_json::from_slice(&told).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["pid"] == jvm.pid()).unwrap_or_else(|| panic!("{rows}"));
    row["heap_used"].as_u64().unwrap()
}

#[test]
fn a_check_beside_a_run_tells_of_it_and_leaves_the_jvm_alone() {
    let (Some(jvm), server) = (TestJvm::builder("17"), crate::common::s3::S3Server::start()) else { return };
    let jvm = jvm.start();
    server.stall(std::time::Duration::from_secs(3));
    let run = Tool::dump(jvm.pid(), "s3://dumps").with_s3(&server).spawn();
    while server.requests() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = jvm.pid().to_string();
    let ended = Tool::new(&["check", "--pid", &pid]).run().expect(0);
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(text.contains("another run is at this JVM") && !text.contains("attach"), "{text}");
    run.wait().expect(0);
    let ended = Tool::new(&["check", "--pid", &pid]).run().expect(0);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("pauses the JVM for at most"));
}

#[test]
fn a_container_s_memory_is_measured_without_its_page_cache() {
    let (Some(container), store) = (Container::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let container = container.memory_limit(600 << 20).jvm_arg("-Xmx200m").bind(store.path(), "/store");
    let container = container.applets(&["dd"]).start();
    container.copy_in(binary(), INSIDE);
    let dump = |condition: &str| {
        let ended = container.exec(&[INSIDE, "--if", condition, "--store", "/store", "shop", "cart", "prod"]);
        assert_eq!(ended.code, 0, "{condition}: {ended:?}");
        ended.text()
    };
    // The kernel calls a file that is read twice active, and frees it all the same.
    let copy = |from: &str, to: &str| container.exec(&["/bin/dd", from, to, "bs=1M", "count=320"]).code;
    assert_eq!(copy("if=/dev/zero", "of=/store/file"), 0);
    assert_eq!([(); 3].map(|()| copy("if=/store/file", "of=/dev/null")), [0; 3]);
    assert!(dump("memory>50%").starts_with("nothing dumped: not memory>50%: "));
    assert!(dump("memory>1%").starts_with("stored "));
}

#[test]
fn a_container_without_a_memory_limit_is_not_near_to_it() {
    let (Some(container), store) = (Container::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let container = container.bind(store.path(), "/store").start();
    container.copy_in(binary(), INSIDE);
    let ended = container.exec(&[INSIDE, "--if", "memory>1%", "--store", "/store", "shop", "cart", "prod"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.text().starts_with("nothing dumped: not memory>1%: there is no limit"), "{}", ended.text());
}

#[test]
fn a_jvm_without_hsperfdata_is_asked_for_its_heap() {
    for version in ["8", "11", "17", "21", "25"] {
        let (Some(jvm), store) = (TestJvm::builder(version), tempfile::tempdir().unwrap()) else { continue };
        let jvm = jvm.jvm_arg("-XX:-UsePerfData").jvm_arg("-Xmx400m").arg("mb=30").start();
        jvm.say("gc");
        let dump = |condition: &str| {
            let dump = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--if", condition]);
            let ended = dump.run().expect(0);
            let warnings = ended.receipt()["warnings"].to_string();
            assert!(warnings.contains("with the garbage"), "JDK {version}: {ended:?}");
            ended
        };
        let receipt = dump("heap>85%").receipt();
        let why = receipt["nothing_done"].as_str().unwrap_or_else(|| panic!("JDK {version}: {receipt}"));
        assert!(why.contains("not heap>85%"), "JDK {version}: {why}");
        assert_eq!(std::fs::read_dir(store.path()).unwrap().count(), 0, "JDK {version}");
        dump("heap>5%").stored();
    }
}

/// An empty young generation takes half of the heap here: the old one is nearly full.
#[test]
fn old_generation_is_measured_without_hsperfdata() {
    // The two take turns: each has one way of telling it from JDK 8 to 24, and another one since.
    for (version, collector) in [("8", "-XX:+UseSerialGC"), ("17", "-XX:+UseParallelGC"), ("25", "-XX:+UseSerialGC")] {
        let (Some(jvm), store) = (TestJvm::builder(version), tempfile::tempdir().unwrap()) else { continue };
        let flags = ["-XX:-UsePerfData", "-Xmx160m", "-Xmn80m", collector];
        let jvm = flags.iter().fold(jvm, |jvm, flag| jvm.jvm_arg(flag)).arg("mb=60").start();
        jvm.say("gc");
        let dump = |condition: &str| {
            let dump = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--if", condition]);
            dump.run().expect(0).receipt()
        };
        let what = format!("JDK {version} {collector}");
        let held = dump("heap>55%");
        assert!(held["object"].is_object(), "{what}: {held}");
        assert!(held["warnings"].to_string().contains("old generation"), "{what}: {held}");
        assert!(held["reason"].as_str().unwrap().contains(" of 80.0 MiB)"), "{what}: {held}");
        assert!(dump("heap>90%")["nothing_done"].is_string(), "{what}");
    }
}

#[test]
fn reason_names_the_condition_that_held_and_its_value() {
    let (Some(jvm), store) = (TestJvm::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let jvm = jvm.jvm_arg("-Xmx200m").jvm_arg("-XX:+UseSerialGC").arg("mb=40").start();
    jvm.say("gc");
    let reason = |words: &[&str]| {
        let dump = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(words).run().expect(0);
        dump.receipt()["reason"].as_str().unwrap_or_else(|| panic!("{dump:?}")).to_owned()
    };
    let told = reason(&["--if", "heap>85%,heap>5%"]);
    let percent = told.strip_prefix("heap>5%: ").and_then(|rest| rest.split_once(" % ("));
    let percent: f64 = percent.unwrap_or_else(|| panic!("{told}")).0.parse().unwrap();
    assert!((20.0..50.0).contains(&percent) && !told.contains("85"), "{told}");
    let told = reason(&["--if", "heap>5%", "--reason", "nightly"]);
    assert!(told.starts_with("nightly (heap>5%: "), "{told}");
}

#[test]
fn unknown_condition_follows_if_unknown() {
    let (Some(container), store) = (Container::builder("17"), tempfile::tempdir().unwrap()) else { return };
    // Where the limits would be seen there is nothing.
    let container = container.tmpfs("/sys/fs/cgroup", "1m").bind(store.path(), "/store").start();
    container.copy_in(binary(), INSIDE);
    let dump = |more: &[&str]| {
        let words = [INSIDE, "--if", "memory>90%", "--store", "/store", "shop", "cart", "prod"];
        let ended = container.exec(&[&words, more].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.text()
    };
    let skipped = dump(&["--if-unknown", "skip"]);
    assert!(skipped.starts_with("nothing dumped: whether memory>90% cannot be told"), "{skipped}");
    let dumped = dump(&[]);
    assert!(dumped.starts_with("stored ") && dumped.contains("memory>90% cannot be told"), "{dumped}");
}

#[test]
fn invalid_condition_is_a_usage_error() {
    Tool::new(&["a", "b", "c", "--store", "/x", "--if", "cpu>1%"]).run().expect(2);
}

#[test]
fn messages_and_receipt_go_where_log_to_says_too() {
    let (Some(jvm), store) = (TestJvm::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let jvm = jvm.start();
    let log = store.path().join("pod.log");
    let dump = |store: &str| Tool::dump(jvm.pid(), store).args(&["-v", "--log-to", log.to_str().unwrap()]);
    let ended = dump(store.path().to_str().unwrap()).run().expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains(std::str::from_utf8(&ended.stdout).unwrap().trim()), "{text}");
    assert!(text.contains("dumping pid") && ended.stderr.contains("dumping pid"), "{text}");
    dump("/proc/nowhere").run().expect(9);
    assert!(std::fs::read_to_string(&log).unwrap().contains("error: "), "the error is missing");
    // A place that cannot be written is told, and changes nothing else.
    let nowhere = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--log-to", "/nowhere/x"]);
    assert!(nowhere.run().expect(0).stderr.contains("/nowhere/x"));
}
