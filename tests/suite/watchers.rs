//! The sidecars of `deploy/` that watch a volume, beside JVMs that run out of memory.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::container::Container;
use crate::common::manifest::Pod;
use crate::common::s3::S3Server;
use crate::common::waiting::wait_until;
use crate::recipes::{MARKERS, VERSIONS, app, ours, pause, pod, stored, told, words};

/// Files that somebody still has to see to; what the watcher notes for itself is none.
fn dumps(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_file());
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The command of the container's liveness probe says that it is well.
#[track_caller]
pub fn await_well(pod: &Pod, name: &str, sidecar: &Container) {
    let container = pod.container(name);
    assert!(container.startup_probe.is_none(), "a watcher keeps the application from starting");
    let probe = container.liveness_probe.clone().and_then(|probe| probe.exec?.command);
    let command = probe.unwrap_or_else(|| panic!("{name} has no probe"));
    wait_until("a watcher that is well", || sidecar.exec(&words(&command)).code == 0);
}

/// What the kubelet does when the application has ended.
#[track_caller]
pub fn terminate(sidecar: &Container) {
    let pid = Pid::from_raw(sidecar.init_pid().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    wait_until("the end of the watcher", || !sidecar.is_alive());
}

#[track_caller]
pub fn run_out_of_memory(app: &Container) {
    app.send("oom");
    wait_until("the end of the JVM", || !app.is_alive());
}

#[test]
fn native_sidecar_stores_each_oom_dump() {
    for version in VERSIONS {
        let server = S3Server::start();
        let pod = pod("native-sidecar.yaml", &server);
        let (Some(app), Some(watcher)) = (app(&pod, version), ours(&pod, "dump-watcher")) else { continue };
        assert_eq!(pod.container("dump-watcher").restart_policy.as_deref(), Some("Always"));
        let watcher = watcher.entry(&words(&pod.command("dump-watcher"))).start();
        await_well(&pod, "dump-watcher", &watcher);
        for round in 1..=3 {
            run_out_of_memory(&app.clone().jvm_arg("-Xmx64m").start());
            if round < 3 {
                wait_until("the object", || stored(&server).len() == round);
            }
        }
        // The last one is on its way, perhaps, when the pod ends.
        terminate(&watcher);
        assert_eq!(stored(&server), [MARKERS; 3], "JDK {version}: {}", watcher.log());
        assert_eq!(dumps(&pod.volume("dumps")), [""; 0], "JDK {version}: {}", watcher.log());
    }
}

#[test]
fn sidecar_watches_and_dumps_on_demand() {
    let server = S3Server::start();
    let pod = pod("shared-process-sidecar.yaml", &server);
    let (Some(app), Some(dumper), Some(pause)) = (app(&pod, "17"), ours(&pod, "dumper"), pause(&pod)) else { return };
    let options = "-XX:+HeapDumpOnOutOfMemoryError -XX:HeapDumpPath=/dumps/oom.hprof -XX:+ExitOnOutOfMemoryError";
    let app = app.env("JAVA_TOOL_OPTIONS", options).jvm_arg("-Xmx64m").share_pid_ns_of(&pause).start();
    let dumper = dumper.share_pid_ns_of(&pause).entry(&words(&pod.command("dumper"))).start();
    await_well(&pod, "dumper", &dumper);
    let ended = dumper.exec(&words(&told("shared-process-sidecar.yaml", "kubectl exec")[0]));
    assert_eq!(ended.code, 0, "{ended:?}");
    // The watcher must not take what a run by hand writes there.
    assert_eq!(stored(&server), [MARKERS]);
    run_out_of_memory(&app);
    terminate(&dumper);
    assert_eq!(stored(&server), [MARKERS; 2], "{}", dumper.log());
    assert_eq!(dumps(&pod.volume("dumps")), [""; 0], "{}", dumper.log());
}
