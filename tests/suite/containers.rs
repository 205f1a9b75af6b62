//! The static binary alone in containers without shell, libc or CA bundle.

use std::io::Write;
use std::time::Duration;

use crate::common::bed::VERSIONS;
use crate::common::container::Container;
use crate::common::hprof_check::{Census, assert_complete};
use crate::common::tool::binary;

pub const INSIDE: &str = "/jmap-dump-tool";

/// Checks a dump that came through standard output.
#[track_caller]
pub fn census_of(dump: &[u8]) -> Census {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(dump).unwrap();
    assert_complete(file.path())
}

/// What the JVM made for itself is not ours: its attach socket lives as long as it does. A directory in which
/// something was made is listed from then on.
pub fn files_but_the_socket(container: &Container) -> Vec<(String, u64)> {
    let ours = |path: &str| !path.contains(".java_pid") && path != "/tmp/" && path != "/var/tmp/" && path != "/var/";
    container.files().into_iter().filter(|(path, _)| ours(path)).collect()
}

#[test]
fn binary_alone_dumps_each_distroless_jvm() {
    for version in VERSIONS.into_iter().chain(["17-musl"]) {
        for uid in [0, 1000] {
            let Some(container) = Container::builder(version) else { continue };
            let container = container.uid(uid).gid(uid).arg("markers=321").start();
            container.copy_in(binary(), INSIDE);
            let before = files_but_the_socket(&container);
            let ended = container.exec(&[INSIDE, "--store", "-", "shop", "cart", "prod"]);
            assert_eq!(ended.code, 0, "JDK {version}, uid {uid}: {ended:?}");
            assert_eq!(census_of(&ended.stdout).of("Marker"), 321, "JDK {version}, uid {uid}");
            assert_eq!(files_but_the_socket(&container), before, "JDK {version}, uid {uid}");
            assert!(!container.log().contains("Full thread dump"), "JDK {version}: {}", container.log());
            assert_eq!(container.say("ping"), "pong");
        }
    }
}

/// A sidecar sees the JVM in its own pid namespace, and has another file system.
#[test]
fn sidecar_dumps_the_jvm_of_another_container() {
    for version in ["8", "17", "25"] {
        for (jvm_uid, our_uid) in [(0, 0), (1000, 1000), (1000, 0)] {
            let (Some(jvm), Some(sidecar)) = (Container::builder(version), Container::builder("17")) else { continue };
            let jvm = jvm.uid(jvm_uid).gid(jvm_uid).arg("markers=17").start();
            let sidecar = sidecar.share_pid_ns_of(&jvm).uid(our_uid).gid(our_uid).bind_read_only(binary(), INSIDE);
            let sidecar = sidecar.busybox().idle().start();
            let before = (files_but_the_socket(&jvm), files_but_the_socket(&sidecar));
            let ended = sidecar.exec(&[INSIDE, "--store", "-", "shop", "cart", "prod"]);
            let what = format!("JDK {version}, JVM {jvm_uid}, sidecar {our_uid}");
            assert_eq!(ended.code, 0, "{what}: {ended:?}");
            assert_eq!(census_of(&ended.stdout).of("Marker"), 17, "{what}");
            assert_eq!((files_but_the_socket(&jvm), files_but_the_socket(&sidecar)), before, "{what}");
        }
    }
}

#[test]
fn lowest_pid_of_two_jvms_is_dumped_and_both_are_named() {
    let Some(builder) = Container::builder("17") else { return };
    let container = builder.arg("markers=5").busybox().bind_read_only(binary(), INSIDE).start();
    let line = format!("sleep 100 | {}/bin/java -cp /classes Heap markers=6", crate::common::container::JAVA_HOME);
    let mut second = container.command(&["/bin/busybox", "sh", "-c", &line]).spawn();
    wait_until(|| {
        container.exec(&[INSIDE, "ps", "--output", "json"]).text().matches("main_class\":\"Heap").count() == 2
    });
    let ended = container.exec(&[INSIDE, "--store", "-", "shop", "cart", "prod"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(census_of(&ended.stdout).of("Marker"), 5);
    assert!(ended.stderr.contains("several JVMs") && ended.stderr.contains("taking pid 1 "), "{}", ended.stderr);
    assert!(second.is_alive());
}

fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..300 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never came true");
}

#[test]
fn a_jvm_that_is_killed_during_its_dump_is_told_as_such() {
    let Some(builder) = Container::builder("17") else { return };
    let container = builder.under_shell().arg("mb=200").tmpfs("/dumps", "1g").bind_read_only(binary(), INSIDE).start();
    let run = container.command(&[INSIDE, "--store", "-", "shop", "cart", "prod"]).spawn();
    let dumps = container.path("/dumps");
    let dumping = || {
        std::fs::read_dir(&dumps).is_ok_and(|mut dir| {
            dir.any(|e| e.is_ok_and(|e| e.path().join("spool.hprof.gz").metadata().is_ok_and(|m| m.len() > 0)))
        })
    };
    wait_until(dumping);
    let pid = rustix::process::Pid::from_raw(container.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let ended = run.wait();
    // The shell is PID 1 and ends with the JVM; the kernel then ends all that is left in the container.
    assert!([5, 137].contains(&ended.code), "{ended:?}");
    if ended.code == 5 {
        assert!(ended.stderr.contains("ended during its dump"), "{}", ended.stderr);
    }
}

#[test]
fn dump_beyond_the_container_s_memory_is_refused() {
    let Some(builder) = Container::builder("17") else { return };
    let builder = builder.memory_limit(256 << 20).tmpfs("/dumps", "1g").jvm_arg("-Xmx180m").arg("mb=100");
    let container = builder.bind_read_only(binary(), INSIDE).start();
    let args = ["--all", "--dir", "/dumps", "--store", "-", "shop", "cart", "prod"];
    let ended = container.exec(&[&[INSIDE], &args[..]].concat());
    assert_eq!(ended.code, 6, "{}", ended.stderr);
    assert!(ended.stderr.contains("it is memory"), "{}", ended.stderr);
    assert_eq!(container.say("ping"), "pong");
}

#[test]
fn hardened_kernels_that_refuse_new_calls_are_no_obstacle() {
    for (uid, caps) in [(0, true), (1000, false)] {
        let Some(builder) = Container::builder("17") else { return };
        let mut builder = builder.uid(uid).gid(uid).seccomp_default().no_new_privs().arg("markers=3");
        if !caps {
            builder = builder.drop_caps();
        }
        let container = builder.bind_read_only(binary(), INSIDE).start();
        let ended = container.exec(&[INSIDE, "--store", "-", "shop", "cart", "prod"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(census_of(&ended.stdout).of("Marker"), 3);
    }
}
