//! `--no-disk`: the run, its guard and the holder of its pipes are killed together, as by a container's OOM kill. The
//! application goes on.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::s3::S3Server;
use crate::common::shape::{Shape, files_in};
use crate::common::tool::{Run, Tool, time_of};
use crate::no_disk::{VERSIONS, dump};

/// An application that answers no later was not frozen.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Of each JVM; `JMAP_DUMP_TEST_MOMENTS` makes them more.
fn moments() -> u32 {
    std::env::var("JMAP_DUMP_TEST_MOMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

#[test]
fn jvm_outlives_a_double_kill_at_any_moment() {
    for version in VERSIONS {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 64)) else { continue };
        let run = || in_dir(dump(shape.jvm.pid(), &server), shape.dumps.path());
        let length = time_of(|| drop(run().run().expect(0)));
        let mut dumping = 0;
        for moment in 0..moments() {
            let what = format!("JDK {version}, killed together at moment {moment}");
            let before = pipes_of(&shape);
            let killed = run().spawn().hear();
            std::thread::sleep(length * moment / moments());
            stop(&killed);
            dumping += usize::from(pipes_of(&shape) != before);
            kill_together(killed);
            assert_goes_on(&shape, &server, &what);
            remove_what_is_left(shape.dumps.path(), &what);
        }
        run().run().expect(0);
        eprintln!("JDK {version}: {} double kills, 0 frozen, {dumping} while the JVM had a pipe open", moments());
    }
}

/// JDK 22 and later open the second pipe where the application stands still, behind the collection.
#[test]
fn jvm_between_its_two_pipes_outlives_a_double_kill() {
    let (server, Some(shape)) = (S3Server::start(), Shape::new("25", 200)) else { return };
    for attempt in 0..10 {
        let before = pipes_of(&shape);
        let killed = in_dir(dump(shape.jvm.pid(), &server), shape.dumps.path()).spawn().hear();
        let begun = Instant::now();
        while pipes_of(&shape).len() == before.len() {
            assert!(begun.elapsed() < ANSWERS_WITHIN, "the JVM opens no pipe");
        }
        let jvm = Pid::from_raw(shape.jvm.pid().cast_signed()).unwrap();
        kill_process(jvm, Signal::STOP).unwrap();
        let opened = pipes_of(&shape).len() - before.len();
        stop(&killed);
        kill_together(killed);
        kill_process(jvm, Signal::CONT).unwrap();
        let what = format!("attempt {attempt}, {opened} pipes open");
        assert_goes_on(&shape, &server, &what);
        remove_what_is_left(shape.dumps.path(), &what);
        if opened == 1 {
            return;
        }
    }
    panic!("the JVM was never stopped between its two pipes");
}

fn in_dir(tool: Tool, dir: &Path) -> Tool {
    tool.args(&["--dir", dir.to_str().unwrap()])
}

/// The application answers, and so does the attach listener.
#[track_caller]
fn assert_goes_on(shape: &Shape, server: &S3Server, what: &str) {
    assert_eq!(shape.jvm.say_within("ping", ANSWERS_WITHIN), "pong", "{what}");
    let attached = in_dir(dump(shape.jvm.pid(), server), shape.dumps.path()).arg("--dry-run").run();
    assert_eq!(attached.code, 0, "{what}: {attached:?}");
}

/// The pipes that the JVM has open, and named ones of its dump.
fn pipes_of(shape: &Shape) -> BTreeSet<String> {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", shape.jvm.pid())).unwrap().flatten();
    let links = entries.filter_map(|entry| Some((entry.file_name(), std::fs::read_link(entry.path()).ok()?)));
    let links = links.map(|(fd, link)| format!("{} {}", fd.display(), link.display()));
    links.filter(|link| link.contains("pipe:") || link.contains("heap.hprof")).collect()
}

/// It starts no further process.
fn stop(run: &Run) {
    run.signal(Signal::STOP);
}

fn kill_together(run: Run) {
    let children = children_of(run.child.id());
    run.signal(Signal::KILL);
    for pid in &children {
        // One that has ended by itself is dead, too.
        let _ = kill_process(*pid, Signal::KILL);
    }
    run.wait();
}

pub fn children_of(parent: u32) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let is_child = |pid: &Pid| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        fields.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}

/// A private directory without a byte in it, which the next run removes when it is a minute old.
#[track_caller]
fn remove_what_is_left(dumps: &Path, what: &str) {
    for path in files_in(dumps) {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        assert!(!meta.is_file(), "{what}: {path} has {} bytes", meta.len());
    }
    for entry in std::fs::read_dir(dumps).unwrap().flatten() {
        std::fs::remove_dir_all(entry.path()).unwrap();
    }
}
