//! `-XX:AltTempDir`, from JDK 28 on: attach socket, attach file and hsperfdata lie there instead of in /tmp.

use std::path::Path;

use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::{Builder, TestJvm};
use crate::common::tool::{Tool, binary};
use crate::containers::{INSIDE, census_of};

/// A directory that each user may write to.
fn open_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    dir
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The ways to tell a JVM an option.
type Way = (&'static str, fn(Builder, &str, &Path) -> Builder);

fn args_file(jvm: Builder, option: &str, dir: &Path) -> Builder {
    let (real, link) = (dir.join("args.real"), dir.join("args"));
    std::fs::write(&real, format!("# options\n-Xmx200m \"{option}\" # the last\n")).unwrap();
    // As a ConfigMap is mounted.
    std::os::unix::fs::symlink("args.real", &link).unwrap();
    jvm.cwd(dir).jvm_arg("@args")
}

const WAYS: &[Way] = &[
    ("command line", |jvm, option, _| jvm.jvm_arg("-XX:AltTempDir=/nowhere").jvm_arg(option)),
    ("JAVA_TOOL_OPTIONS", |jvm, option, _| jvm.env("JAVA_TOOL_OPTIONS", format!("-Da='b c' {option}"))),
    ("JDK_JAVA_OPTIONS", |jvm, option, _| jvm.env("JDK_JAVA_OPTIONS", option)),
    ("_JAVA_OPTIONS", |jvm, option, _| jvm.jvm_arg("-XX:AltTempDir=/nowhere").env("_JAVA_OPTIONS", option)),
    ("@argfile", args_file),
];

/// With hsperfdata, which tells where it is, and without, when only the options tell.
#[test]
fn jvm_with_a_directory_of_its_own_is_dumped() {
    for (way, told) in WAYS {
        for perf_data in [true, false] {
            // One of them shows what hsperfdata does for all.
            if perf_data && *way != "command line" {
                continue;
            }
            let Some(jvm) = TestJvm::builder("28") else { return };
            let (alt, work, store) = (open_dir(), open_dir(), tempfile::tempdir().unwrap());
            let option = format!("-XX:AltTempDir={}", alt.path().display());
            let jvm = told(jvm, &option, work.path()).arg("markers=29");
            let jvm = if perf_data { jvm } else { jvm.jvm_arg("-XX:-UsePerfData") }.start();
            let what = format!("{way}, hsperfdata {perf_data}");
            let ps = Tool::new(&["ps"]).run().expect(0);
            assert!(String::from_utf8_lossy(&ps.stdout).contains(" yes"), "{what}");
            let dump = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--attach-timeout", "4s"]);
            let ended = dump.run();
            assert_eq!(ended.code, 0, "{what}: {}{}", ended.stderr, String::from_utf8_lossy(&ended.stdout));
            assert_eq!(assert_complete(ended.stored()).of("Marker"), 29, "{what}");
            let socket = format!(".java_pid{}", jvm.pid());
            assert_eq!(files(alt.path()).iter().filter(|name| name.starts_with('.')).collect::<Vec<_>>(), [&socket]);
            assert!(!Path::new("/tmp").join(&socket).exists(), "{what}");
            assert!(!files(work.path()).iter().any(|name| name.starts_with(".attach")), "{what}");
            assert!(!jvm.log().contains("Full thread dump"), "{what}: {}", jvm.log());
        }
    }
}

/// In a current directory that cannot be written, the attach file goes into the other one.
#[test]
fn attach_file_lies_in_the_directory_of_the_option() {
    let Some(jvm) = TestJvm::builder("28") else { return };
    let (alt, store) = (open_dir(), tempfile::tempdir().unwrap());
    let jvm = jvm.uid(1000).cwd("/").jvm_arg(format!("-XX:AltTempDir={}", alt.path().display()));
    let jvm = jvm.jvm_arg("-XX:-UsePerfData").start();
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).arg("-v").run().expect(0);
    assert_complete(ended.stored());
    assert!(!jvm.log().contains("Full thread dump"), "{}", jvm.log());
}

/// Where the JVM cannot make its socket, no signal is sent: it would print its threads, or do nothing.
#[test]
fn jvm_without_its_directory_is_not_signalled() {
    let parent = open_dir();
    let long = parent.path().join("d".repeat(90));
    std::fs::create_dir(&long).unwrap();
    for (dir, told) in [(parent.path().join("none"), "none"), (long, "too long")] {
        let Some(jvm) = TestJvm::builder("28") else { return };
        let jvm = jvm.jvm_arg(format!("-XX:AltTempDir={}", dir.display())).start();
        let dump = Tool::dump(jvm.pid(), "-").args(&["--attach-timeout", "4s"]).run();
        assert_eq!(dump.code, 4, "{told}: {}", dump.stderr);
        assert!(dump.stderr.contains(dir.to_str().unwrap()) && dump.stderr.contains("AltTempDir"), "{}", dump.stderr);
        let ps = Tool::new(&["ps", "--output", "json"]).run().expect(0);
        let rows: serde_json::Value = serde_json::from_slice(&ps.stdout).unwrap();
        let row = rows.as_array().unwrap().iter().find(|row| row["pid"] == jvm.pid()).unwrap();
        assert_eq!(row["attachable"], false, "{told}: {row}");
        assert_eq!(jvm.say("ping"), "pong");
        assert!(!jvm.log().contains("Full thread dump"), "{told}: {}", jvm.log());
    }
}

/// What a JVM does not know, or does not take, is not believed.
#[test]
fn option_that_a_jvm_ignores_is_ignored() {
    let alt = open_dir();
    let option = format!("-XX:AltTempDir={}", alt.path().display());
    let (unknown, relative) = ("-XX:+IgnoreUnrecognizedVMOptions", "-XX:AltTempDir=relative");
    for (version, options) in [("17", [unknown, &option]), ("28", [&option, relative])] {
        let Some(jvm) = TestJvm::builder(version) else { continue };
        let store = tempfile::tempdir().unwrap();
        let jvm = jvm.jvm_arg("-XX:-UsePerfData").jvm_arg(options[0]).jvm_arg(options[1]).arg("markers=31").start();
        let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--attach-timeout", "4s"]).run();
        assert_eq!(ended.code, 0, "JDK {version}: {}", ended.stderr);
        assert_eq!(assert_complete(ended.stored()).of("Marker"), 31, "JDK {version}");
        assert!(!jvm.log().contains("Full thread dump"), "JDK {version}: {}", jvm.log());
    }
}

/// An option that forbids to attach is heard wherever it stands: no signal is sent.
#[test]
fn attaching_that_a_variable_forbids_is_not_tried() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.jvm_arg("-XX:-UsePerfData").env("JAVA_TOOL_OPTIONS", "-XX:+DisableAttachMechanism").start();
    let ended = Tool::dump(jvm.pid(), "-").args(&["--attach-timeout", "3s"]).run();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert!(ended.stderr.contains("DisableAttachMechanism"), "{}", ended.stderr);
    assert_eq!(jvm.say("ping"), "pong");
    assert!(!jvm.log().contains("Full thread dump"), "{}", jvm.log());
}

/// From inside, from a sidecar that sees its processes, and from the node. The root is read-only, and there is no /tmp.
#[test]
fn directory_of_a_container_s_jvm_is_followed() {
    for (uid, perf_data) in [(0, true), (1000, true), (1000, false)] {
        let (Some(jvm), Some(sidecar)) = (Container::builder("28"), Container::builder("17")) else { return };
        let what = format!("uid {uid}, hsperfdata {perf_data}");
        let jvm =
            jvm.uid(uid).gid(uid).read_only_root().no_tmp().tmpfs("/alt dir", "64m").jvm_arg("-XX:AltTempDir=/alt dir");
        let jvm = if perf_data { jvm } else { jvm.jvm_arg("-XX:-UsePerfData") };
        let jvm = jvm.bind_read_only(binary(), INSIDE).arg("markers=37").start();
        let sidecar = sidecar.share_pid_ns_of(&jvm).bind_read_only(binary(), INSIDE).busybox().idle().start();
        let words = [INSIDE, "--attach-timeout", "5s", "--dir", "/alt dir", "--store", "-", "shop", "cart", "prod"];
        for (place, container) in [("inside", &jvm), ("sidecar", &sidecar)] {
            let ended = container.exec(&words);
            assert_eq!(ended.code, 0, "{what}, {place}: {}", ended.stderr);
            assert_eq!(census_of(&ended.stdout).of("Marker"), 37, "{what}, {place}");
        }
        assert!(!jvm.log().contains("Full thread dump"), "{what}: {}", jvm.log());
        assert_eq!(jvm.say("ping"), "pong");
    }
}
