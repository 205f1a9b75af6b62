//! What the manifests of `deploy/` say is run as they say it: in a container of that shape, beside a real JVM, with
//! the command of the manifest.

use std::path::Path;
use std::time::Duration;

use crate::common::container::Container;
use crate::common::container::builder::Builder;
use crate::common::hprof_check::assert_complete;
use crate::common::manifest::{Cluster, Pod, text};
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::tool::binary;
use crate::common::waiting::wait_until;
use crate::containers::{INSIDE, census_of};

pub const VERSIONS: [&str; 3] = ["8", "17", "25"];
pub const MARKERS: u64 = 4711;

/// The pod of a manifest in a cluster whose settings and keys lead to `server`.
pub fn pod(name: &str, server: &S3Server) -> Pod {
    Pod::of(name, cluster(server))
}

pub fn cluster(server: &S3Server) -> Cluster {
    let store = format!("s3://{BUCKET}/heaps");
    let endpoint = server.endpoint();
    let own = |map: &[(&str, &str)]| map.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Cluster {
        settings: own(&[
            ("JMAP_DUMP_STORE", &store),
            ("JMAP_DUMP_ENDPOINT", &endpoint),
            ("JMAP_DUMP_REGION", "us-east-1"),
        ]),
        secret: own(&[("JMAP_DUMP_ACCESS_KEY_ID", KEY), ("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET)]),
    }
}

/// The application's container, its image and command those of the test bed.
pub fn app(pod: &Pod, version: &str) -> Option<Builder> {
    Some(pod.shape("app", Container::builder(version)?.no_tmp().arg(&format!("markers={MARKERS}"))))
}

/// A container of our own image.
pub fn ours(pod: &Pod, name: &str) -> Option<Builder> {
    Some(pod.shape(name, Container::builder("17")?.scratch().bind_read_only(binary(), INSIDE)))
}

/// The first process of a pod that shares its processes.
pub fn pause(pod: &Pod) -> Option<Container> {
    assert_eq!(pod.spec.share_process_namespace, Some(true));
    Some(Container::builder("17")?.scratch().idle().start())
}

pub fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

/// The init container that brings the binary.
#[track_caller]
fn install(pod: &Pod) {
    let Some(tools) = ours(pod, "tools") else { return };
    let ended = tools.entry(&words(&pod.command("tools"))).run_to_end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(pod.volume("tools").join("jmap-dump-tool").exists(), "{ended:?}");
}

/// What follows ` -- ` in the comment lines that begin with `start`.
pub fn told(name: &str, start: &str) -> Vec<Vec<String>> {
    let text = text(name);
    let lines = text.lines().filter_map(|line| line.strip_prefix("#   ")).filter(|line| line.starts_with(start));
    lines
        .filter_map(|line| line.split_once(" -- "))
        .map(|(_, command)| command.split(' ').map(str::to_owned).collect())
        .collect()
}

/// The dumps in the bucket; each must be whole.
#[track_caller]
pub fn stored(server: &S3Server) -> Vec<u64> {
    let keys = server.objects().into_iter().filter(|key| key.ends_with(".hprof.gz"));
    keys.map(|key| assert_complete(server.object(&key)).of("Marker")).collect()
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn by_hand_the_commands_of_the_manifest_dump_and_leave_nothing() {
    for version in VERSIONS {
        let server = S3Server::start();
        let pod = pod("by-hand.yaml", &server);
        let Some(app) = app(&pod, version) else { continue };
        let app = app.start();
        app.copy_in(binary(), "/tmp/jmap-dump-tool");
        let commands = told("by-hand.yaml", "kubectl exec");
        let (to_us, to_store): (Vec<_>, Vec<_>) =
            commands.iter().filter(|line| line[1] != "upload").partition(|line| line.iter().any(|word| word == "-"));
        assert_eq!((to_us.len(), to_store.len()), (1, 1), "{commands:?}");
        let ended = app.exec(&words(to_us[0]));
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        assert_eq!(census_of(&ended.stdout).of("Marker"), MARKERS);
        let ended = app.exec(&words(to_store[0]));
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        assert_eq!(stored(&server), [MARKERS], "JDK {version}");
        let receipt = server.objects().into_iter().find(|key| key.ends_with(".json")).unwrap();
        let receipt = std::fs::read_to_string(server.object(&receipt)).unwrap();
        for word in ["the-metadata-name", "the-metadata-namespace", "the-spec-nodename"] {
            assert!(receipt.contains(word), "{word} is missing: {receipt}");
        }
        assert!(is_empty(&pod.volume("dumps")), "JDK {version}");
        assert_eq!(app.say("ping"), "pong");
    }
}

#[test]
fn last_command_of_the_manifest_stores_a_kept_dump() {
    let server = S3Server::start();
    let pod = pod("by-hand.yaml", &server);
    let Some(app) = app(&pod, "17") else { return };
    let commands = told("by-hand.yaml", "kubectl exec");
    let resume = commands.iter().find(|line| line[1] == "upload").expect("a command that resumes");
    {
        let app = app.clone().start();
        app.copy_in(binary(), "/tmp/jmap-dump-tool");
        server.stall(Duration::from_secs(600));
        let ended = app.command(&words(&commands[0])).env("JMAP_DUMP_DEADLINE", "5s").output();
        assert_eq!(ended.code, 8, "{ended:?}");
        assert!(ended.text().contains("is lost with the pod"), "{}", ended.text());
    }
    // The container has restarted meanwhile; the volumes are the pod's.
    server.stall(Duration::ZERO);
    let app = app.start();
    let ended = app.exec(&words(resume));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(stored(&server), [MARKERS]);
    assert!(is_empty(&pod.volume("dumps")));
}

#[test]
fn prestop_hook_dumps_only_a_jvm_in_trouble() {
    for version in VERSIONS {
        let server = S3Server::start();
        let pod = pod("prestop.yaml", &server);
        let Some(app) = app(&pod, version) else { continue };
        install(&pod);
        let lifecycle = pod.container("app").lifecycle.clone().unwrap();
        let hook = lifecycle.pre_stop.and_then(|hook| hook.exec?.command).unwrap();
        let healthy = app.clone().start();
        let ended = healthy.exec(&words(&hook));
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        // The answer comes by the pipe that the hook has written to, and behind that.
        assert_eq!(healthy.say("ping"), "pong");
        assert!(healthy.log().contains("nothing dumped"), "JDK {version}: {}", healthy.log());
        assert_eq!(stored(&server), [0; 0], "JDK {version}");
        drop(healthy);
        // The old generation of Serial is two thirds of this. JDK 8 spends two bytes on each character.
        let held = if version == "8" { "mb=60" } else { "mb=76" };
        let troubled = app.jvm_arg("-XX:+UseSerialGC").jvm_arg("-Xmx96m").jvm_arg("-Xms96m").arg(held).start();
        troubled.say("gc");
        let ended = troubled.exec(&words(&hook));
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        assert_eq!(stored(&server), [MARKERS], "JDK {version}: {ended:?}");
        assert_eq!(troubled.say("ping"), "pong");
        assert!(troubled.log().contains("stored s3://"), "the pod's log is mute: {}", troubled.log());
        assert!(is_empty(&pod.volume("dumps")), "JDK {version}");
    }
}

#[test]
fn the_debug_container_dumps_a_pod_that_was_not_prepared() {
    for version in VERSIONS {
        let server = S3Server::start();
        let pod = pod("debug-container.yaml", &server);
        let (Some(app), Some(dumper)) = (Container::builder(version), ours(&pod, "")) else { continue };
        let app = app.uid(1000).gid(1000).drop_caps().seccomp_default().no_new_privs();
        let app = app.arg(&format!("markers={MARKERS}")).start();
        let command = told("debug-container.yaml", "kubectl debug").remove(0);
        let ended = dumper.share_pid_ns_of(&app).entry(&words(&command)).run_to_end();
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        assert_eq!(stored(&server), [MARKERS], "JDK {version}");
        assert!(!app.files().iter().any(|(path, _)| path.contains("jmap-dump-tool")), "{:?}", app.files());
        assert_eq!(app.say("ping"), "pong");
    }
}

#[test]
fn the_sidecar_with_shared_processes_dumps_on_demand() {
    for version in VERSIONS {
        let server = S3Server::start();
        let pod = pod("shared-process-sidecar.yaml", &server);
        let (Some(app), Some(dumper), Some(pause)) = (app(&pod, version), ours(&pod, "dumper"), pause(&pod)) else {
            continue;
        };
        let app = app.share_pid_ns_of(&pause).start();
        let dumper = dumper.share_pid_ns_of(&pause).idle().start();
        let ended = dumper.exec(&words(&told("shared-process-sidecar.yaml", "kubectl exec")[0]));
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        assert_eq!(stored(&server), [MARKERS], "JDK {version}");
        assert!(is_empty(&pod.volume("dumps")), "JDK {version}");
        assert_eq!(app.say("ping"), "pong");
    }
}

/// The JVM waits for its hook, so all is over when it has ended.
#[test]
fn oom_hook_stores_each_oom_dump() {
    for version in VERSIONS {
        let server = S3Server::start();
        let pod = pod("oom-hook.yaml", &server);
        let Some(app) = app(&pod, version) else { continue };
        install(&pod);
        for round in 1..=2 {
            let app = app.clone().busybox().jvm_arg("-Xmx64m").start();
            app.send("oom");
            wait_until("the JVM's end", || !app.is_alive());
            assert_eq!(stored(&server), vec![MARKERS; round], "JDK {version}: {}", app.log());
            assert!(is_empty(&pod.volume("dumps")), "JDK {version}: {}", app.log());
        }
    }
}
