//! No harm: no JVM is killed, none prints its threads, whatever state it is in; and patience with those that are slow.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::bed;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::{TestJvm, default_sigquit};
use crate::common::killed_run::moments;
use crate::common::tool::{Tool, has_run};
use crate::common::waiting::wait_until;

/// Killed and reaped.
pub struct Guarded(pub Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(format!("/tmp/.java_pid{}", self.0.id()));
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).unwrap()
}

#[test]
fn a_jvm_that_has_just_been_started_is_never_killed() {
    // Together they try each third millisecond.
    for (first, version) in [(0, "8"), (3, "17"), (6, "25")] {
        let Some(java) = bed::jvm(version) else { continue };
        for moment in (first..200).step_by(9) {
            let store = tempfile::tempdir().unwrap();
            let child = default_sigquit()
                .arg(&java)
                .args(["-Xshare:auto", "-cp"])
                .arg(bed::classes())
                .arg("Heap")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut child = Guarded(child);
            std::thread::sleep(Duration::from_millis(moment));
            let ended = Tool::dump(child.0.id(), store.path().to_str().unwrap()).run();
            let what = format!("JDK {version}, {moment} ms after exec: {}", ended.stderr);
            assert!(child.0.try_wait().unwrap().is_none(), "killed: {what}");
            match ended.code {
                0 => drop(assert_complete(ended.stored())),
                3 | 4 => assert!(ended.stderr.contains("error: "), "{what}"),
                other => panic!("exit status {other}: {what}"),
            }
        }
    }
}

#[test]
fn a_stopped_jvm_is_waited_for() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let cwd = tempfile::tempdir().unwrap();
    let (jvm, store) = (jvm.cwd(cwd.path()).start(), tempfile::tempdir().unwrap());
    kill_process(pid(jvm.pid()), Signal::STOP).unwrap();
    let run = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).arg("-v").spawn();
    wait_until("the run", || has_run(jvm.pid(), jvm.pid()));
    // From then on it waits for the JVM, and says so every five seconds.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(std::fs::read_dir(cwd.path()).unwrap().count(), 0, "something was begun before the JVM goes on");
    kill_process(pid(jvm.pid()), Signal::CONT).unwrap();
    let ended = run.wait().expect(0);
    assert!(ended.stderr.contains("which is stopped"), "it does not say for what it waits: {}", ended.stderr);
    assert_complete(ended.stored());
    assert!(!jvm.log().contains("Full thread dump"));
}

#[test]
fn stopped_jvm_is_given_up_with_a_hint() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let cwd = tempfile::tempdir().unwrap();
    let (jvm, store) = (jvm.cwd(cwd.path()).start(), tempfile::tempdir().unwrap());
    kill_process(pid(jvm.pid()), Signal::STOP).unwrap();
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--attach-timeout", "1s"]).run().expect(4);
    assert!(ended.stderr.contains("--attach-timeout"), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(cwd.path()).unwrap().count(), 0);
    kill_process(pid(jvm.pid()), Signal::CONT).unwrap();
}

#[test]
fn a_jvm_far_from_its_safepoint_is_waited_for() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.jvm_arg("-XX:-UseCountedLoopSafepoints").jvm_arg("-Xbatch").arg("sap=12").start();
    let store = tempfile::tempdir().unwrap();
    // It answers when the loop runs.
    assert_eq!(jvm.say("busy"), "busy");
    let begun = Instant::now();
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
    assert!(begun.elapsed() > Duration::from_secs(4), "it was not far from its safepoint: {:?}", begun.elapsed());
    assert_complete(ended.stored());
    assert!(!jvm.log().contains("Full thread dump"));
}

#[test]
fn leftovers_of_a_dead_jvm_are_no_obstacle() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let cwd = tempfile::tempdir().unwrap();
    let (jvm, store) = (jvm.cwd(cwd.path()).uid(1000).start(), tempfile::tempdir().unwrap());
    // A socket that nobody listens on, and an attach file of another user.
    let socket = format!("/tmp/.java_pid{}", jvm.pid());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    std::os::unix::fs::chown(&socket, Some(1000), Some(1000)).unwrap();
    std::fs::set_permissions(cwd.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let attach_file = cwd.path().join(format!(".attach_pid{}", jvm.pid()));
    std::fs::write(&attach_file, "").unwrap();
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
    assert_complete(ended.stored());
    assert!(!attach_file.exists());
    assert!(!jvm.log().contains("Full thread dump"));
}

#[test]
fn obstacle_that_stays_is_named_and_no_signal_is_sent() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let cwd = tempfile::tempdir().unwrap();
    let (jvm, store) = (jvm.cwd(cwd.path()).start(), tempfile::tempdir().unwrap());
    let tool = || Tool::dump(jvm.pid(), store.path().to_str().unwrap());
    let attach_file = cwd.path().join(format!(".attach_pid{}", jvm.pid()));
    std::fs::create_dir(&attach_file).unwrap();
    let ended = tool().run().expect(4);
    assert!(ended.stderr.contains("in the way") && ended.stderr.contains("remove "), "{}", ended.stderr);
    std::fs::remove_dir(&attach_file).unwrap();
    let socket = format!("/tmp/.java_pid{}", jvm.pid());
    std::fs::write(&socket, "").unwrap();
    let ended = tool().run().expect(4);
    assert!(ended.stderr.contains("not a socket") && ended.stderr.contains("remove "), "{}", ended.stderr);
    std::fs::remove_file(&socket).unwrap();
    assert!(!jvm.log().contains("Full thread dump"), "{}", jvm.log());
    tool().run().expect(0);
}

#[test]
fn openj9_is_recognised_and_never_signalled() {
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut python = openj9(dir.path());
    let ended = Tool::dump(python.0.id(), store.path().to_str().unwrap()).run().expect(4);
    assert!(ended.stderr.contains("OpenJ9") && ended.stderr.contains("Dump.heap"), "{}", ended.stderr);
    assert!(python.0.try_wait().unwrap().is_none(), "it was signalled");
    let ps = Tool::new(&["ps"]).run().expect(0);
    assert!(String::from_utf8_lossy(&ps.stdout).contains("OpenJ9"));
}

/// A process that maps a file of `dir` as OpenJ9 does its library.
pub fn openj9(dir: &Path) -> Guarded {
    let library = dir.join("libj9vm29.so");
    std::fs::write(&library, [0; 4096]).unwrap();
    let script = "import mmap,sys,threading,time\nf=open(sys.argv[1],'r+b')\nm=mmap.mmap(f.fileno(),0)\n\
                  threading.Thread(target=lambda:time.sleep(60),daemon=True).start()\nprint('READY',flush=True)\n\
                  time.sleep(60)";
    let python = default_sigquit().arg("python3").args(["-c", script]).arg(&library).stdout(Stdio::piped()).spawn();
    let mut python = Guarded(python.unwrap());
    let mut line = String::new();
    let stdout = python.0.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    python
}

#[test]
fn a_native_image_is_recognised_and_never_signalled() {
    let program = bed::bed().join("native-image/native");
    if !program.exists() {
        return bed::cannot_run("the native image is not there; run tests/bed/install.sh");
    }
    let image =
        default_sigquit().arg(program).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut image = Guarded(image.unwrap());
    wait_for_name(&image, "native").expect("the image runs");
    let ended = Tool::dump(image.0.id(), "-").run().expect(3);
    assert!(ended.stderr.contains("native image") && ended.stderr.contains("--enable-monitoring"), "{}", ended.stderr);
    assert!(image.0.try_wait().unwrap().is_none(), "it was signalled");
}

/// A stand-in: one with attach support cannot be had.
#[test]
fn native_image_is_dumped_by_its_only_operation() {
    let program = bed::bed().join("native-double");
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, store) = (jvm.arg("markers=7").start(), tempfile::tempdir().unwrap());
    let store_path = store.path().to_str().unwrap();
    let dump = Tool::dump(jvm.pid(), store_path).run().expect(0).stored();
    let raw = store.path().join("raw.hprof");
    let gz = std::fs::File::open(dump).unwrap();
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(gz), &mut std::fs::File::create(&raw).unwrap()).unwrap();
    let double = default_sigquit().arg(program).arg(&raw).stdout(Stdio::piped()).spawn();
    let mut double = Guarded(double.unwrap());
    let mut line = String::new();
    let stdout = double.0.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let ended = Tool::dump(double.0.id(), store_path).run().expect(0);
    assert_eq!(assert_complete(ended.stored()).of("Marker"), 7);
    assert!(ended.receipt()["dump"]["words"].as_str().unwrap().starts_with("Dumped to:"));
}

/// Waits until the child has become the program.
fn wait_for_name(child: &Guarded, name: &str) -> Option<()> {
    (0..200).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let comm = std::fs::read_to_string(format!("/proc/{}/comm", child.0.id())).ok()?;
        (comm.trim() == name).then_some(())
    })
}

#[test]
fn proc_without_caught_signals_and_inner_pids_suffices() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
    let status = std::fs::read_to_string(format!("/proc/{}/status", jvm.pid())).unwrap();
    let hidden: String =
        status.lines().filter(|l| !l.starts_with("Sig") && !l.starts_with("NS")).map(|l| format!("{l}\n")).collect();
    let file = store.path().join("status");
    std::fs::write(&file, hidden).unwrap();
    let mount = format!("mount --bind {} /proc/{}/status && exec \"$@\"", file.display(), jvm.pid());
    let binary = crate::common::tool::binary().to_str().unwrap();
    let pid = jvm.pid().to_string();
    let ended = Tool::of(Path::new("/usr/bin/unshare"), &["-m", "sh", "-c", &mount, "sh", binary])
        .args(&["shop", "cart", "prod", "--output", "json", "--pid", &pid, "--store", store.path().to_str().unwrap()])
        .env("PATH", "/usr/bin:/bin")
        .run()
        .expect(0);
    assert_complete(ended.stored());
    assert!(!jvm.log().contains("Full thread dump"));
}

/// How long `ps` may take.
const QUICK: Duration = Duration::from_millis(50);

#[test]
fn ps_among_five_hundred_processes_is_quick() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let Some(binary) = crate::binary::released(std::env::consts::ARCH) else { return };
    let jvm = jvm.start();
    let sleepers: Vec<Guarded> = (0..500).map(|_| Guarded(Command::new("sleep").arg("90").spawn().unwrap())).collect();
    let (begun, mut best) = (Instant::now(), time_of_ps(&binary, jvm.pid()));
    // Other tests run beside: one quick run tells.
    for _ in 1..100 {
        if best < QUICK || begun.elapsed() > Duration::from_secs(20) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        best = best.min(time_of_ps(&binary, jvm.pid()));
    }
    drop(sleepers);
    eprintln!("ps among 500 processes: {best:?}");
    assert!(best < QUICK, "{best:?}");
}

fn time_of_ps(binary: &Path, jvm: u32) -> Duration {
    let begun = Instant::now();
    let ps = Tool::of(binary, &["ps", "--output", "json"]).run().expect(0);
    let took = begun.elapsed();
    assert!(String::from_utf8_lossy(&ps.stdout).contains(&format!("\"pid\":{jvm}")));
    took
}

#[test]
fn check_names_each_condition_and_ends_with_the_first_obstacle() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
    let pid = jvm.pid().to_string();
    let ended = Tool::new(&["check", "a", "b", "c", "--pid", &pid, "--store", store.path().to_str().unwrap()]).run();
    let text = String::from_utf8_lossy(&ended.expect(0).stdout).into_owned();
    for condition in ["jvm", "identity", "attach", "room", "size", "time", "store"] {
        assert!(text.contains(&format!("ok         {condition}")), "{condition} is missing: {text}");
    }
    assert_eq!(std::fs::read_dir(store.path()).unwrap().count(), 0, "check leaves nothing in the store");
    let ended = Tool::new(&["check", "a", "b", "c", "--pid", &pid, "--store", "/proc/none", "--dir", "/proc"]).run();
    let ended = ended.expect(6);
    let text = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(text.matches("OBSTACLE").count(), 2, "{text}");
    assert!(!jvm.log().contains("Full thread dump"));
}

/// Each call that touches the JVM fails once, in turn.
#[test]
fn a_call_that_fails_is_a_typed_error_and_everything_is_undone() {
    let Some(builder) = TestJvm::builder("17") else { return };
    let cwd = tempfile::tempdir().unwrap();
    std::fs::set_permissions(cwd.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let dumps = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dumps.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let jvm = builder.uid(1000).cwd(cwd.path()).start();
    let tool =
        |store: &Path| Tool::dump(jvm.pid(), store.to_str().unwrap()).args(&["--dir", dumps.path().to_str().unwrap()]);
    let store = tempfile::tempdir().unwrap();
    // The number of calls of a whole run, by a fault that never comes.
    let socket = format!("/tmp/.java_pid{}", jvm.pid());
    let counted = tool(store.path()).env("JMAP_DUMP_FAULT", "999999:1").args(&["-v", "-v"]).run().expect(0);
    let calls = counted.stderr.lines().filter(|line| line.contains("] call ")).count();
    assert!(calls > 40, "only {calls} calls go through the door: {}", counted.stderr);
    let (eperm, enoent, eintr, eio) = (1, 2, 4, 5);
    for call in 1..=calls {
        // Neighbours are of a kind, as a rule; `make endurance` tries all four on each.
        let errnos = [eperm, enoent, eintr, eio];
        let tried = if moments() > 6 { errnos.to_vec() } else { vec![errnos[call % errnos.len()]] };
        for errno in tried {
            // Each run begins with a JVM that nobody has attached to yet.
            let _ = std::fs::remove_file(&socket);
            let store = tempfile::tempdir().unwrap();
            let ended = tool(store.path())
                .env("JMAP_DUMP_FAULT", &format!("{call}:{errno}"))
                .args(&["--attach-timeout", "10s"])
                .run();
            let what = format!("call {call} of {calls}, errno {errno}, exit status {}: {}", ended.code, ended.stderr);
            assert!(!ended.stderr.contains("panicked"), "{what}");
            assert!([0, 3, 4, 5, 6].contains(&ended.code), "{what}");
            if ended.code == 0 && ended.receipt()["object"]["url"].is_string() {
                assert!(ended.stored().exists(), "{what}");
            }
            let kept = (!ended.stdout.is_empty()).then(|| ended.receipt()["kept"]["path"].as_str().map(str::to_owned));
            if let Some(kept) = kept.flatten() {
                std::fs::remove_dir_all(Path::new(&kept).parent().unwrap()).unwrap();
            }
            // A fault in the removal itself is told with the path, which is then removed by hand, as it says.
            for entry in std::fs::read_dir(dumps.path()).unwrap().flatten() {
                let path = entry.path();
                assert!(ended.stderr.contains(path.to_str().unwrap()), "{} is left behind: {what}", path.display());
                std::fs::remove_dir_all(path).unwrap();
            }
            assert_eq!(std::fs::read_dir(cwd.path()).unwrap().count(), 0, "{what}");
            assert!(jvm.is_alive(), "{what}");
            assert!(!jvm.log().contains("Full thread dump"), "{what}");
        }
    }
    assert_eq!(jvm.say("ping"), "pong");
}
