//! The kubectl plugin, against a stand-in that really execs into containers.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::common::bed::{cannot_run, skip};
use crate::common::container::Container;
use crate::common::container::builder::Builder;
use crate::common::hprof_check::assert_complete;
use crate::common::kubectl::{Kubectl, POD};
use crate::common::manifest::deploy;
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::tool::Ended;
use crate::common::waiting::wait_until;
use crate::containers::files_but_the_socket;
use crate::recipes::stored;

pub const SHELLS: [&[&str]; 2] = [&["dash"], &["busybox", "sh"]];
pub const WITH_TAR: &[&str] = &["tar", "rm"];
const WITH_SHELL: &[&str] = &["sh", "cat", "chmod", "rm", "uname"];

/// A container that has no liveness probe.
pub const FACTS: &str = "shared \ndefault \ncontainer app   \nmount /work\n";

/// A hardened one, whose image has nothing but these applets.
pub fn container(applets: &[&'static str]) -> Option<Builder> {
    let builder = Container::builder("17")?.applets(applets).uid(1000).gid(1000).read_only_root();
    Some(builder.drop_caps().no_new_privs().tmpfs("/tmp", "300m").arg("markers=77"))
}

/// Options that name a settings file, which lies in the directory where the plugin is run.
pub fn settings(kubectl: &Kubectl, server: &S3Server) -> [&'static str; 2] {
    let text = format!(
        "store = \"s3://{BUCKET}/heaps\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\naccess_key_id = \"{KEY}\"\n\
         secret_access_key = \"{SECRET}\"\n",
        server.endpoint()
    );
    std::fs::write(kubectl.work().join("settings.toml"), text).unwrap();
    ["--config", "settings.toml"]
}

/// The last object of a run is its receipt.
fn receipts(server: &S3Server) -> usize {
    server.objects().iter().filter(|key| key.ends_with(".json")).count()
}

#[track_caller]
pub fn text(ended: &Ended) -> String {
    String::from_utf8(ended.stdout.clone()).unwrap()
}

/// How many markers are in what the printed link leads to, without any key.
#[track_caller]
fn linked(ended: &Ended) -> u64 {
    let receipt = text(ended);
    let link = receipt.lines().find_map(|line| line.trim().strip_prefix("link")).unwrap_or_else(|| panic!("{receipt}"));
    let link = link.split_whitespace().find(|word| word.starts_with("http")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let got = std::process::Command::new("curl").args(["-sSf", "-o"]).arg(file.path()).arg(link).output().unwrap();
    assert!(got.status.success(), "{got:?}");
    assert_complete(file.path()).of("Marker")
}

#[test]
fn plugin_copies_the_binary_in_and_leaves_nothing() {
    for (applets, way) in [(WITH_TAR, "copied by tar"), (WITH_SHELL, "copied by shell")] {
        for shell in SHELLS {
            let (server, Some(builder)) = (S3Server::start(), container(applets)) else { return };
            let container = builder.start();
            let kubectl = Kubectl::of(&container, FACTS);
            let before = files_but_the_socket(&container);
            let options = settings(&kubectl, &server);
            let ended = kubectl.plugin(shell, &[&options[..], &["-n", "shop"]].concat(), &[]).wait().expect(0);
            assert!(text(&ended).starts_with("stored s3://dumps/heaps/shop/cart/prod/"), "{ended:?}");
            assert!(ended.stderr.contains(way), "{shell:?}: {}", ended.stderr);
            assert_eq!(stored(&server), [77], "{shell:?}, {way}");
            assert_eq!(linked(&ended), 77, "{shell:?}, {way}");
            assert_eq!(files_but_the_socket(&container), before, "{shell:?}, {way}");
            assert_eq!(kubectl.temporary(), [""; 0], "{shell:?}, {way}");
            let log = kubectl.log();
            assert!(log.contains("--namespace shop exec") && !log.contains(SECRET) && !log.contains(KEY), "{log}");
            // Without uname the node tells its architecture, and without wc nobody counts.
            assert_eq!(log.contains("get node n1"), applets == WITH_TAR, "{log}");
            assert_eq!(container.say("ping"), "pong");
        }
    }
}

/// With the rights of a dump, in a container of the restricted profile.
#[test]
fn plugin_takes_threads_of_a_hardened_container() {
    let (server, Some(builder)) = (S3Server::start(), container(WITH_TAR)) else { return };
    let container = builder.start();
    let kubectl = Kubectl::of(&container, FACTS);
    let words = ["take", "threads,memory", POD, "shop", "cart", "prod"];
    let words = [&words[..], &settings(&kubectl, &server)].concat();
    let ended = kubectl.typed(SHELLS[0], &words).wait().expect(0);
    assert_eq!(text(&ended).matches("stored s3://dumps/heaps/shop/cart/prod/").count(), 2, "{ended:?}");
    let kinds = |kind: &str| server.objects().iter().filter(|key| key.ends_with(kind)).count();
    assert_eq!((kinds("_threads.txt.gz"), kinds("_memory.txt.gz"), kinds(".hprof.gz")), (1, 1, 0));
    assert_eq!(container.say("ping"), "pong");
}

#[test]
fn without_tar_and_shell_the_plugin_names_the_debug_container() {
    let Some(builder) = container(&[]) else { return };
    let container = builder.start();
    for shell in SHELLS {
        let kubectl = Kubectl::of(&container, FACTS);
        let ended = kubectl.plugin(shell, &[], &[]).wait().expect(4);
        for part in
            ["neither tar nor a shell", "executable file not found", "kubectl debug", "--custom=", "--target=app"]
        {
            assert!(ended.stderr.contains(part), "'{part}' is missing: {}", ended.stderr);
        }
        assert_eq!(kubectl.temporary(), [""; 0]);
    }
}

#[test]
fn the_tool_goes_where_it_can_be_written_and_run() {
    for applets in [WITH_TAR, WITH_SHELL] {
        let Some(builder) = container(applets) else { return };
        // /tmp is too small, /dev/shm must not be run from.
        let container = builder.tmpfs("/tmp", "1m").tmpfs("/work", "300m").start();
        let kubectl = Kubectl::of(&container, FACTS);
        let before = files_but_the_socket(&container);
        let ended = kubectl.plugin(SHELLS[0], &["-c", "app"], &["--dry-run", "--store", "/work"]).wait();
        assert!(ended.stderr.contains("is at /work/jmap-dump-tool-"), "{ended:?}");
        assert_eq!(files_but_the_socket(&container), before);
        let elsewhere = kubectl.plugin(SHELLS[0], &["-c", "other"], &[]).wait().expect(6);
        assert!(elsewhere.stderr.contains("emptyDir"), "{}", elsewhere.stderr);
        assert_eq!(files_but_the_socket(&container), before);
    }
}

#[test]
fn plugin_ends_with_the_status_and_receipt_of_the_tool() {
    let (server, Some(builder)) = (S3Server::start(), container(WITH_TAR)) else { return };
    let container = builder.start();
    let kubectl = Kubectl::of(&container, FACTS);
    let options = settings(&kubectl, &server);
    let shorter = kubectl.plugin(SHELLS[0], &options, &["--link=30m", "--output", "json"]).wait().expect(0);
    let receipt = shorter.receipt();
    assert!(receipt["link"].as_str().unwrap().contains("X-Amz-Expires=1800"), "{receipt}");
    for shell in SHELLS {
        let ended = kubectl.plugin(shell, &options, &["--pid", "99", "--output", "json"]).wait().expect(3);
        assert_eq!(ended.receipt()["exit_code"], 3, "{ended:?}");
        let ended = kubectl.plugin(shell, &options, &["--no-such-flag"]).wait().expect(2);
        assert!(!ended.stderr.contains("no receipt came"), "{}", ended.stderr);
    }
    kubectl.plugin(SHELLS[0], &["--no-such-option"], &[]).wait().expect(2);
    kubectl.plugin(SHELLS[0], &["one-word-too-many"], &[]).wait().expect(2);
    // Nothing would come, which looks like a stream that is cut.
    let ended = kubectl.plugin(SHELLS[0], &[], &["--store", "-", "--if=heap>85%"]).wait().expect(2);
    assert!(ended.stderr.contains("leave --if away"), "{}", ended.stderr);
    let ended = kubectl.plugin(SHELLS[0], &["--dry-run"], &["--store", "-"]).wait().expect(0);
    assert!(ended.stderr.contains("nothing dumped: dry run"), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(kubectl.work()).unwrap().count(), 1, "only the settings");
}

/// What a user does when the connection breaks: the same again.
#[test]
fn cut_stream_costs_no_second_pause_or_object() {
    let (server, Some(builder)) = (S3Server::start(), container(WITH_TAR)) else { return };
    let container = builder.arg("mb=40").jvm_arg("-Xlog:gc").start();
    let kubectl = Kubectl::of(&container, FACTS);
    let options = settings(&kubectl, &server);
    // The first part waits until the second run has come.
    server.stall(Duration::from_secs(60));
    let run = kubectl.plugin(SHELLS[0], &options, &[]);
    wait_until("an upload", || server.requests() > 1);
    server.stall(Duration::ZERO);
    kubectl.cut();
    let lost = run.wait().expect(1);
    assert!(lost.stderr.contains("ended with 137") && lost.stderr.contains("a second pause"), "{}", lost.stderr);
    assert_eq!(text(&lost), "");
    let log = "/tmp/second.log";
    let second = kubectl.plugin(SHELLS[0], &options, &["--output", "json", "--log-to", log]);
    let said = || std::fs::read_to_string(container.path(log)).unwrap_or_default();
    wait_until("the second run", || said().contains("another run is dumping"));
    server.release();
    let ended = second.wait().expect(0);
    assert_eq!(ended.receipt()["exit_code"], 0, "{ended:?}");
    assert_eq!(stored(&server), [77]);
    assert_eq!(receipts(&server), 1, "{:?}", server.objects());
    assert_eq!(container.log().matches("Heap Dump Initiated GC").count(), 1, "{}", container.log());
    let left: Vec<_> =
        files_but_the_socket(&container).into_iter().filter(|(path, _)| path.contains("jmap-dump")).collect();
    assert_eq!(left, []);
}

#[test]
fn a_broken_connection_that_kubectl_calls_a_success_is_none() {
    for shell in SHELLS {
        let (server, Some(builder)) = (S3Server::start(), container(WITH_TAR)) else { return };
        let container = builder.arg("mb=40").start();
        let kubectl = Kubectl::of(&container, FACTS);
        let options = settings(&kubectl, &server);
        server.stall(Duration::from_secs(1));
        let run = kubectl.plugin(shell, &options, &[]);
        wait_until("an upload", || server.requests() > 1);
        kubectl.cut_in_silence();
        server.stall(Duration::ZERO);
        let lost = run.wait().expect(1);
        assert!(lost.stderr.contains("kubectl exec ended with 0"), "{}", lost.stderr);
        assert!(lost.stderr.contains("may still be going on") && text(&lost).is_empty(), "{lost:?}");
        wait_until("the receipt", || receipts(&server) == 1);
    }
}

#[test]
fn signal_to_the_plugin_removes_the_binary_only() {
    for shell in SHELLS {
        let (server, Some(builder)) = (S3Server::start(), container(WITH_SHELL)) else { return };
        let container = builder.arg("mb=40").start();
        let kubectl = Kubectl::of(&container, FACTS);
        let options = settings(&kubectl, &server);
        server.stall(Duration::from_secs(4));
        let run = kubectl.plugin(shell, &options, &[]);
        wait_until("an upload", || server.requests() > 1);
        server.stall(Duration::ZERO);
        run.signal(Signal::TERM);
        let ended = run.wait().expect(143);
        assert!(ended.stderr.contains("goes on in the container"), "{}", ended.stderr);
        let in_tmp = std::fs::read_dir(container.path("/tmp")).unwrap().flatten();
        assert_eq!(
            in_tmp
                .filter(|e| e.file_name().to_string_lossy().starts_with("jmap-dump-tool-") && e.path().is_file())
                .count(),
            0
        );
        wait_until("the receipt", || receipts(&server) == 1);
        assert_eq!(stored(&server), [77]);
    }
}

#[test]
fn pause_beyond_the_liveness_probe_needs_force() {
    let (server, Some(builder)) = (S3Server::start(), container(WITH_TAR)) else { return };
    let container = builder.start();
    for shell in SHELLS {
        // A probe that allows nothing, and one of a container that does not stand still.
        let hurried = "shared \ndefault app\ncontainer proxy 1 1 1\ncontainer app 0 0 0\n";
        let kubectl = Kubectl::of(&container, hurried);
        let options = settings(&kubectl, &server);
        let ended = kubectl.plugin(shell, &options, &[]).wait().expect(2);
        assert!(ended.stderr.contains("gives up after 0 s") && ended.stderr.contains("--force"), "{}", ended.stderr);
        assert_eq!(stored(&server), [0; 0]);
        // In a pod that shares its processes it may be anyone's.
        let shared = Kubectl::of(&container, "shared true\ndefault \ncontainer dumper   \ncontainer app 0 0 0\n");
        shared.plugin(shell, &settings(&shared, &server), &[]).wait().expect(2);
        let debug = Kubectl::of(&container, "shared \ndefault \ncontainer app 0 0 0\ndebug dumper app\n");
        let options = settings(&debug, &server);
        debug.plugin(shell, &[&options[..], &["-c", "dumper"]].concat(), &["--all"]).wait().expect(2);
    }
    let patient = Kubectl::of(&container, "shared \ndefault \ncontainer app 10 3 1\ncontainer proxy 0 0 0\n");
    let ended =
        patient.plugin(SHELLS[0], &settings(&patient, &server), &["--match", "Heap", "--level=1"]).wait().expect(0);
    assert!(!ended.stderr.contains("cannot be told"), "{}", ended.stderr);
    let hurried = Kubectl::of(&container, "shared \ndefault \ncontainer app 0 0 0\n");
    let options = settings(&hurried, &server);
    hurried.plugin(SHELLS[0], &[&options[..], &["--force"]].concat(), &[]).wait().expect(0);
    assert_eq!(stored(&server), [77, 77]);
}

/// The pause of so small a heap is estimated as less than a second, which is told as one.
#[test]
fn plugin_compares_the_pause_with_the_shortest_probe() {
    let Some(builder) = container(WITH_TAR) else { return };
    let container = builder.start();
    for (probe, code) in [("1 1 1", 2), ("0 3 1", 2), ("3 1 2", 0), ("1 2 1", 0)] {
        let kubectl = Kubectl::of(&container, &format!("shared \ndefault \ncontainer app {probe}\n"));
        let ended = kubectl.plugin(SHELLS[0], &[], &["--dry-run", "--store", "/tmp"]).wait();
        assert_eq!(ended.code, code, "{probe}: {}", ended.stderr);
        let told = ended.stderr.contains("for 1 s, and its liveness probe gives up after 1 s");
        assert_eq!(told, code == 2, "{probe}: {}", ended.stderr);
    }
}

/// The stand-in does not read the plugin's JSONPath; where there is a kubectl, that one does.
#[test]
fn what_the_plugin_asks_of_a_pod_is_what_kubectl_answers() {
    if std::process::Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        return skip("there is no kubectl");
    }
    let probe = json!({ "periodSeconds": 10, "failureThreshold": 3, "timeoutSeconds": 1 });
    let mounts = json!([{ "name": "a", "mountPath": "/data" }, { "name": "b", "mountPath": "/work" }]);
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "p", "annotations": { "kubectl.kubernetes.io/default-container": "app" } },
        "spec": {
            "nodeName": "n1",
            "shareProcessNamespace": true,
            "containers": [
                { "name": "proxy", "image": "x" },
                { "name": "app", "image": "x", "livenessProbe": probe, "volumeMounts": mounts },
            ],
            "initContainers": [{ "name": "watcher", "image": "x", "restartPolicy": "Always" }],
            "ephemeralContainers": [{ "name": "dumper", "image": "x", "targetContainerName": "app" }],
        },
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pod.to_string()).unwrap();
    let plugin = std::fs::read_to_string(deploy().join("kubectl-jmap_dump")).unwrap();
    let is_query = |line: &&str| line.starts_with("ONE=") || line.starts_with("FACTS=");
    let query: Vec<_> = plugin.lines().filter(is_query).collect();
    let line = format!("{}\nkubectl patch --local -f \"$1\" -p '{{}}' -o \"jsonpath=$FACTS\"", query.join("\n"));
    let ended = std::process::Command::new("sh").args(["-c", &line, "sh"]).arg(file.path()).output().unwrap();
    let told = "node n1\nshared true\ndefault app\ncontainer proxy   \ncontainer app 10 3 1\nmount /data\nmount /work\n\
                container watcher   \ndebug dumper app\n";
    assert_eq!(String::from_utf8_lossy(&ended.stdout), told, "{ended:?}");
}

#[test]
fn shellcheck_finds_nothing_in_the_plugin() {
    match std::process::Command::new("shellcheck").arg(deploy().join("kubectl-jmap_dump")).output() {
        Ok(ended) => assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout)),
        Err(error) => cannot_run(&format!("shellcheck: {error}; run tests/bed/install.sh")),
    }
}
