//! The lock of a turn on a JVM: whoever can reach it learns nothing, gets nothing believed, and stops no run. And
//! the memory of a run, which nobody else reads.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::{Gid, Pid, Resource, Rlimit, Signal, Uid, getrlimit, kill_process, prlimit, setrlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::common::bed;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::killed_run::{marked, start};
use crate::common::shape::{Shape, files_in};
use crate::common::tool::{Run, Tool, binary, has_run, lock_name_of};
use crate::common::waiting::wait_until;

const STRANGER: u32 = 12345;

/// The user of a JVM and of the tool, where both are the same.
const USER: u32 = 1000;

fn lock_of(shape: &Shape) -> SocketAddr {
    SocketAddr::from_abstract_name(lock_name_of(shape.jvm.pid(), shape.jvm.pid())).unwrap()
}

/// On a thread that is another user's.
pub fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (gid, uid) = (Gid::from_raw(uid), Uid::from_raw(uid));
            set_thread_groups(&[gid]).unwrap();
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
            act()
        });
        thread.join().unwrap()
    })
}

fn signal_jvm(jvm: &TestJvm, signal: Signal) {
    kill_process(Pid::from_raw(jvm.pid().cast_signed()).unwrap(), signal).unwrap();
}

/// What a run of an earlier version would have taken for the answer of another run with its own wish.
fn forged(shape: &Shape) -> String {
    let wish = format!("{}  shop/cart/prod live=true None (None, None)", shape.store.path().display());
    let object = r#"{"url":"s3://b/forged","key":"forged","bytes":1,"sha256":null,"verified":"checksum"}"#;
    let receipt = r#"{"tool":"","run_id":"abcdef","exit_code":0,"started":"","pod":{"name":"p"},"object":"#;
    format!("{wish}\n{receipt}{object}}}")
}

#[test]
fn forged_answer_at_the_place_is_not_believed() {
    let Some(shape) = Shape::new("17", 8) else { return };
    let listener = UnixListener::bind_addr(&lock_of(&shape)).unwrap();
    let run = shape.dump().spawn();
    let (mut connection, _) = listener.accept().unwrap();
    let _ = connection.write_all(forged(&shape).as_bytes());
    drop((connection, listener));
    let ended = run.wait().expect(0);
    assert!(!String::from_utf8_lossy(&ended.stdout).contains("forged"), "{ended:?}");
    assert_complete(ended.stored());
}

#[test]
fn endless_answer_at_the_place_takes_no_memory() {
    let Some(shape) = Shape::new("17", 8) else { return };
    let listener = UnixListener::bind_addr(&lock_of(&shape)).unwrap();
    let run = shape.dump().spawn();
    let (mut connection, _) = listener.accept().unwrap();
    let (begun, piece) = (Instant::now(), vec![b'x'; 1 << 20]);
    while begun.elapsed() < Duration::from_secs(3) && connection.write_all(&piece).is_ok() {}
    let peak = peak_of(&run);
    drop((connection, listener));
    assert_complete(run.wait().expect(0).stored());
    assert!(peak < 100 << 20, "the run took {} MiB", peak >> 20);
}

/// The most memory that a run has had.
fn peak_of(run: &Run) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", run.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn place_of_a_run_tells_nothing_to_whoever_connects() {
    let Some(shape) = Shape::new("17", 48) else { return };
    signal_jvm(&shape.jvm, Signal::STOP);
    let run = shape.dump().spawn();
    wait_until("the run", || has_run(shape.jvm.pid(), shape.jvm.pid()));
    let address = lock_of(&shape);
    let mut connection = as_user(STRANGER, || UnixStream::connect_addr(&address)).unwrap();
    signal_jvm(&shape.jvm, Signal::CONT);
    run.wait().expect(0);
    let mut told = String::new();
    connection.read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
}

#[test]
fn connections_of_others_do_not_exhaust_the_run() {
    let Some(shape) = Shape::new("17", 8) else { return };
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    signal_jvm(&shape.jvm, Signal::STOP);
    let run = shape.dump().spawn();
    let usual = Rlimit { current: Some(1024), maximum: Some(1024) };
    prlimit(Some(Pid::from_child(&run.child)), Resource::Nofile, usual).unwrap();
    wait_until("the run", || has_run(shape.jvm.pid(), shape.jvm.pid()));
    let address = lock_of(&shape);
    let connections: Vec<_> =
        as_user(STRANGER, || (0..1100).map(|_| UnixStream::connect_addr(&address).unwrap()).collect());
    signal_jvm(&shape.jvm, Signal::CONT);
    assert_complete(run.wait().expect(0).stored());
    assert_eq!(connections.len(), 1100);
}

#[test]
fn stranger_at_the_place_locks_nobody_out() {
    let Some(shape) = Shape::new("17", 8) else { return };
    let address = lock_of(&shape);
    let listener = as_user(STRANGER, || UnixListener::bind_addr(&address).unwrap());
    let ended = shape.dump().args(&["--deadline", "60s"]).run().expect(0);
    assert!(ended.stderr.contains("another user (uid 12345)"), "{}", ended.stderr);
    assert_complete(ended.stored());
    // Its queue is full, and it takes nobody off. Who connects does not wait for that.
    let name = lock_name_of(shape.jvm.pid(), shape.jvm.pid());
    let unix = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
    let new = |flags| socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let mut queued = Vec::new();
    loop {
        queued.push(new(SocketFlags::NONBLOCK));
        if rustix::net::connect(queued.last().unwrap(), &unix).is_err() {
            break;
        }
    }
    let ended = shape.dump().args(&["--deadline", "60s"]).run().expect(0);
    assert!(ended.stderr.contains("cannot be connected to"), "{}", ended.stderr);
    drop((queued, listener));
    // A name without a listener.
    let bound = new(SocketFlags::empty());
    rustix::net::bind(&bound, &unix).unwrap();
    let ended = shape.dump().args(&["--deadline", "60s"]).run().expect(0);
    assert!(ended.stderr.contains("cannot be connected to"), "{}", ended.stderr);
}

/// What another user has put into a directory that both may write to stands in for no dump.
#[test]
fn dump_of_another_user_in_a_directory_is_not_reported() {
    let Some(shape) = Shape::new("17", 8) else { return };
    let (first, second) = one_after_another(&shape, |dump| {
        for path in [dump.to_owned(), dump.replace(".hprof.gz", ".json")] {
            std::os::unix::fs::chown(path, Some(STRANGER), Some(STRANGER)).unwrap();
        }
    });
    assert_ne!(first, second);
}

#[test]
fn dump_that_is_not_as_its_receipt_says_is_not_reported() {
    let Some(shape) = Shape::new("17", 8) else { return };
    let (first, second) = one_after_another(&shape, |dump| std::fs::write(dump, "cut").unwrap());
    assert_ne!(first, second);
    let (first, second) = one_after_another(&shape, |_| ());
    assert_eq!(first, second);
}

/// Two runs, the second of which waits until `change` has changed what the first one has stored. The first one is in
/// another network namespace, where the lock is free.
fn one_after_another(shape: &Shape, change: impl Fn(&str)) -> (String, String) {
    let held = UnixListener::bind_addr(&lock_of(shape)).unwrap();
    let second = shape.dump().spawn();
    drop(held.accept().unwrap());
    let [store, dumps] = [&shape.store, &shape.dumps].map(|dir| dir.path().to_str().unwrap());
    let (tool, pid) = (binary().to_str().unwrap(), shape.jvm.pid().to_string());
    let line = ["--net", tool, "shop", "cart", "prod", "--output", "json", "--pid", &pid, "--store", store];
    let first = Tool::of(Path::new("/usr/bin/unshare"), &line).args(&["--dir", dumps]).run().expect(0);
    let first = first.stored().display().to_string();
    change(&first);
    drop(held);
    (first, second.wait().expect(0).stored().display().to_string())
}

#[test]
fn second_run_reports_no_dump_that_was_stored_before_it_came() {
    let Some(shape) = Shape::new("17", 8) else { return };
    let old = shape.dump().run().expect(0).stored();
    let listener = UnixListener::bind_addr(&lock_of(&shape)).unwrap();
    let run = shape.dump().spawn();
    drop((listener.accept().unwrap(), listener));
    let new = run.wait().expect(0).stored();
    assert_ne!(old, new);
    assert_complete(new);
}

/// A run as the JVM's own user that waits for a stopped JVM, and the mark of its guard.
fn waiting_run_of_user(jvm: &TestJvm, dirs: [&Path; 2], cwd: &Path) -> (Run, String) {
    signal_jvm(jvm, Signal::STOP);
    let [store, dumps] = dirs.map(|dir| dir.to_str().unwrap());
    let tool = Tool::dump(jvm.pid(), store).args(&["--dir", dumps]).command(|command| {
        command.uid(USER).gid(USER).current_dir(cwd);
    });
    let (run, mark) = start(tool);
    wait_until("the run and its guard", || marked(&mark).len() == 2 && has_run(jvm.pid(), jvm.pid()));
    (run, mark)
}

fn dir_of_user() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(USER), Some(USER)).unwrap();
    dir
}

#[test]
fn process_of_the_same_user_reads_no_memory_of_a_run() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.uid(USER).jvm_arg("-Xmx64m").start();
    let [store, dumps, cwd] = [(); 3].map(|()| dir_of_user());
    let (run, mark) = waiting_run_of_user(&jvm, [store.path(), dumps.path()], cwd.path());
    let read = |path: &str| as_user(USER, || std::fs::File::open(path).and_then(|mut file| file.read(&mut [0; 1])));
    let readable: Vec<_> = marked(&mark)
        .into_iter()
        .flat_map(|pid| ["environ", "mem", "maps", "auxv"].map(|name| format!("/proc/{pid}/{name}")))
        .filter(|path| read(path).map_or_else(|error| error.kind() != io::ErrorKind::PermissionDenied, |_| true))
        .collect();
    signal_jvm(&jvm, Signal::CONT);
    let ended = run.wait().expect(0);
    assert_eq!(readable, Vec::<String>::new());
    assert_complete(ended.stored());
}

#[test]
fn sigquit_to_a_run_and_its_guard_leaves_no_core() {
    if std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap().starts_with(['|', '/']) {
        return bed::cannot_run("core files do not lie in the directory of their process");
    }
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.uid(USER).jvm_arg("-Xmx64m").start();
    let [store, dumps, cwd] = [(); 3].map(|()| dir_of_user());
    setrlimit(Resource::Core, Rlimit { current: None, maximum: None }).unwrap();
    let (run, mark) = waiting_run_of_user(&jvm, [store.path(), dumps.path()], cwd.path());
    for pid in marked(&mark) {
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::QUIT).unwrap();
    }
    assert_eq!(run.wait().code, 128 + 3);
    wait_until("the end of both", || marked(&mark).is_empty());
    signal_jvm(&jvm, Signal::CONT);
    assert_eq!(files_in(cwd.path()), std::collections::BTreeSet::new());
}
