//! Before the pod dies: the deadline is planned with, and a whole dump is not lost; and what lies beside it.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::killed_run::{marked, start};
use crate::common::s3::{BUCKET, S3Server};
use crate::common::shape::{Shape, files_in};
use crate::common::tool::{Ended, Tool};

#[test]
fn short_deadline_takes_all_objects() {
    let Some(shape) = Shape::new("17", 500) else { return };
    let long = shape.dump().args(&["--deadline", "60s"]).run().expect(0).receipt();
    assert_eq!((&long["dump"]["live_only"], &long["warnings"]), (&true.into(), &serde_json::Value::Null));
    // On a busy machine there may be no time for the dump either.
    let in_short = |_| {
        let short = shape.dump().args(&["--deadline", "1500ms"]).run();
        assert!([0, 8].contains(&short.code), "{short:?}");
        short.receipt()
    };
    let receipts: Vec<_> = (0..3).map(in_short).collect();
    let without = |receipt: &serde_json::Value| receipt["warnings"].to_string().contains("no time for a collection");
    assert!(receipts.iter().any(without), "{receipts:?}");
}

#[test]
fn a_dump_that_cannot_be_finished_in_time_is_not_begun() {
    let Some(shape) = Shape::new("17", 1200) else { return };
    // The JVM answers at once when it has been attached to before.
    shape.dump().arg("--dry-run").run().expect(0);
    shape.jvm.longest_gap();
    // On a busy machine the deadline may pass before there is a plan.
    let is_refusal = |ended: &Ended| ended.stderr.contains("--force");
    let mut ended = shape.dump().args(&["--deadline", "600ms"]).run().expect(8);
    for _ in 1..3 {
        if !is_refusal(&ended) {
            ended = shape.dump().args(&["--deadline", "600ms"]).run().expect(8);
        }
    }
    assert!(is_refusal(&ended) && ended.stderr.contains("nothing was done to the JVM"), "{ended:?}");
    // No JVM dumps this heap in less.
    assert!(shape.jvm.longest_gap() < Duration::from_millis(800));
    shape.assert_clean("refused");
}

/// What a kubelet does: the hook, then SIGTERM to the JVM, then SIGKILL to all that is left when the grace is over. That
/// is told by the time that has passed. Exit status of the hook, and how many dumps the next start stores.
fn pod_dies(shape: &Shape, server: &S3Server, is_over: impl Fn(Duration) -> bool, deadline: Duration) -> (i32, usize) {
    let dir = shape.dumps.path().to_str().unwrap();
    let to_server = |tool: Tool| tool.with_s3(server);
    let store = format!("s3://{BUCKET}");
    let deadline = format!("{}ms", deadline.as_millis());
    let dump = Tool::dump(shape.jvm.pid(), &store).args(&["--dir", dir, "--deadline", &deadline]);
    let (begun, (mut hook, mark)) = (Instant::now(), start(to_server(dump)));
    while !is_over(begun.elapsed()) && matches!(hook.child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    // The kubelet's order: the JVM is asked to end once its hook is over, and whatever is left is killed.
    let jvm = Pid::from_raw(shape.jvm.pid().cast_signed()).unwrap();
    let _ = kill_process(jvm, Signal::TERM);
    for pid in marked(&mark).into_iter().chain([shape.jvm.pid()]) {
        let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
    }
    let ended = hook.wait();
    let (before, sealed) = (dumps_in(server), files_in(shape.dumps.path()));
    assert!(ended.code != 0 || before == 1, "not stored, and said to be: {ended:?}");
    server.stall(Duration::ZERO);
    let resumed = to_server(Tool::new(&["upload", "--resume", dir, "--store", &store])).run();
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let stored = dumps_in(server) - before;
    let was_whole = sealed.iter().any(|path| path.ends_with(".upload"));
    assert_eq!(stored, usize::from(was_whole), "a whole dump was lost: {sealed:?}");
    (ended.code, stored)
}

fn dumps_in(server: &S3Server) -> usize {
    let keys = server.objects().into_iter().filter(|key| key.ends_with(".hprof.gz"));
    keys.inspect(|key| drop(assert_complete(server.object(key)))).count()
}

/// A grace of so many milliseconds.
fn of(millis: u64) -> impl Fn(Duration) -> bool {
    move |passed| passed >= Duration::from_millis(millis)
}

/// Over when there is a whole dump, and its run has told the guard; or after a minute.
fn until_sealed(shape: &Shape) -> impl Fn(Duration) -> bool {
    move |passed| {
        let is_sealed = has_journal(shape.dumps.path());
        if is_sealed {
            std::thread::sleep(Duration::from_millis(200));
        }
        is_sealed || passed >= Duration::from_secs(60)
    }
}

/// In the directory of a run, which comes and goes.
fn has_journal(dumps: &Path) -> bool {
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(dumps).flat_map(|run| entries(&run)).any(|path| path.extension() == Some("upload".as_ref()))
}

#[test]
fn pod_that_dies_in_its_hook_loses_no_dump() {
    for version in ["8", "17", "25"] {
        // Time for everything.
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 64)) else { return };
        assert_eq!(pod_dies(&shape, &server, of(30_000), Duration::from_secs(29)), (0, 0));
        // The store is too slow: the hook ends by itself, and the next start stores what it has kept.
        let with_slow_store = |_| {
            let (server, shape) = (S3Server::start(), Shape::new(version, 64).unwrap());
            server.stall(Duration::from_secs(20));
            let (code, stored) = pod_dies(&shape, &server, of(5_000), Duration::from_secs(4));
            assert_eq!(stored, 1, "JDK {version}, {code}");
            code
        };
        // On a busy machine a hook may be killed in its last second: it loses nothing, and is tried again.
        let codes: Vec<i32> = (0..3).map(with_slow_store).take_while(|code| *code != 8).collect();
        assert!(codes.len() < 3, "JDK {version}: {codes:?}");
    }
}

#[test]
fn hook_killed_with_its_container_loses_no_whole_dump() {
    for version in ["8", "17", "25"] {
        let mut stored = 0;
        for moment in 0..4 {
            let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 64)) else { return };
            server.stall(Duration::from_secs(20));
            let deadline = Duration::from_secs(60);
            stored += match moment {
                3 => pod_dies(&shape, &server, until_sealed(&shape), deadline).1,
                _ => pod_dies(&shape, &server, of(300 + 900 * moment), deadline).1,
            };
        }
        assert!(stored > 0, "JDK {version}: no run came as far as a whole dump");
    }
}

#[test]
fn threads_and_flags_lie_beside_the_dump_and_no_secret_does() {
    for version in ["8", "11", "17", "21", "25"] {
        let (Some(builder), store) = (TestJvm::builder(version), tempfile::tempdir().unwrap()) else { continue };
        let jvm = builder.jvm_arg("-Dpassword=hunter2").jvm_arg("-XX:OnOutOfMemoryError=echo hunter3").start();
        let store_path = store.path().to_str().unwrap();
        let ended = Tool::dump(jvm.pid(), store_path).args(&["--reason", "before the pod dies"]).run().expect(0);
        let receipt = ended.receipt();
        let text = std::fs::read_to_string(store.path().join(receipt["context"].as_str().unwrap())).unwrap();
        let titles: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("=== ")).collect();
        assert_eq!(titles, ["reason of the dump", "time", "memory", "heap", "flags", "threads"], "JDK {version}");
        assert!(text.contains("before the pod dies") && text.contains("-XX:MaxHeapSize="), "JDK {version}: {text}");
        assert!(text.contains("\"main\"") && text.contains("java.lang.Thread.State"), "JDK {version}: {text}");
        assert_eq!(receipt["reason"], "before the pod dies");
        assert!(!text.contains("hunter") && !receipt.to_string().contains("hunter"), "JDK {version}: {text}");
        assert!(!jvm.log().contains("Full thread dump"), "JDK {version}");
        let ended = Tool::dump(jvm.pid(), store_path).args(&["--with", "none"]).run().expect(0);
        assert_eq!(ended.receipt()["context"], serde_json::Value::Null);
        assert!(!Path::new(&ended.stored().to_str().unwrap().replace(".hprof.gz", ".txt")).exists());
    }
}
