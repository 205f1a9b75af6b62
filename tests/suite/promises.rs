//! `arm` promises a dump on OutOfMemoryError only where one can come.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::bed::{self, VERSIONS, cannot_run};
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::tool::{Ended, Tool};
use crate::full_volume::Volume;

const OPEN: u32 = 0o777;

fn dir_with_mode(mode: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(mode)).unwrap();
    dir
}

fn below(dir: &Path, name: &str, mode: u32) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    path
}

fn arm(jvm: &TestJvm, more: &[&str]) -> Ended {
    Tool::new(&["arm", "--pid", &jvm.pid().to_string()]).args(more).run()
}

#[track_caller]
fn assert_refused(ended: Ended, code: i32, words: &[&str], what: &str) {
    let ended = ended.expect(code);
    for word in words {
        assert!(ended.stderr.contains(word), "{what}: '{word}' is missing: {}", ended.stderr);
    }
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(!told.contains("writes its heap"), "{what}: {told}");
}

/// Armed or not: the first error of a JVM's life is the only one at which it dumps.
#[test]
fn arm_refuses_a_jvm_that_has_had_its_error() {
    for version in VERSIONS {
        let (first, second) = (dir_with_mode(OPEN), dir_with_mode(OPEN));
        let Some(jvm) = TestJvm::builder(version) else { continue };
        let own = format!("-XX:HeapDumpPath={}", first.path().display());
        let jvm = jvm.jvm_arg("-Xmx32m").jvm_arg("-XX:+HeapDumpOnOutOfMemoryError").jvm_arg(own).start();
        assert_eq!(jvm.say("oom"), "oom", "JDK {version}");
        assert_eq!(std::fs::read_dir(first.path()).unwrap().count(), 1, "JDK {version}");
        let refused = arm(&jvm, &["--path", second.path().to_str().unwrap()]);
        assert_refused(refused, 4, &["its life", "jmap-dump-tool PROJECT APP ENV"], &format!("JDK {version}"));
        assert_eq!(jvm.say("oom"), "oom", "JDK {version}");
        assert_eq!(std::fs::read_dir(second.path()).unwrap().count(), 0, "JDK {version}: it dumps twice");
    }
    let (Some(jvm), dir) = (TestJvm::builder("17"), dir_with_mode(OPEN)) else { return };
    let jvm = jvm.jvm_arg("-Xmx32m").start();
    let path = dir.path().to_str().unwrap();
    assert_eq!(jvm.say("oom"), "oom");
    assert_refused(arm(&jvm, &["--path", path]), 4, &["has thrown", "already"], "not armed then");
}

#[test]
fn arm_refuses_a_working_directory_that_was_deleted() {
    let (cwd, place) = (tempfile::tempdir().unwrap(), dir_with_mode(OPEN));
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.cwd(cwd.path()).jvm_arg("-Xmx32m").arg("markers=7").start();
    let pid = jvm.pid();
    drop(cwd);
    for more in [&[][..], &["--path", "."]] {
        assert_refused(arm(&jvm, more), 6, &["was deleted", "--path"], "deleted");
    }
    // It can still be armed elsewhere.
    arm(&jvm, &["--path", place.path().to_str().unwrap()]).expect(0);
    assert_eq!(jvm.say("oom"), "oom");
    assert_eq!(assert_complete(place.path().join(format!("java_pid{pid}.hprof"))).of("Marker"), 7);
}

/// Each of these would have the JVM say "Unable to create" or "Dump file is incomplete".
#[test]
fn arm_refuses_places_that_take_no_dump() {
    let Some(jvm) = TestJvm::builder("25") else { return };
    let dir = dir_with_mode(OPEN);
    let jvm = jvm.uid(1000).cwd(dir.path()).jvm_arg("-Xmx64m").arg("mb=20").arg("markers=7").start();
    let pid = jvm.pid();
    let refused = |path: &Path, more: &[&str], words: &[&str]| {
        let ended = arm(&jvm, &[&["--path", path.to_str().unwrap()], more].concat());
        assert_refused(ended, 6, words, &format!("{} {more:?}", path.display()));
    };
    // A JVM takes what it cannot list for the name of a file, which exists.
    refused(&below(dir.path(), "unlisted", 0o333), &[], &["cannot list"]);
    let taken = below(dir.path(), "taken", OPEN);
    let part = taken.join(format!("java_pid{pid}.hprof.p0"));
    std::fs::write(&part, "of a JVM that was killed").unwrap();
    refused(&taken, &[], &[part.to_str().unwrap(), "move it away"]);
    // From JDK 25 on, %p is the number of the process.
    let percent = below(dir.path(), "p%p", OPEN);
    refused(&percent, &[], &[&format!("p{pid}")]);
    // The disk is too small, by what was told, by its size, by its names.
    let place = below(dir.path(), "place", OPEN);
    refused(&place, &["--disk-limit", "1Mi"], &["needs at least", "as was told"]);
    refused(&place, &["--disk-limit", &format!("{}=1Mi", place.display())], &["needs at least", "may hold 1.0 MiB"]);
    for (size, words) in [
        ("2m,mode=777", ["needs at least", "are free"]),
        ("64m,nr_inodes=1,mode=777", ["nothing can be made there", "No space left"]),
    ] {
        let small = below(dir.path(), &size.replace([',', '='], "-"), OPEN);
        let Some(_volume) = Volume::mount(&small, size) else { return cannot_run("mounting a tmpfs needs root") };
        refused(&small, &[], &words);
    }
    // Nobody knows what the heap will hold then.
    let small = below(dir.path(), "small", OPEN);
    let volume = Volume::mount(&small, "40m,mode=777");
    assert!(volume.is_some());
    let warned = arm(&jvm, &["--path", small.to_str().unwrap()]).expect(0);
    assert!(warned.stderr.contains("it may be cut"), "{}", warned.stderr);
    drop(volume);
    // And where nothing is in the way, the promise is kept.
    let expanded = below(dir.path(), &format!("p{pid}"), OPEN);
    let armed = arm(&jvm, &["--path", percent.to_str().unwrap()]).expect(0);
    let dump = expanded.join(format!("java_pid{pid}.hprof"));
    assert!(String::from_utf8_lossy(&armed.stdout).contains(dump.to_str().unwrap()), "{armed:?}");
    assert_eq!(jvm.say("oom"), "oom");
    assert_eq!(assert_complete(&dump).of("Marker"), 7);
}

/// The JVM would say "File too large", to `arm` and to a dump.
#[test]
fn limit_of_file_size_refuses_arm_and_dump() {
    let (dir, store) = (dir_with_mode(OPEN), tempfile::tempdir().unwrap());
    let Some(java) = bed::jvm("17") else { return };
    // Blocks of 512 bytes.
    let script = format!("#!/bin/sh\nulimit -f 2048\nexec {} \"$@\"\n", java.display());
    let launcher = dir.path().join("launcher");
    std::fs::write(&launcher, script).unwrap();
    std::fs::set_permissions(&launcher, PermissionsExt::from_mode(0o755)).unwrap();
    let jvm = TestJvm::builder("17").unwrap().java(&launcher).arg("mb=20").start();
    let path = dir.path().to_str().unwrap();
    assert_refused(arm(&jvm, &["--path", path]), 6, &["needs at least", "ulimit -f"], "arm");
    let dump = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--all", "--dir", path]).run();
    assert_refused(dump, 6, &["needs at least", "ulimit -f"], "dump");
}

/// A heap that may become larger than its container ends by the kernel's hand, without an error.
#[test]
fn arm_warns_of_a_container_smaller_than_the_heap() {
    use crate::common::container::Container;
    use crate::containers::INSIDE;
    let Some(container) = Container::builder("17") else { return };
    let container = container.memory_limit(300 << 20).jvm_arg("-Xmx400m").start();
    container.copy_in(crate::common::tool::binary(), INSIDE);
    let ended = container.exec(&[INSIDE, "arm"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("its container may use 300.0 MiB"), "{}", ended.stderr);
}
