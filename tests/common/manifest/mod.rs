//! The manifests of `deploy/`, read as strictly as Kubernetes reads them, and run in containers of their shape.

mod shape;
pub mod strict;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};
use tempfile::TempDir;

use strict::{Document, read_all};

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
    let mut names = [names_in(""), names_in("store/")].concat();
    names.retain(|name| name.ends_with(".yaml") && !name.ends_with("kustomization.yaml"));
    names.sort();
    names
}

/// The files in a directory of `deploy/`, which ends with a slash.
fn names_in(dir: &str) -> Vec<String> {
    let files = fs::read_dir(deploy().join(dir)).expect("deploy/").flatten();
    files.map(|file| format!("{dir}{}", file.file_name().to_string_lossy())).collect()
}

/// What the cluster has under the names that the manifests use.
#[derive(Default)]
pub struct Cluster {
    pub settings: BTreeMap<String, String>,
    pub secret: BTreeMap<String, String>,
}

/// A pod of a manifest, and its volumes as the kubelet would make them.
pub struct Pod {
    pub spec: PodSpec,
    cluster: Cluster,
    volumes: TempDir,
    /// The files of the ConfigMaps that are mounted, by their names.
    maps: BTreeMap<String, BTreeMap<String, String>>,
}

impl Pod {
    #[track_caller]
    pub fn of(name: &str, cluster: Cluster) -> Pod {
        Pod::among(read_all(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}")), cluster)
    }

    /// Of the first document that has one.
    #[track_caller]
    pub fn among(documents: Vec<Document>, cluster: Cluster) -> Pod {
        let maps = documents.iter().filter_map(files_of_map).collect();
        let spec = documents.into_iter().find_map(pod_spec).expect("a document with a pod");
        let pod = Pod { spec, cluster, volumes: tempfile::tempdir().expect("a directory for the volumes"), maps };
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
        let container = self.container(name);
        let command = container.command.clone().unwrap_or_else(|| panic!("{name} has no command"));
        let environment = self.environment(container);
        command.into_iter().map(|word| shape::expand(&word, &environment)).collect()
    }

    /// Where a volume lies on the host.
    #[track_caller]
    pub fn volume(&self, name: &str) -> PathBuf {
        let volumes = self.spec.volumes.iter().flatten();
        let volume =
            volumes.into_iter().find(|volume| volume.name == name).unwrap_or_else(|| panic!("no volume {name}"));
        // The directory's name tells the tool what it is, as the kubelet's does.
        let kind = match (&volume.empty_dir, &volume.config_map) {
            (Some(_), _) => "kubernetes.io~empty-dir",
            (None, Some(_)) => "kubernetes.io~configmap",
            (None, None) => "kubernetes.io~secret",
        };
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
        if let Some(map) = &volume.config_map {
            let files = self.maps.get(&map.name).unwrap_or_else(|| panic!("no ConfigMap {}", map.name));
            return files
                .iter()
                .for_each(|(name, text)| fs::write(dir.join(name), text).expect("a file of a ConfigMap"));
        }
        let secret = volume.secret.as_ref().unwrap_or_else(|| panic!("{} is of an unknown kind", volume.name));
        for (key, value) in &self.cluster.secret {
            let file = dir.join(key);
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

fn files_of_map(document: &Document) -> Option<(String, BTreeMap<String, String>)> {
    let Document::ConfigMap(map) = document else { return None };
    Some((map.metadata.name.clone()?, map.data.clone().unwrap_or_default()))
}

fn pod_spec(document: Document) -> Option<PodSpec> {
    let template = match document {
        Document::Deployment(deployment) => deployment.spec?.template,
        Document::StatefulSet(set) => set.spec?.template,
        Document::Container(container) => {
            return Some(PodSpec { containers: vec![*container], ..PodSpec::default() });
        }
        _ => return None,
    };
    template.spec
}
