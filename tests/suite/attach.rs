//! Attaching with few rights, to JVMs that are stopped or killed, past what others left in /tmp.

use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::s3::{BUCKET, S3Server};
use crate::common::tool::{Tool, binary};
use crate::common::waiting::wait_until;
use crate::containers::{INSIDE, census_of, files_but_the_socket};

const ID_CAPS: [&str; 2] = ["CAP_SETUID", "CAP_SETGID"];

/// README: these two suffice.
#[test]
fn root_with_setuid_and_setgid_alone_dumps() {
    for version in ["8", "17", "25"] {
        for (uid, gid) in [(1000, 1000), (2000, 3000)] {
            let Some(container) = Container::builder(version) else { continue };
            let container = container.uid(uid).gid(gid).arg("markers=41").bind_read_only(binary(), INSIDE).start();
            let before = files_but_the_socket(&container);
            let run = || container.command(&[INSIDE, "--store", "-", "shop", "cart", "prod"]).uid(0).gid(0);
            let ended = run().caps(&ID_CAPS).output();
            let what = format!("JDK {version}, JVM {uid}:{gid}");
            assert_eq!(ended.code, 0, "{what}: {ended:?}");
            assert_eq!(census_of(&ended.stdout).of("Marker"), 41, "{what}");
            assert_eq!(files_but_the_socket(&container), before, "{what}");
            assert!(!container.log().contains("Full thread dump"), "{what}: {}", container.log());
            assert_eq!(container.say("ping"), "pong", "{what}");
        }
    }
}

/// A /tmp that only the JVM's user may enter, and none at all.
#[test]
fn root_with_two_capabilities_uses_a_private_tmp() {
    for version in ["8", "17", "25"] {
        let Some(none) = Container::builder(version) else { continue };
        let none = none.no_tmp().uid(1000).gid(1000).bind_read_only(binary(), INSIDE).start();
        let ended = none.command(&[INSIDE, "--dir", "/", "--store", "-", "a", "b", "c"]).uid(0).gid(0).caps(&ID_CAPS);
        // The root is root's: there is a place for the socket, and none for the dump.
        assert_eq!(ended.output().code, 6, "JDK {version}");
        assert_eq!(none.path("/tmp").exists(), version == "8", "JDK {version}");
        let Some(container) = Container::builder(version) else { continue };
        let container = container.uid(1000).gid(1000).arg("markers=41").bind_read_only(binary(), INSIDE).start();
        let tmp = container.path("/tmp");
        std::os::unix::fs::chown(&tmp, Some(1000), Some(1000)).unwrap();
        std::fs::set_permissions(&tmp, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let ended = container.command(&[INSIDE, "--store", "-", "a", "b", "c"]).uid(0).gid(0).caps(&ID_CAPS).output();
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        assert_eq!(census_of(&ended.stdout).of("Marker"), 41, "JDK {version}");
    }
}

/// Two users of one JVM meet, whatever the one may see of its /proc.
#[test]
fn run_of_the_jvm_user_waits_for_the_run_of_root() {
    let Some(container) = Container::builder("17") else { return };
    let container = container.uid(1000).gid(1000).arg("mb=64").bind_read_only(binary(), INSIDE).start();
    // The JVM takes no order while another client, who orders nothing, is connected.
    let mut first = container.command(&[INSIDE, "check"]).output();
    assert_eq!(first.code, 0, "{first:?}");
    let hog = UnixStream::connect(container.path("/tmp/.java_pid1")).unwrap();
    let line = [INSIDE, "--store", "-", "a", "b", "c"];
    let run = container.command(&line).uid(0).gid(0).caps(&ID_CAPS).spawn();
    wait_until("the first run", || crate::common::tool::has_run(container.pid(), 1));
    let log = "/tmp/second.log";
    let second = container.command(&[&line[..], &["--log-to", log]].concat()).spawn();
    let said = || std::fs::read_to_string(container.path(log)).unwrap_or_default();
    wait_until("the second run", || said().contains("another run is dumping"));
    drop(hog);
    first = run.wait();
    let second = second.wait();
    assert_eq!((first.code, second.code), (0, 0), "{first:?}\n{second:?}");
    assert!(second.stderr.contains("another run is dumping"), "{}", second.stderr);
}

/// Leaves a socket behind on which nobody listens, owned by root.
fn leave_socket(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(std::fs::symlink_metadata(path).unwrap().file_type().is_socket());
}

#[test]
fn stale_socket_of_another_user_is_removed_by_root() {
    // Its owner is root, who may not pass permissions.
    for (version, caps) in [("8", true), ("17", true), ("25", true), ("17", false)] {
        let Some(container) = Container::builder(version) else { continue };
        let container = container.uid(1000).gid(1000).arg("markers=3").bind_read_only(binary(), INSIDE).start();
        let socket = container.path("/tmp/.java_pid1");
        leave_socket(&socket);
        if version == "25" {
            std::os::unix::fs::chown(&socket, Some(2000), Some(2000)).unwrap();
        }
        let run = container.command(&[INSIDE, "--store", "-", "a", "b", "c"]).uid(0).gid(0);
        let ended = if caps { run } else { run.caps(&ID_CAPS) }.output();
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        assert_eq!(census_of(&ended.stdout).of("Marker"), 3, "JDK {version}");
    }
}

#[test]
fn stale_attach_file_of_root_is_removed_by_root() {
    let Some(container) = Container::builder("17") else { return };
    let container = container.uid(1000).gid(1000).arg("markers=3").bind_read_only(binary(), INSIDE).start();
    for place in ["/.attach_pid1", "/tmp/.attach_pid1"] {
        std::fs::write(container.path(place), "").unwrap();
    }
    let ended = container.command(&[INSIDE, "--store", "-", "a", "b", "c"]).uid(0).gid(0).output();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!container.log().contains("Full thread dump"), "{}", container.log());
}

#[test]
fn stale_socket_of_root_is_named_with_its_removal() {
    let Some(container) = Container::builder("17") else { return };
    let container = container.uid(1000).gid(1000).bind_read_only(binary(), INSIDE).start();
    leave_socket(&container.path("/tmp/.java_pid1"));
    let ended = container.exec(&[INSIDE, "--store", "-", "a", "b", "c"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stderr.contains("belongs to uid 0"), "{}", ended.stderr);
    assert!(ended.stderr.contains("as root: rm /tmp/.java_pid1"), "{}", ended.stderr);
    // As it says: the JVM's user alone cannot.
    std::fs::remove_file(container.path("/tmp/.java_pid1")).unwrap();
    assert_eq!(container.exec(&[INSIDE, "--store", "-", "a", "b", "c"]).code, 0);
}

/// A socket on which somebody listens is in use, whoever that is.
#[test]
fn hint_never_removes_a_socket_that_listens() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
    let path = format!("/tmp/.java_pid{}", jvm.pid());
    let _other = UnixListener::bind(&path).unwrap();
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(4);
    assert!(ended.stderr.contains("listens on it"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("remove ") && !ended.stderr.contains("rm "), "{}", ended.stderr);
    assert!(Path::new(&path).exists());
}

/// SIGQUIT to a stopped JVM waits there, and prints all threads when the attach file is gone by then.
#[test]
fn stopped_jvm_is_not_signalled_before_it_runs() {
    for version in ["8", "17", "25"] {
        let (Some(jvm), store) = (TestJvm::builder(version), tempfile::tempdir().unwrap()) else { continue };
        let jvm = jvm.start();
        let pid = Pid::from_raw(jvm.pid().cast_signed()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        let dump = || Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--attach-timeout", "1s"]);
        let ended = dump().run().expect(4);
        let pending = signals_pending(jvm.pid());
        kill_process(pid, Signal::CONT).unwrap();
        assert_eq!(pending & 1 << 2, 0, "JDK {version}: SIGQUIT waits for the stopped JVM: {}", ended.stderr);
        assert!(ended.stderr.contains("stopped"), "JDK {version}: {}", ended.stderr);
        assert!(ended.stderr.contains("kill -CONT"), "JDK {version}: {}", ended.stderr);
        dump().run().expect(0);
        // The listener is there, and the JVM could not answer.
        kill_process(pid, Signal::STOP).unwrap();
        let ended = dump().run();
        kill_process(pid, Signal::CONT).unwrap();
        assert!(ended.expect(4).stderr.contains("stopped"), "JDK {version}");
        assert!(!jvm.log().contains("Full thread dump"), "JDK {version}");
    }
}

/// The mask of the signals that wait for all threads (proc_pid_status(5)).
fn signals_pending(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

/// Killed while the run waits for an answer to a question.
#[test]
fn jvm_killed_while_it_is_asked_has_ended() {
    for version in ["8", "17", "25"] {
        let (Some(jvm), store) = (TestJvm::builder(version), tempfile::tempdir().unwrap()) else { continue };
        let jvm = jvm.jvm_arg("-XX:+StartAttachListener").start();
        let socket = format!("/tmp/.java_pid{}", jvm.pid());
        wait_until("the socket", || UnixStream::connect(&socket).is_ok());
        // One that orders nothing keeps the listener: the run waits behind it.
        let _hog = UnixStream::connect(&socket).unwrap();
        wait_until("the end of the first connection", || connections(&socket) == 2);
        let run = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).arg("-vv").spawn().hear();
        wait_until("the run", || connections(&socket) > 2);
        kill_process(Pid::from_raw(jvm.pid().cast_signed()).unwrap(), Signal::KILL).unwrap();
        let ended = run.wait().expect(4);
        let said = ended.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(said.contains("ended") && !said.contains("identity"), "JDK {version}: {}", ended.stderr);
    }
}

/// The listener itself, which the JVM has renamed since, and each connection to it.
fn connections(socket: &str) -> usize {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    sockets.lines().filter(|line| line.contains(socket)).count()
}

#[test]
fn jvm_killed_in_its_dump_has_ended() {
    for (version, args) in [("8", &[][..]), ("17", &[]), ("25", &[]), ("17", &["--no-disk"]), ("25", &["--no-disk"])] {
        let Some(jvm) = TestJvm::builder(version) else { continue };
        let (dumps, server) = (tempfile::tempdir().unwrap(), S3Server::start());
        let jvm = jvm.arg("mb=300").start();
        let dir = dumps.path().to_str().unwrap();
        let tool = Tool::dump(jvm.pid(), &format!("s3://{BUCKET}")).args(&["--dir", dir, "-vv"]).args(args);
        let mut run = tool.with_s3(&server).spawn().hear();
        let pid = Pid::from_raw(jvm.pid().cast_signed()).unwrap();
        let begun = || std::fs::read_dir(dumps.path()).unwrap().count() > 0;
        wait_until("the dump", || begun() || run.child.try_wait().is_ok_and(|ended| ended.is_some()));
        std::thread::sleep(Duration::from_millis(150));
        kill_process(pid, Signal::KILL).unwrap();
        let ended = run.wait();
        let said = ended.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(said.contains("ended"), "JDK {version} {args:?}, status {}: {}", ended.code, ended.stderr);
        assert_eq!(std::fs::read_dir(dumps.path()).unwrap().count(), 0);
    }
}

/// Epsilon counts no generation and has no total: only its space tells what is used.
#[test]
fn heap_of_epsilon_is_understood() {
    for version in ["11", "17", "21", "25"] {
        let (Some(jvm), store) = (TestJvm::builder(version), tempfile::tempdir().unwrap()) else { continue };
        let jvm = jvm.jvm_arg("-XX:+UnlockExperimentalVMOptions").jvm_arg("-XX:+UseEpsilonGC").jvm_arg("-Xmx400m");
        let jvm = jvm.arg("mb=50").start();
        let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
        let warnings = ended.receipt()["warnings"].to_string();
        assert!(!warnings.contains("room was not checked"), "JDK {version}: {warnings}");
        assert_complete(ended.stored());
    }
}
