//! The manifests of `deploy/`: Kubernetes can read them, they are hardened, and what they say works.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, PodSpec, VolumeMount};

use crate::common::manifest::strict::{Document, read, read_all};
use crate::common::manifest::{Cluster, Pod, deploy, names, text};

/// Those without a pod.
const NO_PODS: [&str; 4] = ["network-policy.yaml", "plugin-role.yaml", "store/secret.yaml", "store/settings.yaml"];

/// All containers of a manifest, with the pod around them.
fn containers(name: &str) -> Vec<(PodSpec, Container)> {
    if NO_PODS.contains(&name) { Vec::new() } else { containers_of(&Pod::of(name, Cluster::default()).spec) }
}

pub fn containers_of(spec: &PodSpec) -> Vec<(PodSpec, Container)> {
    let all = spec.init_containers.iter().flatten().chain(&spec.containers).cloned();
    all.map(|container| (spec.clone(), container)).collect()
}

#[test]
fn kubernetes_reads_every_field_of_each_manifest() {
    let names = names();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        if let Err(error) = read_all(&text(&name)) {
            panic!("{name}: {error}");
        }
    }
}

/// The types ignore what they do not know, as an API server that is not strict does.
#[test]
fn a_misspelt_field_of_a_manifest_is_noticed() {
    let good = text("prestop.yaml");
    for (right, wrong, told) in [
        ("readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true", "readOnlyRootFileSystem is no field"),
        ("preStop:", "prestop:", "lifecycle.prestop is no field"),
        ("runAsUser: 1000", "runAsUser: app", "invalid type"),
        ("kind: Deployment", "kind: Deployement", "Deployement is not known"),
        ("terminationGracePeriodSeconds: 180", "terminationGracePeriod: 3m", "terminationGracePeriod is no field"),
        ("cart, prod]", "cart, on]", "invalid type: boolean"),
    ] {
        assert!(good.contains(right), "{right} is not in the manifest");
        let error = read(&good.replacen(right, wrong, 1)).expect_err(wrong);
        assert!(error.contains(told), "{wrong}: {error}");
    }
    let custom = text("debug-container.yaml").replacen("runAsGroup", "runAsGruop", 1);
    assert!(read(&custom).expect_err("misspelt").contains("runAsGruop is no field"));
}

#[test]
fn each_container_of_the_manifests_is_hardened() {
    for (name, (pod, container)) in
        names().into_iter().flat_map(|name| containers(&name).into_iter().map(move |c| (name.clone(), c)))
    {
        assert_hardened(&format!("{name}, {}", container.name), &pod, &container);
        // A debug container may have no limits.
        let limits = container.resources.and_then(|resources| resources.limits).unwrap_or_default();
        assert!(
            name == "debug-container.yaml" || limits.contains_key("memory"),
            "{name}, {}: no limits",
            container.name
        );
    }
}

#[track_caller]
pub fn assert_hardened(what: &str, pod: &PodSpec, container: &Container) {
    let context = container.security_context.clone().unwrap_or_else(|| panic!("{what}: no securityContext"));
    let pods = pod.security_context.clone().unwrap_or_default();
    assert_eq!(context.run_as_non_root.or(pods.run_as_non_root), Some(true), "{what}");
    assert!(context.run_as_user.or(pods.run_as_user).is_some_and(|uid| uid > 0), "{what}: no runAsUser");
    assert!(context.run_as_group.or(pods.run_as_group).is_some_and(|gid| gid > 0), "{what}: no runAsGroup");
    assert_eq!(context.read_only_root_filesystem, Some(true), "{what}");
    assert_eq!(context.allow_privilege_escalation, Some(false), "{what}");
    let dropped = context.capabilities.and_then(|capabilities| capabilities.drop).unwrap_or_default();
    assert_eq!(dropped, ["ALL"], "{what}");
    let profile = context.seccomp_profile.or(pods.seccomp_profile).unwrap_or_default();
    assert_eq!(profile.type_, "RuntimeDefault", "{what}");
}

/// Who can exec into a pod with a token can ask the API server by it. `kubectl debug` takes no such field.
#[test]
fn pods_of_the_manifests_get_no_api_token() {
    for name in names().iter().filter(|name| *name != "debug-container.yaml") {
        for (pod, _) in containers(name) {
            assert_eq!(pod.automount_service_account_token, Some(false), "{name}");
        }
    }
}

/// The pause of a dump counts against the liveness probe, so a sample without one hides the point.
#[test]
fn sample_application_has_startup_liveness_and_readiness_probes() {
    let apps = names().into_iter().flat_map(|name| containers(&name).into_iter().map(move |c| (name.clone(), c.1)));
    let apps: Vec<_> = apps.filter(|(_, container)| container.name == "app").collect();
    assert_eq!(apps.len(), 5);
    for (name, app) in apps {
        let liveness = app.liveness_probe.unwrap_or_else(|| panic!("{name}: no liveness probe"));
        let (period, failures) = (liveness.period_seconds.unwrap_or(10), liveness.failure_threshold.unwrap_or(3));
        let hook = if name == "oom-hook.yaml" { 300 } else { 45 };
        assert!((failures - 1) * period >= hook, "{name}: the pod is restarted after {failures} x {period} s");
        assert!(app.startup_probe.is_some() && app.readiness_probe.is_some(), "{name}");
    }
}

#[test]
fn network_policy_allows_dns_and_https_only() {
    let Ok(Document::NetworkPolicy(policy)) = read(&text("network-policy.yaml")) else { panic!("no policy") };
    let spec = policy.spec.expect("a spec");
    assert_eq!(spec.policy_types.as_deref(), Some(&["Egress".to_owned()][..]));
    let rules = spec.egress.expect("rules");
    assert!(rules.iter().all(|rule| rule.to.as_ref().is_some_and(|to| !to.is_empty())), "a rule leads anywhere");
    let ports = rules.iter().flat_map(|rule| rule.ports.iter().flatten());
    let ports: Vec<_> = ports.map(|port| serde_json::to_value(port.port.as_ref()).unwrap()).collect();
    assert_eq!(ports, [53, 53, 443], "ports of DNS by UDP and TCP, and of the store");
}

/// Each resource that the plugin names to kubectl.
#[test]
fn plugin_role_allows_what_the_plugin_asks_for() {
    let Ok(Document::Role(role)) = read_all(&text("plugin-role.yaml")).map(|mut all| all.remove(0)) else {
        panic!("the first document is no Role")
    };
    let rules = role.rules.expect("rules");
    let allows = |resource: &str, verb: &str| {
        let mut of_it = rules.iter().filter(|rule| rule.resources.iter().flatten().any(|name| name == resource));
        of_it.any(|rule| rule.verbs.iter().any(|other| other == verb))
    };
    let plugin = text("kubectl-jmap_dump");
    assert!(plugin.contains("kube get pod ") && allows("pods", "get"));
    assert!(!plugin.contains("kube get pods ") || allows("pods", "list"));
    assert!(plugin.contains("kube exec ") && allows("pods/exec", "create") && allows("pods/exec", "get"));
    for verb in ["label", "delete", "patch", "cp", "port-forward", "auth"] {
        assert!(!plugin.contains(&format!("kube {verb} ")), "the Role does not allow kubectl {verb}");
    }
}

/// Every place that names the image: manifests, the component, the guides.
#[test]
fn image_has_one_name_and_the_version_of_this_source() {
    let mut found = 0;
    let docs = deploy().join("../docs");
    for path in [files_below(&deploy()), files_below(&docs)].concat() {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in text.split([' ', '=', '\n', '`', '"']).filter(|word| word.contains("/jmap-dump-tool:")) {
            let name = word.split('@').next().unwrap_or_default().trim_start_matches("docker://");
            let wanted = concat!("registry.example.com/jmap-dump-tool:", env!("CARGO_PKG_VERSION"));
            assert_eq!(name, wanted, "{}", path.display());
            found += 1;
        }
    }
    assert!(found >= 6, "{found}");
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// What the types cannot know, and the API server would refuse.
#[test]
fn manifests_mount_each_volume_and_no_other() {
    for name in names() {
        let all = containers(&name);
        let mounts: Vec<_> = all.iter().flat_map(|(_, container)| container.volume_mounts.iter().flatten()).collect();
        let volumes: Vec<_> = all.first().map(|(pod, _)| pod.volumes.clone()).into_iter().flatten().flatten().collect();
        for mount in &mounts {
            assert!(volumes.iter().any(|volume| volume.name == mount.name), "{name}: no volume {}", mount.name);
        }
        for volume in &volumes {
            assert!(mounts.iter().any(|mount| mount.name == volume.name), "{name}: {} is not mounted", volume.name);
        }
    }
}

/// The kubelet evicts the pod that exceeds a `sizeLimit`, and nothing inside tells it.
#[test]
fn manifests_name_the_dump_volume_and_its_size_limit() {
    let mut told = Vec::new();
    for (name, (pod, container)) in
        names().into_iter().flat_map(|name| containers(&name).into_iter().map(move |c| (name.clone(), c)))
    {
        let what = format!("{name}, {}", container.name);
        let mounts = container.volume_mounts.clone().unwrap_or_default();
        let sizes: Vec<(String, String)> = mounts.iter().filter_map(|mount| limit_of(&pod, mount)).collect();
        let env = Pod::of(&name, Cluster::default()).environment(&container);
        let value = |name: &str| env.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        // Where a sidecar has the tool, the JVM's own container has none.
        let runs_us = env.iter().any(|(name, _)| name.starts_with("POD_"));
        if !runs_us || !sizes.iter().any(|(dir, _)| dir == "/dumps") {
            continue;
        }
        let watches = container.command.iter().flatten().any(|word| word == "/dumps");
        let named = value("JMAP_DUMP_DIR");
        assert!(named.as_deref() == Some("/dumps") || watches && named.is_none(), "{what}: {named:?}");
        let limits = value("JMAP_DUMP_DISK_LIMIT").unwrap_or_else(|| panic!("{what}: no limit is told"));
        for limit in limits.split(',') {
            match limit.split_once('=') {
                Some((dir, size)) => assert!(sizes.contains(&(dir.into(), size.into())), "{what}: {limit}, {sizes:?}"),
                None => assert!(limit.parse::<u64>().is_ok_and(|bytes| bytes > 1 << 30), "{what}: {limits}"),
            }
        }
        assert!(limits.contains("/dumps="), "{what}: {limits}");
        told.push(what);
    }
    assert_eq!(told.len(), 5, "{told:?}");
}

/// The `sizeLimit` of what is mounted.
fn limit_of(pod: &PodSpec, mount: &VolumeMount) -> Option<(String, String)> {
    let volume = pod.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
    Some((mount.mount_path.clone(), volume.empty_dir.clone()?.size_limit?.0))
}

/// The environment of a JVM is in its dump, and a manifest is in a repository.
#[test]
fn manifests_hold_no_secret_and_give_none_to_a_jvm() {
    for (name, (_, container)) in
        names().into_iter().flat_map(|name| containers(&name).into_iter().map(move |c| (name.clone(), c)))
    {
        let secret = container.env_from.iter().flatten().any(|source| source.secret_ref.is_some());
        assert!(container.name != "app" || !secret, "{name}: the keys are in the environment of the JVM");
        for variable in container.env.iter().flatten() {
            assert!(variable.value_from.as_ref().is_none_or(|from| from.secret_key_ref.is_none()), "{name}");
            let is_key = variable.name.contains("KEY") && !variable.name.ends_with("_FILE");
            assert!(!is_key, "{name}: {} is written here", variable.name);
        }
    }
}

/// Settings and keys stand in `store/`, once, and every container that runs the tool takes them from there.
#[test]
fn settings_and_keys_stand_in_one_place() {
    let Ok(Document::Secret(secret)) = read(&text("store/secret.yaml")) else { panic!("secret.yaml is no secret") };
    let Ok(Document::ConfigMap(settings)) = read(&text("store/settings.yaml")) else { panic!("no settings") };
    let keys = secret.string_data.unwrap_or_default();
    assert!(keys.len() == 2 && keys.values().all(|value| value == "REPLACE"), "{:?}", keys.keys());
    assert!(settings.data.unwrap_or_default().keys().all(|name| !keys.contains_key(name)));
    for path in files_below(&deploy()) {
        let is_place = path.ends_with("store/secret.yaml");
        assert!(is_place || !std::fs::read_to_string(&path).unwrap().contains("REPLACE"), "{}", path.display());
    }
    let all = names().into_iter().flat_map(|name| containers(&name).into_iter().map(move |c| (name.clone(), c.1)));
    // `install` copies a file; where a sidecar has the tool, the JVM's own container has none.
    let of_us = |c: &Container| c.env.iter().flatten().any(|variable| variable.name == "POD_NAME");
    for (name, container) in all.filter(|(_, container)| of_us(container)) {
        let from = container.env_from.unwrap_or_default();
        assert!(from.iter().any(|source| source.config_map_ref.is_some()), "{name}, {}", container.name);
        let files = container.env.iter().flatten().filter(|variable| variable.name.ends_with("_FILE")).count();
        assert!(files == keys.len() || from.iter().any(|source| source.secret_ref.is_some()), "{name}");
    }
}

#[test]
fn the_image_is_the_released_binary_and_nothing_else() {
    let file = text("Dockerfile");
    let lines: Vec<_> = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    for (platform, arch) in [("amd64", "x86_64"), ("arm64", "aarch64")] {
        assert!(lines.contains(&format!("FROM scratch AS {platform}").as_str()), "{file}");
        let copy = format!("COPY --chmod=0755 dist/jmap-dump-tool-{arch}-linux-musl /jmap-dump-tool");
        assert!(lines.contains(&copy.as_str()), "{file}");
    }
    // The uid is the JVM's, which only the pod knows.
    assert!(!lines.iter().any(|line| line.starts_with("USER") || line.starts_with("RUN")), "{file}");
    assert_eq!(lines.last(), Some(&"ENTRYPOINT [\"/jmap-dump-tool\"]"));
}

#[test]
fn the_guide_names_every_file_beside_it() {
    let guide = text("README.md");
    for file in std::fs::read_dir(deploy()).unwrap().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || guide.contains(&name), "{name} is not in deploy/README.md");
    }
    assert!(guide.lines().count() <= 80, "it is too long to be read in need");
}
