//! What a JVM, or whoever has its user, puts where its files are expected.

use std::path::PathBuf;

use super::{assert_says, guards, kill, mkdevice, mkfifo, private_files, prompt, small_tool};
use crate::common::bed::{self, cannot_run};
use crate::common::hostile_jvm::HostileJvm;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::tool::Tool;
use crate::common::waiting::{SOON, wait_within};

use rustix::process::Signal;

/// hsperfdata adds facts and is never required.
#[test]
fn special_file_as_hsperfdata_holds_no_run() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, store) = (jvm.arg("markers=7").start(), tempfile::tempdir().unwrap());
    let pid = jvm.pid().to_string();
    let path = PathBuf::from(format!("/tmp/hsperfdata_root/{pid}"));
    assert!(path.exists(), "the JVM has no hsperfdata");
    let mut socket = None;
    for kind in ["FIFO", "socket", "device", "directory", "dangling link", "1.5 GB"] {
        let _ = std::fs::remove_file(&path);
        match kind {
            "FIFO" => mkfifo(&path),
            "socket" => socket = Some(std::os::unix::net::UnixListener::bind(&path).unwrap()),
            "device" => mkdevice(&path),
            "directory" => std::fs::create_dir(&path).unwrap(),
            "dangling link" => std::os::unix::fs::symlink("/nowhere", &path).unwrap(),
            _ => std::fs::File::create(&path).unwrap().set_len(1_500_000_000).unwrap(),
        }
        let ps = prompt(&format!("ps, {kind}"), small_tool(&["ps"])).expect(0);
        let shown = String::from_utf8_lossy(&ps.stdout).into_owned();
        let line = shown.lines().find(|line| line.starts_with(&format!("{pid} "))).unwrap_or_else(|| panic!("{shown}"));
        assert!(line.contains("HotSpot") && line.ends_with("yes"), "{kind}: {line}");
        prompt(&format!("check, {kind}"), small_tool(&["check", "--pid", &pid])).expect(0);
        let store = store.path().join(kind.replace(' ', "-"));
        let words = ["shop", "cart", "prod", "--output", "json", "--pid", &pid, "--store", store.to_str().unwrap()];
        let ended = prompt(&format!("dump, {kind}"), small_tool(&words)).expect(0);
        assert_eq!(assert_complete(ended.stored()).of("Marker"), 7, "{kind}");
        if kind == "directory" {
            std::fs::remove_dir(&path).unwrap();
        }
    }
    drop(socket);
    let _ = std::fs::remove_file(&path);
    assert_eq!(jvm.say("ping"), "pong");
}

/// The files of the cgroup lie in the application's own file system, which it may have made itself.
#[test]
fn fifo_in_the_cgroup_holds_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let (launcher, java) = (dir.path().join("java"), bed::home("17").join("bin/java"));
    let inner = "mount -t tmpfs none /sys/fs/cgroup && cd /sys/fs/cgroup && mkfifo memory.max cpu.max && cd / && \
                 exec \"$0\" \"$@\"";
    let script = format!("#!/bin/sh\nexec unshare --mount sh -c '{inner}' {} \"$@\"\n", java.display());
    std::fs::write(&launcher, script).unwrap();
    std::fs::set_permissions(&launcher, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let Some(jvm) = TestJvm::builder("17") else { return };
    let unshared = std::process::Command::new("unshare").args(["--mount", "true"]).status();
    if !unshared.is_ok_and(|status| status.success()) {
        return cannot_run("a mount namespace needs root");
    }
    let (jvm, store) = (jvm.java(launcher).start(), tempfile::tempdir().unwrap());
    let ended = prompt("dump", Tool::dump(jvm.pid(), store.path().to_str().unwrap())).expect(0);
    assert_complete(ended.stored());
    prompt("condition", Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--if", "memory > 1%"]));
}

/// By layout and size of the heap: read while it is written, and when it is done.
#[test]
fn special_file_as_dump_is_a_typed_error() {
    let ways = [("whole", "-overwrite -parallel", "1000"), ("captured", "-overwrite", "200000")];
    for (kind, words) in [
        ("fifo", "a FIFO"),
        ("socket", "a socket"),
        ("directory", "a directory"),
        ("device", "a character device"),
        ("link", "a symbolic link"),
        ("part", "a FIFO"),
    ] {
        for (way, help, used) in ways {
            let (help, used) = if kind == "part" { ("-overwrite -parallel", "200000") } else { (help, used) };
            let (what, jvm) = (format!("{kind}, {way}"), HostileJvm::start(kind, help, used));
            let store = tempfile::tempdir().unwrap();
            let before = (private_files("/tmp"), guards());
            let tool = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--dir", "/tmp"]);
            let ended = prompt(&what, tool);
            assert_says(&ended, 5, words, &what);
            wait_within("nothing is left", SOON, || (private_files("/tmp"), guards()) == before);
            assert_eq!(std::fs::read_dir(store.path()).unwrap().count(), 0, "{what}");
        }
    }
}

/// The JVM waits in open(2), and answers nobody.
#[test]
fn jvm_that_waits_for_its_own_fifo_holds_no_run() {
    let jvm = HostileJvm::start("held fifo", "-overwrite", "200000");
    let before = (private_files("/tmp"), guards());
    let store = tempfile::tempdir().unwrap();
    let tool = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--dir", "/tmp", "--deadline", "5s"]);
    let ended = prompt("held", tool);
    assert_says(&ended, 5, "a FIFO", "held");
    kill(jvm.pid(), Signal::KILL);
    wait_within("nothing is left", SOON, || (private_files("/tmp"), guards()) == before);
}

/// Faster than anybody reads it: by holes.
#[test]
fn dump_that_grows_for_ever_is_read_as_it_was() {
    let jvm = HostileJvm::start("endless", "-overwrite -parallel", "1000");
    let store = tempfile::tempdir().unwrap();
    let ended = prompt("endless", Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--dir", "/tmp"]));
    assert_says(&ended, 5, "end record is missing after 134", "endless");
}
