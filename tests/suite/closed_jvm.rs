//! JVMs that are not dumpable: their `/proc/PID/{root,cwd,exe,maps,environ}` are closed to all but SYS_PTRACE.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::preload::Preload;
use crate::common::s3::S3Server;
use crate::common::tool::{Ended, Tool, binary};
use crate::containers::{INSIDE, census_of};
use crate::no_disk;

const NOBODY: u32 = 65534;

/// Has no entry in /etc/passwd, so that its JVM keeps no hsperfdata.
const NAMELESS: u32 = 4242;

/// All that Docker gives, and no SYS_PTRACE.
const DOCKER: &str =
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+sys_chroot";

/// Who runs the tool.
#[derive(Debug, Clone, Copy)]
enum Who {
    User(u32),
    RootOfDocker,
    Root,
}

fn run(who: Who, args: &[&str]) -> Ended {
    let binary = binary().to_str().unwrap();
    let tool = match who {
        Who::User(uid) => Tool::new(args).command(|command| {
            command.uid(uid).gid(uid);
        }),
        Who::RootOfDocker => Tool::of(Path::new("/usr/bin/setpriv"), &["--bounding-set", DOCKER, binary]).args(args),
        Who::Root => Tool::new(args),
    };
    tool.run()
}

/// A JVM that root has started and that has become another user, called as jsvc calls itself.
fn jsvc(version: &str, uid: u32, preload: &Preload) -> Option<TestJvm> {
    let jvm = TestJvm::builder(version)?.arg("markers=37").env("LD_PRELOAD", preload.path());
    Some(jvm.env("BECOMES_USER", uid.to_string()).env("IS_CALLED", "jsvc.exec").cwd("/").start())
}

fn open_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

#[test]
fn jvm_that_has_changed_its_user_is_dumped() {
    let Some(preload) = Preload::build() else { return };
    for (version, uid) in [("8", NAMELESS), ("17", NOBODY), ("25", NAMELESS), ("25", NOBODY), ("28", NAMELESS)] {
        let Some(jvm) = jsvc(version, uid, &preload) else { continue };
        let (store, pid) = (open_dir(), jvm.pid().to_string());
        for who in [Who::User(uid), Who::RootOfDocker, Who::Root] {
            let what = format!("JDK {version}, JVM of {uid}, {who:?}");
            let ps = run(who, &["ps"]).expect(0);
            let ps = String::from_utf8_lossy(&ps.stdout).into_owned();
            let line = ps.lines().find(|line| line.split_whitespace().next() == Some(&pid));
            assert!(line.is_some_and(|line| line.ends_with("yes")), "{what}: {ps}");
            let place = store.path().join(format!("{who:?}")).display().to_string();
            let line = ["shop", "cart", "prod", "--output", "json", "--pid", &pid, "--store", &place];
            let ended = run(who, &line);
            assert_eq!(ended.code, 0, "{what}: {ended:?}");
            assert_eq!(assert_complete(ended.stored()).of("Marker"), 37, "{what}");
        }
        if version == "25" {
            let server = S3Server::start();
            let ended = no_disk::dump(jvm.pid(), &server).command(|command| {
                command.uid(uid).gid(uid);
            });
            let key = ended.run().expect(0).receipt()["object"]["key"].as_str().unwrap().to_owned();
            assert_eq!(assert_complete(server.object(&key)).of("Marker"), 37, "JDK {version}, pipes");
        }
        assert!(!jvm.log().contains("Full thread dump"), "JDK {version}: {}", jvm.log());
        assert_eq!(jvm.say("ping"), "pong");
    }
}

/// The first run attaches without SYS_PTRACE, so that no socket is there yet.
#[test]
fn closed_program_that_embeds_a_jvm_is_dumped() {
    let Some(preload) = Preload::build() else { return };
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.embedded().env("LD_PRELOAD", preload.path()).start();
    let ended = run(Who::RootOfDocker, &["a", "b", "c", "--store", "-", "--pid", &jvm.pid().to_string()]).expect(0);
    census_of(&ended.stdout);
    assert!(!jvm.log().contains("Full thread dump"), "{}", jvm.log());
}

#[test]
fn process_that_is_closed_is_not_called_no_jvm() {
    let Some(preload) = Preload::build() else { return };
    let mut sleeper = Command::new("sleep");
    sleeper.arg("60").uid(NAMELESS).env("LD_PRELOAD", preload.path()).env("IS_CALLED", "shut");
    let mut sleeper = sleeper.spawn().unwrap();
    let pid = sleeper.id().to_string();
    let name = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    crate::common::waiting::wait_until("the closed process", || name() == "shut\n");
    for who in [Who::User(NAMELESS), Who::RootOfDocker] {
        let ended = run(who, &["a", "b", "c", "--store", "-", "--pid", &pid]);
        assert_eq!(ended.code, 3, "{who:?}: {ended:?}");
        let said = &ended.stderr;
        assert!(said.contains(&format!("/proc/{pid}/maps is closed to this tool")), "{who:?}: {said}");
        assert!(said.contains("not dumpable") && said.contains("SYS_PTRACE"), "{who:?}: {said}");
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

const PRELOAD_INSIDE: &str = "/libclosed.so";

#[test]
fn closed_jvm_of_a_container_is_dumped_from_inside() {
    let Some(preload) = Preload::build() else { return };
    for version in ["8", "25"] {
        let Some(container) = Container::builder(version) else { continue };
        let container = container.docker_caps().bind_read_only(preload.path(), PRELOAD_INSIDE).arg("markers=41");
        let container =
            container.env("LD_PRELOAD", PRELOAD_INSIDE).env("BECOMES_USER", "1000").env("IS_CALLED", "jsvc");
        let container = container.bind_read_only(binary(), INSIDE).start();
        for uid in [0, 1000] {
            let run = container.command(&[INSIDE, "--store", "-", "a", "b", "c"]).uid(uid).gid(uid);
            let ended = if uid == 0 { run.caps(&["CAP_SETUID", "CAP_SETGID"]) } else { run }.output();
            assert_eq!(ended.code, 0, "JDK {version}, {uid}: {ended:?}");
            assert_eq!(census_of(&ended.stdout).of("Marker"), 41, "JDK {version}, {uid}");
        }
        assert!(!container.log().contains("Full thread dump"), "JDK {version}: {}", container.log());
    }
}

/// Its mounts are others, so that only SYS_PTRACE reaches its files.
#[test]
fn closed_jvm_beside_a_sidecar_wants_sys_ptrace() {
    let Some(preload) = Preload::build() else { return };
    let (Some(jvm), Some(sidecar)) = (Container::builder("17"), Container::builder("17")) else { return };
    let jvm = jvm.docker_caps().bind_read_only(preload.path(), PRELOAD_INSIDE).arg("markers=41");
    let jvm = jvm.env("LD_PRELOAD", PRELOAD_INSIDE).env("BECOMES_USER", "1000").env("IS_CALLED", "jsvc").start();
    let sidecar = sidecar.share_pid_ns_of(&jvm).uid(0).gid(0).bind_read_only(binary(), INSIDE);
    let sidecar = sidecar.busybox().idle().start();
    let caps = ["CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL"];
    let run = || sidecar.command(&[INSIDE, "--store", "-", "a", "b", "c"]);
    let ended = run().caps(&caps).output();
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stderr.contains("not dumpable") && ended.stderr.contains("SYS_PTRACE"), "{ended:?}");
    let ended = run().caps(&[&caps[..], &["CAP_SYS_PTRACE"]].concat()).output();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(census_of(&ended.stdout).of("Marker"), 41);
    assert!(!jvm.log().contains("Full thread dump"), "{}", jvm.log());
}
