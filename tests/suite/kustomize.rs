//! The Kustomize component: what kubectl makes of it is read as strictly as the manifests, and works.

use std::path::Path;
use std::process::Command;

use crate::common::bed::skip;
use crate::common::manifest::strict::{Document, read_all};
use crate::common::manifest::{Pod, deploy};
use crate::common::s3::S3Server;
use crate::common::tool::Tool;
use crate::common::waiting::{SOON, wait_until, wait_within};
use crate::deploy::{assert_hardened, containers_of};
use crate::recipes::{MARKERS, app, cluster, ours, pause, stored, words};
use crate::watchers::{await_well, run_out_of_memory, terminate};

/// What `kubectl kustomize` makes of a directory; none without kubectl.
#[track_caller]
fn kustomized(dir: &Path) -> Option<String> {
    let Ok(output) = Command::new("kubectl").arg("kustomize").arg(dir).output() else {
        skip("kubectl is not there; the component is not tested");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn example() -> Option<String> {
    kustomized(&deploy().join("kustomize/example"))
}

#[test]
fn kubernetes_reads_every_field_of_the_kustomized_example() {
    let Some(text) = example() else { return };
    let documents = read_all(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let has = |kind: fn(&Document) -> bool| documents.iter().any(kind);
    assert!(
        has(|one| matches!(one, Document::ConfigMap(_))) && has(|one| matches!(one, Document::Secret(_))),
        "{text}"
    );
    let pod = Pod::among(documents, Default::default());
    let mut names = Vec::new();
    for (spec, container) in containers_of(&pod.spec) {
        assert_hardened(&container.name, &spec, &container);
        assert_eq!(spec.automount_service_account_token, Some(false));
        names.push(container.name);
    }
    assert_eq!(names, ["dumper", "app"]);
    assert_eq!(pod.command("dumper")[4..], ["shop", "cart", "prod", "/dumps"]);
    let environment = pod.environment(pod.container("dumper"));
    let limit = environment.iter().find(|(name, _)| name == "JMAP_DUMP_DISK_LIMIT").expect("a limit");
    assert_eq!(limit.1, format!("{},/dumps=5Gi", 6_u64 << 30));
    assert!(!text.contains("set by the overlay"), "{text}");
}

#[test]
fn component_without_the_names_refuses_to_start() {
    let dir = copy_of_deploy();
    let overlay = dir.path().join("deploy/kustomize/example/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).unwrap();
    let forgetful: Vec<_> = text.lines().filter(|line| !line.contains("name: APP,")).collect();
    std::fs::write(&overlay, forgetful.join("\n")).unwrap();
    let Some(text) = kustomized(overlay.parent().unwrap()) else { return };
    let command = Pod::among(read_all(&text).unwrap(), Default::default()).command("dumper");
    assert_eq!(command[4..7], ["shop", "<APP is set by the overlay>", "prod"]);
    let refused = Tool::new(&words(&command)[1..]).args(&["--store", "/nowhere"]).run().expect(2);
    assert!(refused.stderr.contains("APP is set by the overlay"), "{}", refused.stderr);
}

#[test]
fn misspelt_field_of_the_component_is_noticed() {
    let dir = copy_of_deploy();
    let sidecar = dir.path().join("deploy/kustomize/component/sidecar.yaml");
    let text = std::fs::read_to_string(&sidecar).unwrap();
    std::fs::write(&sidecar, text.replacen("restartPolicy", "restartPolice", 1)).unwrap();
    let Some(text) = kustomized(&dir.path().join("deploy/kustomize/example")) else { return };
    let error = read_all(&text).expect_err("it is misspelt");
    assert!(error.contains("initContainers[0].restartPolice is no field"), "{error}");
}

/// The same component for the other kind of workload, which an overlay of the user names.
#[test]
fn component_adds_the_sidecar_to_a_stateful_set() {
    let dir = copy_of_deploy();
    let example = dir.path().join("deploy/kustomize/example");
    for name in ["workload.yaml", "kustomization.yaml"] {
        let text = std::fs::read_to_string(example.join(name)).unwrap();
        std::fs::write(example.join(name), text.replace("Deployment", "StatefulSet")).unwrap();
    }
    let Some(text) = kustomized(&example) else { return };
    let documents = read_all(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(documents.iter().any(|one| matches!(one, Document::StatefulSet(_))), "{text}");
    assert_eq!(Pod::among(documents, Default::default()).command("dumper")[4], "shop");
}

/// The variant of the component that dumps by itself: the conditions, the switch, and a dump of a heap that stays full.
#[test]
fn component_with_when_dumps_a_full_heap_by_itself() {
    let dir = copy_of_deploy();
    let overlay = dir.path().join("deploy/kustomize/example/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).unwrap();
    let line = "  # - ../when\n";
    assert!(text.contains(line), "{text}");
    std::fs::write(&overlay, text.replace(line, "  - ../when\n")).unwrap();
    let Some(text) = kustomized(overlay.parent().unwrap()) else { return };
    let (documents, server) = (read_all(&text).unwrap_or_else(|error| panic!("{error}: {text}")), S3Server::start());
    let mut cluster = cluster(&server);
    // The default is a minute.
    cluster.settings.insert("JMAP_DUMP_FOR".into(), "1s".into());
    let pod = Pod::among(documents, cluster);
    for (spec, container) in containers_of(&pod.spec) {
        assert_hardened(&container.name, &spec, &container);
    }
    let (Some(app), Some(dumper), Some(pause)) = (app(&pod, "17"), ours(&pod, "dumper"), pause(&pod)) else { return };
    // The old generation has two thirds of the heap; the content has four fifths of what is asked for.
    let app = app.jvm_arg("-Xmx200m").jvm_arg("-XX:+UseSerialGC").arg("mb=152").share_pid_ns_of(&pause).start();
    let dumper = dumper.share_pid_ns_of(&pause).entry(&words(&pod.command("dumper"))).start();
    let status = ["/jmap-dump-tool", "status", "/dumps/jmap-dump-tool/status.json"];
    let told = |what: &str| dumper.exec(&status).text().contains(what);
    wait_until("a look", || told("\"looking_at\":\"pid"));
    let looks = "the heap, and the memory of its container; a dump when heap>85%, heap+10%/";
    assert!(told(looks), "{}", dumper.exec(&status).text());
    for _ in 0..3 {
        // Two collections show the level. The watcher looks once a second.
        app.say("gc");
        std::thread::sleep(std::time::Duration::from_millis(1200));
    }
    wait_within("the dump", SOON, || told("\"last_automatic\":\"heap>85%"));
    assert_eq!(stored(&server), [MARKERS], "{}", dumper.log());
}

/// kustomize reads nothing outside the directories that an overlay names.
fn copy_of_deploy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").args([deploy().as_path(), dir.path()]).status().unwrap();
    assert!(copied.success());
    dir
}

#[test]
fn kustomized_sidecar_dumps_on_demand_and_stores_an_oom_dump() {
    let (Some(text), server) = (example(), S3Server::start()) else { return };
    let pod = Pod::among(read_all(&text).unwrap(), cluster(&server));
    let (Some(app), Some(dumper), Some(pause)) = (app(&pod, "17"), ours(&pod, "dumper"), pause(&pod)) else { return };
    let app = app.jvm_arg("-Xmx64m").share_pid_ns_of(&pause).start();
    let dumper = dumper.share_pid_ns_of(&pause).entry(&words(&pod.command("dumper"))).start();
    await_well(&pod, "dumper", &dumper);
    let ended = dumper.exec(&["/jmap-dump-tool", "shop", "cart", "prod"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(stored(&server), [MARKERS]);
    run_out_of_memory(&app);
    wait_until("the object", || stored(&server).len() == 2);
    terminate(&dumper);
    assert_eq!(stored(&server), [MARKERS; 2], "{}", dumper.log());
}
