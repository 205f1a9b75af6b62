//! The manifests of `deploy/`: Kubernetes can read them, they are hardened, and what they say works.

use k8s_openapi::api::core::v1::{Container, PodSpec, VolumeMount};

use crate::common::manifest::{Document, Pod, deploy, names, read, text};

/// All containers of a manifest, with the pod around them.
fn containers(name: &str) -> Vec<(PodSpec, Container)> {
    if matches!(read(&text(name)), Ok(Document::Secret(_))) {
        return Vec::new();
    }
    let spec = Pod::of(name, &[("settings.toml", "")]).spec;
    let all = spec.init_containers.iter().flatten().chain(&spec.containers).cloned();
    all.map(|container| (spec.clone(), container)).collect()
}

#[test]
fn kubernetes_reads_every_field_of_each_manifest() {
    let names = names();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        if let Err(error) = read(&text(&name)) {
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
        let what = format!("{name}, {}", container.name);
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
        // A debug container may have no limits.
        let limits = container.resources.and_then(|resources| resources.limits).unwrap_or_default();
        assert!(name == "debug-container.yaml" || limits.contains_key("memory"), "{what}: no limits");
    }
}

/// What the types cannot know, and the API server would refuse.
#[test]
fn each_volume_of_the_manifests_is_mounted_and_each_mount_has_its_volume() {
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
fn each_manifest_names_the_dumps_volume_and_tells_its_size_limit() {
    let mut told = Vec::new();
    for (name, (pod, container)) in
        names().into_iter().flat_map(|name| containers(&name).into_iter().map(move |c| (name.clone(), c)))
    {
        let what = format!("{name}, {}", container.name);
        let mounts = container.volume_mounts.clone().unwrap_or_default();
        let sizes: Vec<(String, String)> = mounts.iter().filter_map(|mount| limit_of(&pod, mount)).collect();
        let env = Pod::of(&name, &[("settings.toml", ""), ("store", "")]).environment(&container);
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
fn no_secret_is_written_in_a_manifest_or_put_into_the_environment_of_a_jvm() {
    for (name, (_, container)) in
        names().into_iter().flat_map(|name| containers(&name).into_iter().map(move |c| (name.clone(), c)))
    {
        for variable in container.env.iter().flatten() {
            let secret = variable.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref());
            assert!(container.name != "app" || secret.is_none(), "{name}: {} is in the JVM", variable.name);
            let is_key = variable.name.contains("KEY");
            assert!(!is_key || secret.is_some(), "{name}: {} is written here", variable.name);
        }
    }
    let Ok(Document::Secret(secret)) = read(&text("secret.yaml")) else { panic!("secret.yaml is no secret") };
    for (key, value) in secret.string_data.unwrap_or_default() {
        assert!(!key.contains("key") || value == "REPLACE", "{key} has a value");
    }
}

#[test]
fn the_image_is_the_released_binary_and_nothing_else() {
    let file = text("Dockerfile");
    let lines: Vec<_> = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let makefile = include_str!("../../Makefile");
    assert!(makefile.contains("dist/jmap-dump-tool-$$arch-linux-musl"), "the names in dist/ have changed");
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
