//! What `make dist` wrote: archives, sums, bills of materials, image.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::binary::released;
use crate::common::bed::{cannot_run, skip};
use crate::common::tool::Tool;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const ARCHES: [&str; 2] = ["x86_64", "aarch64"];

fn dist() -> Option<PathBuf> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    if dist.join("SHA256SUMS").exists() {
        return Some(dist);
    }
    cannot_run("dist/SHA256SUMS is not there; run make dist");
    None
}

/// What a command prints.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Unpacks an archive and returns the paths of its files.
#[track_caller]
fn unpacked(archive: &Path, to: &Path) -> BTreeSet<String> {
    said(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to));
    let list = said(Command::new("tar").arg("-tzf").arg(archive));
    list.lines().filter(|line| !line.ends_with('/')).map(str::to_owned).collect()
}

fn verbs() -> Vec<String> {
    let help = Tool::new(&["--help"]).run().expect(0);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs = lines.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help");
    verbs.map(str::to_owned).collect()
}

#[test]
fn archive_has_binary_licence_completions_and_man_pages() {
    let (Some(dist), verbs) = (dist(), verbs()) else { return };
    assert!(verbs.len() >= 12, "{verbs:?}");
    for arch in ARCHES {
        let (name, dir) = (format!("jmap-dump-tool-{VERSION}-{arch}-linux-musl"), tempfile::tempdir().unwrap());
        let files = unpacked(&dist.join(format!("{name}.tar.gz")), dir.path());
        let pages = verbs.iter().map(|verb| format!("man/man1/jmap-dump-tool-{verb}.1"));
        let others = ["jmap-dump-tool", "kubectl-jmap_dump", "LICENSE", "man/man1/jmap-dump-tool.1"];
        let completions = ["jmap-dump-tool.bash", "_jmap-dump-tool", "jmap-dump-tool.fish"];
        let completions = completions.map(|file| format!("completions/{file}"));
        let wanted = pages.chain(completions).chain(others.map(str::to_owned));
        assert_eq!(files, wanted.map(|file| format!("{name}/{file}")).collect::<BTreeSet<_>>());
        let inside = |file: &str| std::fs::read(dir.path().join(&name).join(file)).unwrap();
        assert!(inside("jmap-dump-tool") == std::fs::read(released(arch).unwrap()).unwrap(), "{arch}: another binary");
        for page in files.iter().filter(|file| file.ends_with(".1")) {
            let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
            assert!(text.contains(".TH jmap-dump-tool"), "{page} is no man page: {text}");
        }
        let plugin = dir.path().join(&name).join("kubectl-jmap_dump");
        assert!(said(Command::new(plugin).arg("--help")).contains("Usage: kubectl jmap-dump"));
    }
}

#[test]
fn plugin_archive_has_plugin_licence_and_both_binaries() {
    let (Some(dist), dir) = (dist(), tempfile::tempdir().unwrap()) else { return };
    let files = unpacked(&dist.join(format!("kubectl-jmap_dump-{VERSION}.tar.gz")), dir.path());
    let binaries = ARCHES.map(|arch| format!("jmap-dump-tool-{arch}-linux-musl"));
    let wanted = ["LICENSE", "kubectl-jmap_dump"].map(str::to_owned).into_iter().chain(binaries);
    assert_eq!(files, wanted.collect());
}

/// No user, no time of the build, no umask of whoever made them.
#[test]
fn archives_tell_nothing_of_their_maker() {
    let Some(dist) = dist() else { return };
    let files = std::fs::read_dir(dist).unwrap().flatten().map(|entry| entry.path());
    let archives: Vec<_> = files.filter(|path| path.to_string_lossy().contains(".tar")).collect();
    assert!(archives.len() >= 3, "{archives:?}");
    for archive in archives {
        let list = said(Command::new("tar").args(["--numeric-owner", "--full-time", "-tvf"]).arg(&archive));
        let fields = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let (mut times, mut owners) = (BTreeSet::new(), BTreeSet::new());
        for field in fields {
            owners.insert(field[1].to_owned());
            times.insert(format!("{} {}", field[3], field[4]));
        }
        assert_eq!(owners.into_iter().collect::<Vec<_>>(), ["0/0"], "{}", archive.display());
        assert_eq!(times.len(), 1, "{}: {times:?}", archive.display());
    }
}

#[test]
fn sums_name_every_released_file_and_are_right() {
    let Some(dist) = dist() else { return };
    said(Command::new("sha256sum").args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(&dist));
    let sums = std::fs::read_to_string(dist.join("SHA256SUMS")).unwrap();
    for file in std::fs::read_dir(&dist).unwrap().flatten().filter(|file| file.path().is_file()) {
        let name = file.file_name().to_string_lossy().into_owned();
        assert!(name == "SHA256SUMS" || sums.contains(&format!("  {name}\n")), "{name} has no sum");
    }
}

/// A binary that names a directory of the build differs from one that was built elsewhere.
#[test]
fn released_binaries_name_no_directory_of_the_build() {
    for arch in ARCHES {
        let Some(path) = released(arch) else { return };
        let bytes = std::fs::read(path).unwrap();
        let names = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        for place in [env!("CARGO_MANIFEST_DIR"), "/registry/src/", "/.cargo/", "/.rustup/"] {
            assert!(!names(place), "{arch}: {place} is in the binary");
        }
        // The sources that panics name are still told apart.
        assert!(names("/crates/"), "{arch}");
    }
}

#[test]
fn bill_of_materials_lists_each_dependency_with_its_licence() {
    let Some(dist) = dist() else { return };
    let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
    for arch in ARCHES {
        let file = dist.join(format!("jmap-dump-tool-{VERSION}-{arch}-linux-musl.cdx.json"));
        let text = std::fs::read_to_string(file).unwrap();
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{arch}: it names the directory of the build");
        let bill: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(bill["bomFormat"], "CycloneDX");
        assert_eq!(bill["metadata"]["component"]["version"], VERSION);
        let components = bill["components"].as_array().unwrap();
        for name in manifest["dependencies"].as_table().unwrap().keys() {
            assert!(components.iter().any(|component| component["name"] == name.as_str()), "{arch}: {name} is missing");
        }
        for component in components {
            assert!(component["licenses"].is_array() && component["purl"].is_string(), "{arch}: {component}");
        }
    }
}

/// Another program than the one that made it reads the image, and a container of it runs.
#[test]
fn image_is_imported_and_runs_the_released_binary() {
    let Some(dist) = dist() else { return };
    let archive = dist.join(format!("jmap-dump-tool-{VERSION}-image.tar"));
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !archive.exists() || !has("skopeo") || !has("umoci") {
        return skip("no image, skopeo or umoci: apt-get install buildah skopeo umoci, make dist");
    }
    let dir = tempfile::tempdir().unwrap();
    for (arch, platform) in [("x86_64", "amd64"), ("aarch64", "arm64")] {
        let layout = dir.path().join(platform);
        let from = format!("oci-archive:{}:{VERSION}", archive.display());
        let to = format!("oci:{}:{VERSION}", layout.display());
        said(Command::new("skopeo").args(["--override-arch", platform, "copy", "--quiet", &from, &to]));
        let (image, bundle) = (format!("{}:{VERSION}", layout.display()), dir.path().join(arch));
        said(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle));
        let files: Vec<_> = std::fs::read_dir(bundle.join("rootfs")).unwrap().flatten().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let inside = std::fs::read(bundle.join("rootfs/jmap-dump-tool")).unwrap();
        assert!(inside == std::fs::read(released(arch).unwrap()).unwrap(), "{arch}: another binary");
    }
    let said = run(&dir.path().join(std::env::consts::ARCH));
    assert!(said.starts_with(&format!("jmap-dump-tool {VERSION}")), "{said}");
}

/// A container of an unpacked image, with its entrypoint.
#[track_caller]
fn run(bundle: &Path) -> String {
    let file = bundle.join("config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(config["process"]["args"], serde_json::json!(["/jmap-dump-tool"]), "the entrypoint");
    config["process"]["args"] = serde_json::json!(["/jmap-dump-tool", "--version"]);
    config["process"]["terminal"] = false.into();
    std::fs::write(&file, config.to_string()).unwrap();
    let name = format!("jmap-image-{}", std::process::id());
    said(Command::new("runc").arg("run").arg("--bundle").arg(bundle).arg(name))
}

/// The forge runs nothing of its own: what it runs can be run at home.
#[test]
fn workflows_run_targets_that_the_makefile_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap();
    let mut found = BTreeSet::new();
    for name in ["ci.yml", "release.yml"] {
        let text = std::fs::read_to_string(root.join(".github/workflows").join(name)).unwrap();
        let workflow: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let jobs = workflow["jobs"].as_object().expect("jobs").values();
        let runs = jobs.flat_map(|job| job["steps"].as_array().expect("steps")).filter_map(|step| step["run"].as_str());
        for target in runs.filter_map(|run| run.strip_prefix("make ")?.split(' ').next()) {
            assert!(makefile.contains(&format!("\n{target}:")), "{name}: make {target} is not in the Makefile");
            found.insert(target.to_owned());
        }
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["deny", "reproduce", "test"]);
}

#[test]
fn shellcheck_finds_nothing_in_the_scripts_of_release_and_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = std::fs::read_dir(root.join("release")).unwrap().flatten().map(|entry| entry.path());
    let scripts: Vec<_> = scripts.chain([root.join("tests/all.sh")]).collect();
    match Command::new("shellcheck").args(&scripts).output() {
        Ok(found) => assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout)),
        Err(error) => cannot_run(&format!("shellcheck: {error}; run tests/bed/install.sh")),
    }
}
