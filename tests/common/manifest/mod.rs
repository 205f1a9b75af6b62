//! The manifests of `deploy/`, read as strictly as Kubernetes reads them, and run in containers of their shape.

mod shape;
mod strict;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};
use tempfile::TempDir;

pub use strict::{Document, read};

pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// The text of a file of `deploy/`.
#[track_caller]
pub fn text(name: &str) -> String {
    let path = deploy().join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The names of all manifests.
pub fn names() -> Vec<String> {
    let files = fs::read_dir(deploy()).expect("deploy/").flatten();
    let mut names: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".yaml"));
    names.sort();
    names
}

/// A pod of a manifest, its volumes as the kubelet would make them, and the secret that it asks for.
pub struct Pod {
    pub spec: PodSpec,
    secret: BTreeMap<String, String>,
    volumes: TempDir,
}

impl Pod {
    /// `secret` is what the cluster has under the name that the manifest uses.
    #[track_caller]
    pub fn of(name: &str, secret: &[(&str, &str)]) -> Pod {
        let spec = match read(&text(name)) {
            Ok(Document::Deployment(deployment)) => pod_spec(*deployment),
            Ok(Document::Container(container)) => PodSpec { containers: vec![*container], ..PodSpec::default() },
            other => panic!("{name}: no pod in {other:?}"),
        };
        let secret = secret.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let pod = Pod { spec, secret, volumes: tempfile::tempdir().expect("a directory for the volumes") };
        for volume in pod.spec.volumes.iter().flatten() {
            pod.make(volume);
        }
        pod
    }

    /// A container or init container by its name.
    #[track_caller]
    pub fn container(&self, name: &str) -> &Container {
        let mut all = self.spec.init_containers.iter().flatten().chain(&self.spec.containers);
        all.find(|container| container.name == name).unwrap_or_else(|| panic!("no container {name}"))
    }

    #[track_caller]
    pub fn command(&self, name: &str) -> Vec<String> {
        self.container(name).command.clone().unwrap_or_else(|| panic!("{name} has no command"))
    }

    /// Where a volume lies on the host.
    #[track_caller]
    pub fn volume(&self, name: &str) -> PathBuf {
        let volumes = self.spec.volumes.iter().flatten();
        let volume =
            volumes.into_iter().find(|volume| volume.name == name).unwrap_or_else(|| panic!("no volume {name}"));
        // The directory's name tells the tool what it is, as the kubelet's does.
        let kind = if volume.empty_dir.is_some() { "kubernetes.io~empty-dir" } else { "kubernetes.io~secret" };
        self.volumes.path().join(kind).join(name)
    }

    fn make(&self, volume: &Volume) {
        let dir = self.volume(&volume.name);
        fs::create_dir_all(&dir).expect("a volume");
        let group = self.fs_group();
        chown(&dir, None, group).expect("chown of a volume");
        if volume.empty_dir.is_some() {
            return fs::set_permissions(&dir, PermissionsExt::from_mode(0o2777)).expect("chmod of a volume");
        }
        let secret = volume.secret.as_ref().unwrap_or_else(|| panic!("{} is of an unknown kind", volume.name));
        for item in secret.items.iter().flatten() {
            let file = dir.join(&item.path);
            let value = self.secret.get(&item.key).unwrap_or_else(|| panic!("the secret has no {}", item.key));
            fs::write(&file, value).expect("a secret");
            let mode = secret.default_mode.expect("a mode for the secret").cast_unsigned();
            fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("chmod of a secret");
            chown(&file, None, group).expect("chown of a secret");
        }
    }

    fn fs_group(&self) -> Option<u32> {
        let group = self.spec.security_context.as_ref()?.fs_group?;
        Some(u32::try_from(group).expect("a gid"))
    }
}

fn pod_spec(deployment: Deployment) -> PodSpec {
    let spec = deployment.spec.expect("a deployment has a spec");
    spec.template.spec.expect("a pod has a spec")
}
