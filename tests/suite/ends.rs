//! Every run ends, whatever disk or reader fails; and the application is let go.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::bed::cannot_run;
use crate::common::hprof_check::assert_complete;
use crate::common::s3::{BUCKET, S3Server};
use crate::common::shape::{Shape, files_in, resume};
use crate::common::tool::{Ended, Run, Tool, has_run};
use crate::common::waiting::wait_until;
use crate::full_volume::Volume;

/// What a run may take to stop after its deadline: the deadline itself is seen at once.
const SLACK: Duration = Duration::from_secs(10);

const DEADLINE: Duration = Duration::from_secs(8);

/// Runs it, and wants an end within its deadline.
#[track_caller]
fn ended_in_time(tool: Tool, what: &str) -> Ended {
    let begun = Instant::now();
    let ended = tool.args(&["--deadline", "8s"]).run();
    assert!(begun.elapsed() < DEADLINE + SLACK, "{what}: after {:?}: {}", begun.elapsed(), ended.stderr);
    ended
}

/// The object does not fit, at one size or another: early, late, or in the very last piece.
#[test]
fn full_store_directory_ends_the_run_with_its_error() {
    for (version, megabytes, sizes) in [
        ("17", 60, &[2, 4, 5, 6, 8, 12][..]),
        ("8", 125, &[10]),
        ("17", 125, &[10]),
        ("21", 125, &[10]),
        ("25", 125, &[10]),
    ] {
        let Some(shape) = Shape::new(version, megabytes) else { continue };
        for size in sizes {
            let Some(volume) = Volume::mount(shape.store.path(), &format!("{size}m")) else {
                return cannot_run("mounting a tmpfs needs root");
            };
            let what = format!("JDK {version}, {megabytes} MB into {size} MB");
            let ended = ended_in_time(shape.dump().arg("--force"), &what);
            drop(volume);
            assert!([5, 6].contains(&ended.code), "{what}: {ended:?}");
            assert!(ended.stderr.contains("No space left"), "{what}: {}", ended.stderr);
            assert_eq!(shape.jvm.say_within("ping", SLACK), "pong", "{what}");
            wait_until("the guard has gone", || no_files_held_below(shape.dumps.path()));
            shape.assert_clean(&what);
        }
        // No run is left that a later one would wait for.
        shape.dump().run().expect(0);
    }
}

/// The raw dump and the compressed one share a directory that holds neither.
#[test]
fn full_dump_directory_ends_the_run_with_its_error() {
    for version in ["8", "17", "21", "25"] {
        let Some(shape) = Shape::new(version, 60) else { continue };
        for size in [3, 9, 14] {
            let Some(volume) = Volume::mount(shape.dumps.path(), &format!("{size}m")) else {
                return cannot_run("mounting a tmpfs needs root");
            };
            let what = format!("JDK {version}, {size} MB");
            let ended = ended_in_time(to_stdout(&shape).arg("--force"), &what);
            assert_eq!(shape.jvm.say_within("ping", SLACK), "pong", "{what}");
            wait_until("the guard has gone", || no_files_held_below(shape.dumps.path()));
            shape.assert_clean(&what);
            drop(volume);
            assert!([5, 6].contains(&ended.code), "{what}: {ended:?}");
        }
    }
}

/// A whole dump for which its reader's disk has no room is kept.
#[test]
fn full_disk_of_the_reader_leaves_the_kept_dump() {
    let (Some(shape), volume) = (Shape::new("17", 60), tempfile::tempdir().unwrap()) else { return };
    let Some(mounted) = Volume::mount(volume.path(), "2m") else { return cannot_run("mounting a tmpfs needs root") };
    let out = File::create(volume.path().join("dump.hprof.gz")).unwrap();
    let tool = to_stdout(&shape).command(|command| {
        command.stdout(Stdio::from(out));
    });
    let ended = ended_in_time(tool, "2 MB for the reader");
    drop(mounted);
    let ended = ended.expect(7);
    assert_kept(&receipt_aside(&ended), "2 MB for the reader");
    shape.assert_clean("after its reader's disk was full");
}

#[test]
fn stalled_reader_ends_the_run_and_its_dump_is_kept() {
    for version in ["8", "17", "25"] {
        let Some(shape) = Shape::new(version, 48) else { continue };
        let mut run = to_stdout(&shape).args(&["--reader-timeout", "2s"]).spawn();
        // Held and never read, as the kubelet's exec does when its client has gone.
        let stalled = run.child.stdout.take();
        let ended = run.wait().expect(7);
        drop(stalled);
        assert!(ended.stderr.contains("has taken nothing for 2 s"), "JDK {version}: {}", ended.stderr);
        assert_kept(&receipt_aside(&ended), &format!("JDK {version}"));
        shape.assert_clean(&format!("JDK {version}, after a stalled reader"));
    }
}

/// What the kubelet did on its older paths: the runtime kills the tool when its client goes.
#[test]
fn killed_run_to_standard_output_loses_no_whole_dump() {
    for version in ["8", "17", "25"] {
        let Some(shape) = Shape::new(version, 48) else { continue };
        let mut run = to_stdout(&shape).spawn();
        let stalled = run.child.stdout.take();
        wait_until("the dump is sealed", || journals_below(shape.dumps.path()) > 0 && is_free(&shape));
        run.signal(Signal::KILL);
        run.wait();
        drop(stalled);
        wait_until("the guard has gone", || no_files_held_below(shape.dumps.path()));
        let stored = resume(shape.dumps.path(), version);
        assert_eq!(stored.len(), 1, "JDK {version}: {stored:?}");
        shape.assert_clean(&format!("JDK {version}, after the dump was resumed"));
    }
}

/// One pause: the second run gets the first one's dump as soon as it is on the disk, whoever reads the first.
#[test]
fn waiting_run_sends_the_dump_that_was_sealed_meanwhile() {
    for version in ["8", "17", "25"] {
        let Some(shape) = Shape::new(version, 48) else { continue };
        assert_second_run_sends_the_first_ones_dump(&shape, version);
    }
}

#[track_caller]
pub fn assert_second_run_sends_the_first_ones_dump(shape: &Shape, version: &str) {
    let mut first = to_stdout(shape).spawn().hear();
    let stalled = first.child.stdout.take();
    let pid = shape.jvm.pid();
    wait_until("the first run", || has_run(pid, pid));
    let [second, dry] = [shape.dump(), shape.dump().arg("--dry-run")].map(|tool| tool.spawn().hear());
    let (ended, dry) = (second.wait().expect(0), dry.wait().expect(0));
    assert!(dry.receipt()["nothing_done"].is_string(), "JDK {version}: {}", dry.stderr);
    let what = format!("JDK {version}: {}", ended.stderr);
    assert!(is_alive(&first), "{what}");
    let receipt = ended.receipt();
    let stages: Vec<_> = receipt["seconds"].as_array().unwrap().iter().map(|time| time["stage"].clone()).collect();
    assert!(!stages.iter().any(|stage| stage == "dump" || stage == "attach"), "{what}");
    assert!(ended.stderr.contains("the same dump"), "{what}");
    assert_eq!(assert_complete(ended.stored()).of("Marker"), 50, "{what}");
    // Another wish is another dump.
    let all = shape.dump().args(&["--all", "--store", "-"]).run().expect(0);
    assert!(!all.stderr.contains("the same dump"), "{what}");
    first.signal(Signal::KILL);
    first.wait();
    drop(stalled);
    for left in std::fs::read_dir(shape.dumps.path()).unwrap() {
        std::fs::remove_dir_all(left.unwrap().path()).unwrap();
    }
}

/// At trace level a run that counts its calls says more than this pipe holds.
#[test]
fn unread_standard_error_does_not_hold_the_run() {
    let Some(shape) = Shape::new("17", 48) else { return };
    let (unread, theirs) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&theirs, 4096).unwrap();
    let run = shape.dump().env("JMAP_DUMP_FAULT", "999999:1").command(|command| {
        command.stderr(Stdio::from(OwnedFd::from(theirs)));
    });
    let stored = run.run().expect(0).stored();
    drop(unread);
    assert_complete(stored);
    shape.assert_clean("with an unread standard error");
}

/// A disk that does not answer: the thread cannot be ended, so the run is.
#[test]
fn run_at_a_hanging_disk_ends_and_its_guard_cleans_up() {
    let Some(shape) = Shape::new("17", 60) else { return };
    let begun = Instant::now();
    let run = shape.dump().env("JMAP_DUMP_FAULT", "write the spool/2:hang").args(&["--deadline", "4s"]);
    let ended = run.run().expect(8);
    assert!(begun.elapsed() < Duration::from_secs(4 + 15) + SLACK, "{:?}: {}", begun.elapsed(), ended.stderr);
    assert!(ended.stderr.contains("this run hangs"), "{}", ended.stderr);
    wait_until("the guard has gone", || no_files_held_below(shape.dumps.path()));
    shape.assert_clean("after a hanging disk");
    shape.dump().run().expect(0);
}

/// Two parts are on their way into a store that says nothing when the disk is full.
#[test]
fn full_disk_before_a_stalled_store_ends_the_run() {
    let (server, Some(shape)) = (S3Server::start(), Shape::new("17", 250)) else { return };
    let Some(volume) = Volume::mount(shape.dumps.path(), "96m") else {
        return cannot_run("mounting a tmpfs needs root");
    };
    server.stall(Duration::from_secs(120));
    let begun = Instant::now();
    let ended = Tool::dump(shape.jvm.pid(), &format!("s3://{BUCKET}"))
        .args(&["--force", "--dir", shape.dumps.path().to_str().unwrap()])
        .with_s3(&server)
        .run();
    assert!([5, 6].contains(&ended.code), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}: {}", begun.elapsed(), ended.stderr);
    server.stall(Duration::ZERO);
    wait_until("the guard has gone", || no_files_held_below(shape.dumps.path()));
    drop(volume);
    shape.assert_clean("after a full disk before a stalled store");
}

pub fn to_stdout(shape: &Shape) -> Tool {
    Tool::new(&["shop", "cart", "prod", "--store", "-", "--output", "json"]).args(&[
        "--pid",
        &shape.jvm.pid().to_string(),
        "--dir",
        shape.dumps.path().to_str().unwrap(),
    ])
}

/// The receipt of a run whose standard output is the dump.
#[track_caller]
fn receipt_aside(ended: &Ended) -> serde_json::Value {
    let line = ended.stderr.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no receipt: {}", ended.stderr))).unwrap()
}

/// What it calls kept is stored by the command that it names.
#[track_caller]
fn assert_kept(receipt: &serde_json::Value, what: &str) {
    let path = receipt["kept"]["path"].as_str().unwrap_or_else(|| panic!("{what}: nothing kept: {receipt}"));
    let stored = resume(Path::new(path).parent().unwrap(), what);
    assert!(stored.len() == 1 && !Path::new(path).exists(), "{what}: {stored:?}");
}

fn is_alive(run: &Run) -> bool {
    Path::new(&format!("/proc/{}/exe", run.child.id())).exists()
        && std::fs::read_to_string(format!("/proc/{}/stat", run.child.id())).is_ok_and(|stat| !stat.contains(") Z "))
}

/// No run has its turn there.
fn is_free(shape: &Shape) -> bool {
    !has_run(shape.jvm.pid(), shape.jvm.pid())
}

fn journals_below(dir: &Path) -> usize {
    files_in(dir).iter().filter(|path| path.ends_with(".upload")).count()
}

/// Neither a JVM nor a run nor a guard has a file there, with a name or without.
fn no_files_held_below(dir: &Path) -> bool {
    crate::common::killed_run::deleted_files_in_use(dir).is_empty()
}
