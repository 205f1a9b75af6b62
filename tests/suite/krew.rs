//! The manifest for Krew: its form, and what is installed from the local archive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use tempfile::TempDir;

use crate::common::bed::skip;
use crate::common::kubectl::{FLEET, Kubectl};
use crate::common::manifest::deploy;
use crate::common::tool::{binary, install};
use crate::plugin::SHELLS;

/// `pkg/index/types.go` of kubernetes-sigs/krew, as far as a manifest has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plugin {
    api_version: String,
    kind: String,
    metadata: BTreeMap<String, String>,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    version: String,
    short_description: String,
    #[allow(dead_code)]
    description: String,
    #[allow(dead_code)]
    caveats: String,
    platforms: Vec<Platform>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    uri: String,
    sha256: String,
    selector: Selector,
    bin: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    match_expressions: Vec<Expression>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: String,
    values: Vec<String>,
}

/// The archive as a release has it; the binary of the other architecture is of no use here, and the same file.
fn archive(dir: &Path) -> PathBuf {
    let inside = dir.join("inside");
    std::fs::create_dir(&inside).unwrap();
    install(&deploy().join("kubectl-jmap_dump"), &inside.join("kubectl-jmap_dump"));
    for arch in ["x86_64", "aarch64"] {
        install(binary(), &inside.join(format!("jmap-dump-tool-{arch}-linux-musl")));
    }
    std::fs::copy(deploy().join("../LICENSE"), inside.join("LICENSE")).unwrap();
    let archive = dir.join("kubectl-jmap_dump-0.1.0.tar.gz");
    run(Command::new("tar")
        .arg("-C")
        .arg(&inside)
        .args(["--use-compress-program=gzip -1", "-cf"])
        .arg(&archive)
        .arg("."));
    archive
}

/// Its standard output.
#[track_caller]
fn run(command: &mut Command) -> String {
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{command:?}: {ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

fn manifest(archive: &Path) -> String {
    run(Command::new(deploy().join("krew/manifest.sh")).arg(archive).arg("0.1.0"))
}

/// The rules of `internal/index/validation/validate.go` and, for the link's name, of `installation/install.go`.
#[test]
fn krew_manifest_has_the_form_that_krew_demands() {
    let dir = TempDir::new().unwrap();
    let archive = archive(dir.path());
    let text = manifest(&archive);
    let plugin: Plugin = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(plugin.api_version, "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(plugin.kind, "Plugin");
    assert_eq!(plugin.metadata, BTreeMap::from([("name".to_owned(), "jmap-dump".to_owned())]));
    let version = plugin.spec.version.strip_prefix('v').expect("a version begins with v");
    assert!(version.split('.').count() == 3 && version.split('.').all(|n| n.parse::<u32>().is_ok()), "{version}");
    assert!(!plugin.spec.short_description.is_empty() && !plugin.spec.short_description.contains(['\r', '\n']));
    let sum = run(Command::new("sha256sum").arg(&archive));
    let [platform] = plugin.spec.platforms.as_slice() else { panic!("{text}") };
    assert_eq!(Some(platform.sha256.as_str()), sum.split(' ').next());
    assert!(platform.uri.starts_with("https://") && platform.uri.ends_with("/kubectl-jmap_dump-0.1.0.tar.gz"));
    assert_eq!(platform.bin, format!("kubectl-{}", plugin.metadata["name"].replace('-', "_")));
    let [systems] = platform.selector.match_expressions.as_slice() else { panic!("{text}") };
    assert_eq!((systems.key.as_str(), systems.operator.as_str()), ("os", "In"));
    assert_eq!(systems.values, ["darwin", "linux"]);
    assert!(!text.contains('@'), "{text}");
}

/// As Krew does it: unpacked below its store, with a relative link in the PATH.
#[test]
fn plugin_behind_the_link_of_krew_finds_its_binaries() {
    let dir = TempDir::new().unwrap();
    let archive = archive(dir.path());
    let (store, bin) = (dir.path().join("store/jmap-dump/v0.1.0"), dir.path().join("bin"));
    std::fs::create_dir_all(&store).unwrap();
    std::fs::create_dir(&bin).unwrap();
    run(Command::new("tar").arg("-C").arg(&store).arg("-xzf").arg(&archive));
    let link = bin.join("kubectl-jmap_dump");
    std::os::unix::fs::symlink("../store/jmap-dump/v0.1.0/kubectl-jmap_dump", &link).unwrap();
    for shell in SHELLS {
        let kubectl = Kubectl::echoing(&FLEET);
        let ended =
            kubectl.installed(shell, &link, &["cart-2", "shop", "cart", "prod", "--store=s3://b/p"]).wait().expect(0);
        assert_eq!(String::from_utf8_lossy(&ended.stdout), "given shop cart prod --link 24h --store=s3://b/p\n");
    }
}

/// An archive of a release has the binary under its own name, for one architecture.
#[test]
fn plugin_takes_the_binary_of_an_unpacked_archive() {
    let dir = TempDir::new().unwrap();
    let plugin = dir.path().join("kubectl-jmap_dump");
    install(&deploy().join("kubectl-jmap_dump"), &plugin);
    install(binary(), &dir.path().join("jmap-dump-tool"));
    let words = ["cart-2", "shop", "cart", "prod", "--store=s3://b/p"];
    let kubectl = Kubectl::echoing(&FLEET);
    kubectl.installed(SHELLS[0], &plugin, &words).wait().expect(0);
    // e_machine: it is for another one.
    let mut bytes = std::fs::read(binary()).unwrap();
    bytes[18] = 183;
    std::fs::write(dir.path().join("jmap-dump-tool"), bytes).unwrap();
    let ended = kubectl.installed(SHELLS[0], &plugin, &words).wait().expect(2);
    assert!(ended.stderr.contains("there is no jmap-dump-tool for x86_64 in"), "{}", ended.stderr);
}

#[test]
fn archive_without_binaries_gets_no_manifest() {
    let dir = TempDir::new().unwrap();
    let archive = dir.path().join("a.tar.gz");
    run(Command::new("tar").arg("-C").arg(deploy()).arg("-czf").arg(&archive).arg("kubectl-jmap_dump"));
    let ended = Command::new(deploy().join("krew/manifest.sh")).arg(&archive).arg("0.1.0").output().unwrap();
    assert!(!ended.status.success());
    assert!(String::from_utf8_lossy(&ended.stderr).contains("has no jmap-dump-tool-x86_64-linux-musl"), "{ended:?}");
}

#[test]
fn krew_installs_from_the_local_archive() {
    let krew = ["krew", "kubectl-krew"].into_iter().find(|name| Command::new(name).arg("version").output().is_ok());
    let Some(krew) = krew else {
        return skip("there is no krew");
    };
    let dir = TempDir::new().unwrap();
    let archive = archive(dir.path());
    let file = dir.path().join("jmap-dump.yaml");
    std::fs::write(&file, manifest(&archive)).unwrap();
    let root = dir.path().join("krew");
    let (from, with) = (format!("--manifest={}", file.display()), format!("--archive={}", archive.display()));
    run(Command::new(krew).args(["install", &from, &with]).env("KREW_ROOT", &root));
    let kubectl = Kubectl::echoing(&FLEET);
    let link = root.join("bin/kubectl-jmap_dump");
    kubectl.installed(SHELLS[0], &link, &["cart-2", "shop", "cart", "prod", "--store=s3://b/p"]).wait().expect(0);
}
