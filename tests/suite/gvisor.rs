//! The whole job in gVisor, whose kernel hides /proc/PID/root, the peer of a socket and the caught signals, and has
//! neither holes, nor leases, nor CLONE_PARENT.

use std::time::Duration;

use crate::common::container::builder::Builder;
use crate::common::container::gvisor::Sandbox;
use crate::common::tool::binary;
use crate::containers::{INSIDE, census_of};

const VERSIONS: [&str; 3] = ["8", "17", "25"];

/// Where the runs may leave something.
const DIRS: [&str; 3] = ["/tmp", "/var", "/dumps"];

/// All that the runs say on standard error that is a warning, but what is so in gVisor.
fn warnings(stderr: &str) -> Vec<&str> {
    let warned = stderr.lines().filter(|line| line.contains("WARN") || line.starts_with("warning"));
    // There are no holes in its files.
    warned.filter(|line| !line.contains("the disk held the whole dump")).collect()
}

fn sandbox(version: &str, change: impl Fn(Builder) -> Builder) -> Option<Sandbox> {
    let builder = Sandbox::builder(version)?.arg("markers=77").bind_read_only(binary(), INSIDE);
    Some(Sandbox::start(&change(builder.tmpfs("/dumps", "2g"))))
}

#[test]
fn whole_job_works_in_gvisor() {
    for (version, uids) in [("8", [0].as_slice()), ("17", &[1000]), ("25", &[0, 1000])] {
        for &uid in uids {
            let Some(sandbox) = sandbox(version, |builder| builder.uid(uid).gid(uid).arg("mb=40")) else { continue };
            let what = format!("JDK {version}, uid {uid}");
            let ps = sandbox.exec(&[INSIDE, "ps", "--output", "json"]);
            assert!(ps.text().contains("\"attachable\":true"), "{what}: {ps:?}");
            let check = sandbox.exec(&[INSIDE, "check", "--dir", "/dumps"]);
            assert_eq!(check.code, 0, "{what}: {check:?}");
            let before = sandbox.files(&DIRS);
            let streamed = sandbox.exec(&[INSIDE, "--dir", "/dumps", "--store", "-", "shop", "cart", "prod"]);
            assert_eq!(streamed.code, 0, "{what}: {streamed:?}");
            assert_eq!(census_of(&streamed.stdout).of("Marker"), 77, "{what}");
            assert_eq!(warnings(&streamed.stderr), Vec::<&str>::new(), "{what}");
            assert_eq!(sandbox.files(&DIRS), before, "{what}");
            let stored = sandbox.exec(&[INSIDE, "--dir", "/dumps", "--store", "/dumps/store", "shop", "cart", "prod"]);
            assert_eq!(stored.code, 0, "{what}: {stored:?}");
            let files = sandbox.files(&DIRS);
            let dump = files.iter().find(|path| path.ends_with(".hprof.gz")).unwrap_or_else(|| panic!("{files:?}"));
            let got = sandbox.exec(&["/bin/busybox", "cat", dump]);
            assert_eq!(census_of(&got.stdout).of("Marker"), 77, "{what}");
            let receipt = files.iter().find(|path| path.ends_with(".json")).unwrap_or_else(|| panic!("{files:?}"));
            assert!(sandbox.exec(&["/bin/busybox", "cat", receipt]).text().contains("\"sha256\""), "{what}");
            // The guards have ended, and the JVM waits for no child.
            assert_eq!(sandbox.others(), Vec::<String>::new(), "{what}");
            assert!(!sandbox.log().contains("Full thread dump"), "{what}: {}", sandbox.log());
            assert_eq!(sandbox.say("ping"), "pong", "{what}");
        }
    }
}

/// By its own mark the JVM is up; without one, its thread for signals tells.
#[test]
fn jvm_without_perf_data_is_dumped_in_gvisor() {
    for version in ["17", "25"] {
        let change = |builder: Builder| builder.uid(1_000_650_000).gid(0).passwd_entry(false);
        let Some(sandbox) = sandbox(version, change) else { continue };
        let ended = sandbox.exec(&[INSIDE, "--dir", "/dumps", "--store", "-", "shop", "cart", "prod"]);
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        assert_eq!(census_of(&ended.stdout).of("Marker"), 77, "JDK {version}");
        assert!(!sandbox.log().contains("Full thread dump"), "JDK {version}: {}", sandbox.log());
    }
}

#[test]
fn root_dumps_the_jvm_of_another_user_in_gvisor() {
    let Some(sandbox) = sandbox("17", |builder| builder.uid(1000).gid(1000)) else { return };
    let ended = sandbox.exec_as(0, &[INSIDE, "--dir", "/dumps", "--store", "-", "shop", "cart", "prod"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(census_of(&ended.stdout).of("Marker"), 77);
    assert_eq!(sandbox.others(), Vec::<String>::new());
}

#[test]
fn killed_run_leaves_nothing_in_gvisor() {
    for version in VERSIONS {
        let Some(sandbox) = sandbox(version, |builder| builder.arg("mb=64")) else { continue };
        let before = sandbox.files(&DIRS);
        let line = [INSIDE, "--dir", "/dumps", "--store", "/dumps/store", "shop", "cart", "prod"];
        // One that is not killed stores its dump.
        let whole = sandbox.exec(&line);
        assert_eq!(whole.code, 0, "JDK {version}: {whole:?}");
        for moment in 1..4 {
            let what = format!("JDK {version}, moment {moment}");
            let run = sandbox.spawn(&line);
            std::thread::sleep(Duration::from_millis(250 * moment));
            sandbox.kill(&run);
            run.wait();
            let begun = std::time::Instant::now();
            // An orphan of the sandbox stays with the JVM as a zombie, which holds nothing.
            while sandbox.others().iter().any(|process| !process.ends_with(" Z")) {
                assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {:?}", sandbox.others());
            }
            let resumed = sandbox.exec(&[INSIDE, "upload", "--resume", "/dumps", "--store", "/dumps/store"]);
            assert_eq!(resumed.code, 0, "{what}: {resumed:?}");
            let left: Vec<_> = sandbox.files(&DIRS).into_iter().filter(|path| !path.contains("/store")).collect();
            assert_eq!(left, before, "{what}");
            assert_eq!(sandbox.say("ping"), "pong", "{what}");
        }
    }
}
