//! Nothing is left behind, however a run ends; and the JVM lives.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::hprof_check::assert_complete;
use crate::common::shape::{Shape, files_in, resume};
use crate::common::tool::{Ended, Run, Tool, has_run, seconds_of, time_of};
use crate::common::waiting::wait_until;

#[test]
fn successful_run_leaves_the_object_and_its_texts_only() {
    let Some(shape) = Shape::new("17", 4) else { return };
    let stored = shape.dump().run().expect(0).stored();
    shape.assert_clean("after success");
    let files = files_in(shape.store.path()).into_iter().filter(|path| !Path::new(path).is_dir());
    let beside = |tail| stored.to_str().unwrap().replace(".hprof.gz", tail);
    assert_eq!(files.collect::<Vec<_>>(), [stored.to_str().unwrap(), &beside(".json"), &beside(".txt")]);
}

#[test]
fn signalled_run_leaves_only_what_its_receipt_names() {
    for (version, signal) in [("17", Signal::TERM), ("25", Signal::INT), ("8", Signal::TERM)] {
        let Some(shape) = Shape::new(version, 24) else { continue };
        // The moments are spread over the whole length of a run, however fast the machine is.
        let (length, moments) = (time_of(|| drop(shape.dump().run().expect(0))), 9);
        let mut codes = BTreeSet::new();
        for moment in 0..=moments {
            let run = shape.dump().spawn();
            std::thread::sleep(length * moment / moments);
            run.signal(signal);
            let ended = run.wait();
            codes.insert(ended.code);
            let what =
                format!("JDK {version}, {signal:?} at moment {moment}, exit status {}: {}", ended.code, ended.stderr);
            // Before the handler stands, a signal ends the process as it ends any other.
            assert!([0, 8, 128 + signal.as_raw()].contains(&ended.code), "{what}");
            if ended.code == 8 && !ended.stdout.is_empty() {
                remove_kept(&ended.receipt(), &what);
            }
            shape.assert_clean(&what);
        }
        assert!(codes.contains(&8), "JDK {version}: no run was stopped in the middle: {codes:?}");
        let parts = files_in(shape.store.path()).into_iter().filter(|path| path.ends_with(".part"));
        assert_eq!(parts.count(), 0);
    }
}

/// What the receipt calls kept is a whole dump, which can be stored, and nothing stays of it then.
fn remove_kept(receipt: &serde_json::Value, what: &str) {
    let Some(path) = receipt["kept"]["path"].as_str() else { return };
    let stored = resume(Path::new(path).parent().unwrap(), what);
    assert!(stored.len() == 1 && !Path::new(path).exists(), "{what}: {stored:?}");
}

#[test]
fn a_deadline_ends_the_run_with_its_own_code_and_cleans_up() {
    let Some(shape) = Shape::new("17", 300) else { return };
    let ended = shape.dump().args(&["--deadline", "300ms"]).run().expect(8);
    assert!(ended.stderr.contains("deadline"), "{}", ended.stderr);
    remove_kept(&ended.receipt(), "after the deadline");
    shape.assert_clean("after the deadline");
}

/// Its file has no name, and what is compressed of it is given back to the disk: stopping would lose it.
#[test]
fn finished_dump_outlives_the_deadline() {
    for version in ["8", "17", "25"] {
        let Some(shape) = Shape::new(version, 25) else { continue };
        let dump = || shape.dump().args(&["--all", "--level", "9"]);
        let receipt = dump().run().expect(0).receipt();
        // The compression begins with the dump, and is over long after it.
        let (dumped, all) = (seconds_of(&receipt, "dump"), seconds_of(&receipt, "compress"));
        assert!(all > 2.0 * dumped, "JDK {version}: {receipt}");
        let first = dumped + (all - dumped) / 3.0;
        let ended = ended_after_the_jvm(&shape, dump, first, all);
        let ended = ended.unwrap_or_else(|| panic!("JDK {version}: nothing was kept: {receipt}"));
        let receipt = ended.receipt();
        let path = match (ended.code, receipt["kept"]["path"].as_str()) {
            (8, Some(kept)) => PathBuf::from(kept),
            _ => ended.expect(0).stored(),
        };
        assert_eq!(assert_complete(path).of("Marker"), 50, "JDK {version}");
    }
}

/// A deadline of so many seconds may come before the JVM is done, for other tests run beside: then it is set later, and
/// still before the time that all takes.
fn ended_after_the_jvm(shape: &Shape, dump: impl Fn() -> Tool, first: f64, all: f64) -> Option<Ended> {
    let deadlines = (0..4).map(|try_number| first * 1.5_f64.powi(try_number)).take_while(|seconds| *seconds < all);
    let tries = deadlines.map(|seconds| {
        // A JVM that was left alone goes on with its dump.
        assert_eq!(shape.jvm.say("ping"), "pong");
        dump().args(&["--deadline", &format!("{}ms", (seconds * 1000.0) as u64), "--force"]).run()
    });
    let tells = |ended: &Ended| ended.code != 8 || ended.receipt()["kept"]["path"].is_string();
    tries.into_iter().find(tells)
}

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    let Some(shape) = Shape::new("17", 4) else { return };
    let mut run = shape.dump().arg("-v").spawn();
    drop((run.child.stdout.take(), run.child.stderr.take()));
    run.signal(Signal::HUP);
    assert!([0, 129].contains(&run.wait().code));
    shape.assert_clean("without a reader");
    // A hang-up in the middle of the run.
    let mut run = shape.dump().spawn();
    drop((run.child.stdout.take(), run.child.stderr.take()));
    wait_for_handler(&run);
    run.signal(Signal::HUP);
    run.wait().expect(0);
    shape.assert_clean("after a hang-up");
}

/// Waits until a run catches a hang-up: before that, one ends it as it ends any other process.
#[track_caller]
fn wait_for_handler(run: &Run) {
    let begun = Instant::now();
    while !catches_hang_up(run.child.id()).unwrap_or_default() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it catches no hang-up");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The lowest bit is signal 1 (proc_pid_status(5)).
fn catches_hang_up(pid: u32) -> Option<bool> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    Some(u64::from_str_radix(caught.trim(), 16).ok()? & 1 == 1)
}

#[test]
fn reader_that_goes_away_leaves_a_kept_dump() {
    let Some(shape) = Shape::new("17", 8) else { return };
    let mut run = Tool::new(&["shop", "cart", "prod", "--store", "-", "--output", "json"])
        .args(&["--pid", &shape.jvm.pid().to_string(), "--dir", shape.dumps.path().to_str().unwrap()])
        .spawn();
    drop(run.child.stdout.take());
    let ended = run.wait().expect(7);
    let receipt = ended.stderr.lines().find(|line| line.starts_with('{')).expect("a receipt on stderr");
    let receipt: serde_json::Value = serde_json::from_str(receipt).unwrap();
    assert!(receipt["kept"]["path"].is_string(), "{receipt}");
    remove_kept(&receipt, "without a reader of the dump");
    shape.assert_clean("without a reader of the dump");
}

#[test]
fn two_runs_started_together_make_one_dump_and_one_object() {
    let Some(shape) = Shape::new("17", 200) else { return };
    let (first, pid) = (shape.dump().spawn(), shape.jvm.pid());
    wait_until("the first run", || has_run(pid, pid));
    let runs = [first, shape.dump().spawn()];
    let ended = runs.map(|run| run.wait().expect(0));
    let [first, second] = [0, 1].map(|n: usize| ended[n].receipt());
    for what in ["object", "dump", "jvm", "stored"] {
        assert_eq!(first[what], second[what], "{what}");
    }
    assert!(second["warnings"].to_string().contains("the same dump"), "{second}");
    assert_complete(ended[1].stored());
    let stored = files_in(shape.store.path()).into_iter().filter(|path| path.ends_with(".hprof.gz"));
    assert_eq!(stored.count(), 1);
    assert!(ended.iter().any(|run| run.stderr.contains("another run is dumping")));
    shape.assert_clean("after two runs");
}

#[test]
fn a_run_that_follows_one_that_died_takes_over() {
    let Some(shape) = Shape::new("17", 48) else { return };
    let first = shape.dump().spawn();
    std::thread::sleep(Duration::from_millis(100));
    let second = shape.dump().spawn();
    std::thread::sleep(Duration::from_millis(100));
    first.signal(Signal::KILL);
    first.wait();
    assert_complete(second.wait().expect(0).stored());
}

#[test]
fn a_failed_dump_leaves_nothing() {
    let Some(shape) = Shape::new("17", 4) else { return };
    let dir = shape.dumps.path();
    // The JVM may write to the directory, but no file of more than a few kilobytes.
    let limited = dir.join("limited");
    std::fs::create_dir(&limited).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
        .arg(&limited)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        return crate::common::bed::cannot_run("mounting a tmpfs needs root");
    }
    let limited_text = limited.to_str().unwrap().to_owned();
    let base = || Tool::dump(shape.jvm.pid(), shape.store.path().to_str().unwrap()).args(&["--dir", &limited_text]);
    let (refused, forced) = (base().run(), base().arg("--force").run());
    let left = files_in(&limited);
    let unmounted = std::process::Command::new("umount").arg(&limited).status().is_ok_and(|status| status.success());
    std::fs::remove_dir(&limited).unwrap();
    assert!(unmounted && left.is_empty(), "left in the full directory: {left:?}");
    let refused = refused.expect(6);
    assert!(refused.stderr.contains("needs at least") && refused.stderr.contains("--force"), "{}", refused.stderr);
    let forced = forced.expect(5);
    assert!(forced.stderr.contains("No space left"), "{}", forced.stderr);
    shape.assert_clean("after a full disk");
    assert_eq!(files_in(shape.store.path()), BTreeSet::new());
}

/// Its heap is so large that it cannot be done before the signal comes.
#[test]
fn jvm_that_dies_in_its_dump_ends_the_run() {
    for version in ["8", "17", "25"] {
        let Some(shape) = Shape::new(version, 500) else { continue };
        let run = shape.dump().args(&["--deadline", "60s"]).spawn();
        wait_until("the JVM's dump", || writes_below(shape.jvm.pid(), shape.dumps.path()));
        let pid = rustix::process::Pid::from_raw(shape.jvm.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        let ended = run.wait().expect(5);
        assert!(ended.stderr.contains("ended during its dump"), "JDK {version}: {}", ended.stderr);
        assert_eq!(files_in(shape.dumps.path()), BTreeSet::new(), "JDK {version}");
        assert!(!files_in(shape.store.path()).iter().any(|path| path.ends_with(".part")), "JDK {version}");
    }
}

/// Whether a process has a file there with something in it, with a name or without. What the tool makes of it says
/// less: on a busy machine it comes much later.
fn writes_below(pid: u32, dir: &Path) -> bool {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut held = fds.map(|fd| fd.path()).filter(|fd| std::fs::read_link(fd).is_ok_and(|link| link.starts_with(dir)));
    held.any(|fd| std::fs::metadata(fd).is_ok_and(|meta| meta.is_file() && meta.len() > 0))
}

#[test]
fn stalled_reader_does_not_outlive_the_deadline() {
    let Some(shape) = Shape::new("17", 8) else { return };
    let mut run = Tool::new(&["shop", "cart", "prod", "--store", "-", "--output", "json", "--deadline", "3s"])
        .args(&["--pid", &shape.jvm.pid().to_string(), "--dir", shape.dumps.path().to_str().unwrap()])
        .spawn();
    // Held, and never read.
    let stalled = run.child.stdout.take();
    let ended = run.wait().expect(8);
    drop(stalled);
    let receipt = ended.stderr.lines().find(|line| line.starts_with('{')).expect("a receipt on stderr");
    let receipt: serde_json::Value = serde_json::from_str(receipt).unwrap();
    remove_kept(&receipt, "with a stalled reader");
    shape.assert_clean("with a stalled reader");
}
