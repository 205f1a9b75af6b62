//! The process that holds the pipes of `--no-disk`: who it is, what it has, and what becomes of a run without it.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::container::Container;
use crate::common::container::builder::Builder;
use crate::common::container::exec::{Exec, Output};
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::killed_run::{moments, of_this_program};
use crate::common::s3::{KEY, S3Server, SECRET};
use crate::common::shape::Shape;
use crate::common::tool::{Run, binary, time_of};
use crate::common::waiting::wait_until;
use crate::containers::{INSIDE, files_but_the_socket};
use crate::double_kill::children_of;
use crate::no_disk::{VERSIONS, dump};

/// The holder of this run, while it has one.
fn holder_of(run: &Run) -> Option<Pid> {
    let is_holder = |pid: &Pid| read(*pid, "cmdline") == b"jmap-dump-tool-holder\0";
    children_of(run.child.id()).into_iter().find(is_holder)
}

fn read(pid: Pid, name: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/{}/{name}", pid.as_raw_pid())).unwrap_or_default()
}

#[test]
fn killed_holder_ends_the_run_and_not_the_application() {
    for version in VERSIONS {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 24)) else { continue };
        let run = || dump(shape.jvm.pid(), &server).args(&["--dir", shape.dumps.path().to_str().unwrap()]);
        let length = time_of(|| drop(run().run().expect(0)));
        let mut codes = BTreeSet::new();
        for moment in 0..moments() {
            let killed = run().spawn();
            std::thread::sleep(length * moment / moments());
            if let Some(holder) = holder_of(&killed) {
                let _ = kill_process(holder, Signal::KILL);
            }
            let ended = killed.wait();
            let what = format!("JDK {version}, its holder killed at moment {moment}: {ended:?}");
            match ended.code {
                0 => {}
                4 => assert!(ended.stderr.contains("cannot be given a pipe"), "{what}"),
                5 => assert!(ended.stderr.contains("the process that held its pipes has ended"), "{what}"),
                _ => panic!("{what}"),
            }
            codes.insert(ended.code);
            shape.assert_clean(&what);
            assert_eq!(server.listed_uploads(), Vec::<String>::new(), "{what}");
        }
        eprintln!("JDK {version}: {} holders killed, the runs ended with {codes:?}", moments());
    }
}

/// The JVM does not find the pipes when it comes to open them.
#[test]
fn holder_killed_before_the_dump_is_told_as_such() {
    for version in VERSIONS {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 4)) else { continue };
        let run = || dump(shape.jvm.pid(), &server).args(&["--dir", shape.dumps.path().to_str().unwrap()]);
        // From now on the JVM has its socket.
        run().run().expect(0);
        let jvm = Pid::from_raw(shape.jvm.pid().cast_signed()).unwrap();
        kill_process(jvm, Signal::STOP).unwrap();
        let run = run().spawn().hear();
        // The store is opened after the pipes and before the JVM is asked for anything.
        wait_until("the upload", || !server.listed_uploads().is_empty());
        kill_process(holder_of(&run).unwrap(), Signal::KILL).unwrap();
        kill_process(jvm, Signal::CONT).unwrap();
        let ended = run.wait().expect(5);
        assert!(ended.stderr.contains("the process that held its pipes has ended"), "JDK {version}: {ended:?}");
        shape.assert_clean(&ended.stderr);
        assert_eq!(server.listed_uploads(), Vec::<String>::new(), "JDK {version}");
    }
}

/// Descriptor and what it leads to.
fn fds_of(pid: Pid) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid())).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| {
        let link = std::fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, link.display().to_string()))
    });
    links.collect()
}

/// The JVM's user may look at it as at a process of its own.
#[test]
fn holder_has_nothing_that_the_jvm_has_not() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("25")) else { return };
    let jvm = jvm.uid(1000).gid(1001).groups(&[4711, 4712]).arg("mb=60").start();
    server.stall(Duration::from_secs(60));
    // A shell may leave such a one open.
    let inherited = File::open("/etc/shadow").unwrap();
    fcntl_setfd(&inherited, FdFlags::empty()).unwrap();
    let dumps = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dumps.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let run = dump(jvm.pid(), &server).args(&["--dir", dumps.path().to_str().unwrap()]).spawn().hear();
    wait_until("a holder that is ready", || holder_of(&run).is_some_and(|holder| fds_of(holder).len() == 5));
    let holder = holder_of(&run).unwrap();
    assert_eq!(read(holder, "environ"), b"");
    let fds = fds_of(holder);
    let (sockets, pipes): (Vec<_>, Vec<_>) = fds.iter().partition(|(fd, _)| *fd < 3);
    assert!(sockets.iter().all(|(_, link)| link.starts_with("socket:")), "{fds:?}");
    assert!(pipes.iter().all(|(fd, link)| *fd > 1000 && link.starts_with("pipe:")), "{fds:?}");
    let status = String::from_utf8(read(holder, "status")).unwrap();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!([line("Uid:"), line("Gid:")], ["1000 1000 1000 1000", "1001 1001 1001 1001"]);
    assert_eq!(line("Groups:"), "4711 4712");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(line(set), "0000000000000000", "{set}");
    }
    let proc = format!("/proc/{}", holder.as_raw_pid());
    assert_eq!(std::fs::metadata(format!("{proc}/environ")).unwrap().uid(), 1000, "it is not dumpable");
    for link in ["root", "cwd"] {
        let names = std::fs::read_dir(format!("{proc}/{link}")).unwrap().flatten().map(|entry| entry.file_name());
        let names: Vec<_> = names.collect();
        assert!(names.iter().all(|name| name.to_str().unwrap().parse::<u32>().is_ok()), "{link}: {names:?}");
    }
    assert_no_secret_in_memory(&proc);
    run.signal(Signal::TERM);
    run.wait().expect(8);
    assert!(!std::path::Path::new(&proc).exists(), "the holder has outlived its run");
    assert_eq!(jvm.say("ping"), "pong");
    server.stall(Duration::ZERO);
    server.release();
}

fn assert_no_secret_in_memory(proc: &str) {
    let maps = std::fs::read_to_string(format!("{proc}/maps")).unwrap();
    let memory = File::open(format!("{proc}/mem")).unwrap();
    let mut looked_at = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut bytes = vec![0; (to - from) as usize];
        memory.read_exact_at(&mut bytes, from).unwrap();
        looked_at += bytes.len();
        for secret in [KEY, SECRET] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in the holder's memory: {line}");
        }
    }
    assert!(looked_at > 0, "{maps}");
}

/// Whoever the tool is, as long as it may become the JVM's user.
#[test]
fn each_identity_dumps_through_pipes_in_the_container() {
    type Case = (&'static str, fn(Builder) -> Builder, for<'a> fn(Exec<'a>) -> Exec<'a>);
    let cases: [Case; 4] = [
        (
            "root, and the JVM without a capability",
            |jvm| jvm.drop_caps(),
            |exec| exec.caps(&["CAP_SETUID", "CAP_SETGID", "CAP_SYS_PTRACE", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE"]),
        ),
        (
            "root to a user, few capabilities",
            |jvm| jvm.uid(1000).gid(1000),
            |exec| exec.uid(0).gid(0).caps(&["CAP_SETUID", "CAP_SETGID", "CAP_KILL"]),
        ),
        (
            "a user, no capability, no new privileges",
            |jvm| jvm.uid(1000).gid(2000).drop_caps().no_new_privs(),
            |exec| exec,
        ),
        ("a user namespace", |jvm| jvm.user_namespace().uid(1000).gid(1000), |exec| exec.uid(0).gid(0)),
    ];
    for version in ["17", "25"] {
        for (what, change, identity) in cases {
            let (server, Some(container)) = (S3Server::start(), Container::builder(version)) else { continue };
            let container = change(container.bind_read_only(binary(), INSIDE)).arg("markers=77").start();
            let before = files_but_the_socket(&container);
            let ended = run_in(&container, &server, identity);
            let what = format!("JDK {version}, {what}: {ended:?}");
            assert_stored(&ended, &server, &what);
            assert_eq!(files_but_the_socket(&container), before, "{what}");
            assert_eq!(container.say("ping"), "pong", "{what}");
        }
    }
}

/// The mounts are others: the JVM's user must not get to those of the sidecar by way of the holder.
#[test]
fn sidecar_dumps_through_pipes_or_is_refused() {
    for version in ["17", "25"] {
        for (jvm_uid, our_uid, caps) in [(0, 0, None), (1000, 1000, None), (1000, 0, None), (1000, 0, Some(()))] {
            let server = S3Server::start();
            let (Some(jvm), Some(sidecar)) = (Container::builder(version), Container::builder("17")) else { continue };
            let jvm = jvm.uid(jvm_uid).gid(jvm_uid).arg("markers=77").start();
            let sidecar = sidecar.share_pid_ns_of(&jvm).uid(our_uid).gid(our_uid).bind_read_only(binary(), INSIDE);
            let sidecar = sidecar.busybox().idle().start();
            let before = (files_but_the_socket(&jvm), files_but_the_socket(&sidecar));
            let ended = run_in(&sidecar, &server, |exec| match caps {
                None => exec,
                // Nothing can take the sidecar's files out of the holder's sight.
                Some(()) => exec.caps(&["CAP_SETUID", "CAP_SETGID", "CAP_KILL"]),
            });
            let what = format!("JDK {version}, JVM {jvm_uid}, sidecar {our_uid} {caps:?}: {ended:?}");
            if caps.is_some() {
                assert!(ended.code == 4 && ended.stderr.contains("no process can hold it"), "{what}");
                assert_eq!(server.requests(), 0, "{what}");
            } else {
                assert_stored(&ended, &server, &what);
            }
            assert_eq!((files_but_the_socket(&jvm), files_but_the_socket(&sidecar)), before, "{what}");
            assert_eq!(jvm.say("ping"), "pong", "{what}");
        }
    }
}

/// The container's first process is the JVM, which waits for no child of others.
#[test]
fn run_killed_in_a_container_leaves_no_holder() {
    for version in ["17", "25"] {
        let (server, Some(container)) = (S3Server::start(), Container::builder(version)) else { continue };
        let container = container.bind_read_only(binary(), INSIDE).arg("mb=64").start();
        let before = files_but_the_socket(&container);
        for moment in 1..5 {
            let mut run = exec_in(&container, &server).spawn();
            std::thread::sleep(Duration::from_millis(100 * moment));
            run.kill();
            let ended = run.wait();
            let what = format!("JDK {version}, moment {moment}, {ended:?}");
            wait_until(&what, || of_this_program(&container).is_empty());
            assert_eq!(files_but_the_socket(&container), before, "{what}");
            assert_eq!(container.say("ping"), "pong", "{what}");
        }
    }
}

fn run_in(container: &Container, server: &S3Server, identity: impl for<'a> FnOnce(Exec<'a>) -> Exec<'a>) -> Output {
    identity(exec_in(container, server)).output()
}

fn exec_in<'a>(container: &'a Container, server: &S3Server) -> Exec<'a> {
    let flags = server.flags();
    let mut command = vec![INSIDE, "shop", "cart", "prod", "--output", "json", "--store", "s3://dumps", "--no-disk"];
    command.extend(flags.iter().map(String::as_str));
    container.command(&command).with_key()
}

#[track_caller]
fn assert_stored(ended: &Output, server: &S3Server, what: &str) {
    assert_eq!(ended.code, 0, "{what}");
    let receipt: serde_json::Value = serde_json::from_str(&ended.text()).unwrap();
    let census = assert_complete(server.object(receipt["object"]["key"].as_str().unwrap()));
    assert_eq!(census.of("Marker"), 77, "{what}");
}
