//! The small commands: `arm` and `install`.

use std::os::unix::fs::PermissionsExt;

use crate::common::bed::VERSIONS;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::tool::{Ended, Tool, binary, install};

#[test]
fn an_armed_jvm_writes_its_heap_on_out_of_memory() {
    for version in VERSIONS {
        let Some(jvm) = TestJvm::builder(version) else { continue };
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let jvm = jvm.uid(1000).jvm_arg("-Xmx64m").arg("markers=77").start();
        let pid = jvm.pid().to_string();
        let ended = Tool::new(&["arm", "--pid", &pid, "--path", dir.path().to_str().unwrap()]).run().expect(0);
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        let dump = dir.path().join(format!("java_pid{pid}.hprof"));
        assert!(text.contains(dump.to_str().unwrap()), "{text}");
        assert_eq!(jvm.say("oom"), "oom", "JDK {version}");
        assert_eq!(assert_complete(&dump).of("Marker"), 77, "JDK {version}");
        // The next one would find its name taken.
        let again = Tool::new(&["arm", "--pid", &pid, "--path", dir.path().to_str().unwrap()]).run().expect(6);
        assert!(again.stderr.contains(dump.to_str().unwrap()), "{}", again.stderr);
    }
}

/// The path that `arm` tells.
#[track_caller]
fn told(ended: &Ended) -> String {
    let text = String::from_utf8_lossy(&ended.stdout);
    let path = text.trim().strip_suffix(" on OutOfMemoryError").and_then(|text| text.split_once("writes its heap to "));
    path.unwrap_or_else(|| panic!("{text}")).1.to_owned()
}

#[test]
fn without_a_path_the_jvm_s_own_one_is_looked_at_and_told() {
    for version in VERSIONS {
        let Some(jvm) = TestJvm::builder(version) else { continue };
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        // Some JVMs put their number into it.
        let own = format!("-XX:HeapDumpPath={}/own %p.hprof", dir.path().display());
        let jvm = jvm.uid(1000).jvm_arg("-Xmx64m").jvm_arg(own).arg("markers=77").start();
        let pid = jvm.pid().to_string();
        let dump = told(&Tool::new(&["arm", "--pid", &pid]).run().expect(0));
        assert_eq!(jvm.say("oom"), "oom", "JDK {version}");
        assert_eq!(assert_complete(&dump).of("Marker"), 77, "JDK {version}: {dump}");
        let again = Tool::new(&["arm", "--pid", &pid]).run().expect(6);
        assert!(again.stderr.contains(&dump), "JDK {version}: {}", again.stderr);
    }
}

#[test]
fn arm_names_the_dump_that_the_jvm_compresses_itself() {
    for version in ["17", "25"] {
        let Some(jvm) = TestJvm::builder(version) else { continue };
        let dir = tempfile::tempdir().unwrap();
        let jvm = jvm.jvm_arg("-Xmx64m").jvm_arg("-XX:HeapDumpGzipLevel=1").arg("markers=77").start();
        let arm = || Tool::new(&["arm", "--pid", &jvm.pid().to_string(), "--path", dir.path().to_str().unwrap()]).run();
        std::fs::write(dir.path().join(format!("java_pid{}.hprof", jvm.pid())), "in nobody's way").unwrap();
        let dump = told(&arm().expect(0));
        assert_eq!(jvm.say("oom"), "oom", "JDK {version}");
        assert_eq!(assert_complete(&dump).of("Marker"), 77, "JDK {version}: {dump}");
        let again = arm().expect(6);
        assert!(again.stderr.contains(&dump), "JDK {version}: {}", again.stderr);
    }
}

#[test]
fn arm_judges_the_jvm_s_own_dump_path() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    for (own, code) in [(Some(place), 0), (Some("own.hprof"), 0), (Some("/nowhere/x.hprof"), 6), (None, 0)] {
        let Some(jvm) = TestJvm::builder("17") else { return };
        let own_flag = own.map(|own| format!("-XX:HeapDumpPath={own}"));
        let jvm = own_flag.into_iter().fold(jvm.cwd(place), |jvm, flag| jvm.jvm_arg(flag)).start();
        let pid = jvm.pid().to_string();
        let ended = Tool::new(&["arm", "--pid", &pid]).run().expect(code);
        match own {
            Some("own.hprof") => assert_eq!(told(&ended), "./own.hprof"),
            Some("/nowhere/x.hprof") => assert!(ended.stderr.contains("/nowhere"), "{}", ended.stderr),
            Some(_) => assert_eq!(told(&ended), format!("{place}/java_pid{pid}.hprof")),
            None => assert_eq!(told(&ended), format!("./java_pid{pid}.hprof")),
        }
    }
}

#[test]
fn arm_refuses_a_directory_that_the_jvm_cannot_write() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, dir) = (jvm.uid(1000).start(), tempfile::tempdir().unwrap());
    let pid = jvm.pid().to_string();
    for path in [dir.path().to_str().unwrap(), "/nowhere"] {
        let ended = Tool::new(&["arm", "--pid", &pid, "--path", path]).run().expect(6);
        assert!(ended.stderr.contains(path), "{}", ended.stderr);
    }
    assert!(!std::path::Path::new(&format!("/tmp/.java_pid{pid}")).exists(), "the JVM was touched");
}

#[test]
fn install_copies_the_program_and_the_settings_beside_it() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = from.path().join("some-name");
    install(binary(), &program);
    std::fs::write(from.path().join("jmap-dump-tool.toml"), "store = \"/nowhere\"").unwrap();
    std::fs::set_permissions(from.path().join("jmap-dump-tool.toml"), PermissionsExt::from_mode(0o600)).unwrap();
    // Twice: an init container is started again with its pod.
    for _ in 0..2 {
        Tool::of(&program, &["install", to.path().to_str().unwrap()]).run().expect(0);
    }
    let installed = to.path().join("jmap-dump-tool");
    Tool::of(&installed, &["--version"]).run().expect(0);
    let mode = std::fs::metadata(to.path().join("jmap-dump-tool.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 2);
    let ended = Tool::new(&["install", "/nowhere"]).run().expect(6);
    assert!(ended.stderr.contains("/nowhere"), "{}", ended.stderr);
}
