//! The binary itself: static, and the same on another architecture.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::bed::{cannot_run, skip};
use crate::common::hprof_check::assert_complete;
use crate::common::tool::{Tool, binary};

#[track_caller]
fn readelf(path: &Path) -> String {
    let output = Command::new("readelf").args(["--program-headers", "--dynamic", "--wide"]).arg(path).output();
    let output = output.expect("readelf of Debian's binutils");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn assert_static(path: &Path) {
    let elf = readelf(path);
    assert!(elf.contains("LOAD"), "{}: no ELF file", path.display());
    assert!(!elf.contains("INTERP") && !elf.contains("NEEDED"), "{}:\n{elf}", path.display());
}

/// 8.5 MiB, with all stores: each copy into a container waits for it.
const SIZE_MAX: u64 = 17 << 19;

#[test]
fn the_binary_needs_no_loader_and_no_library() {
    if !cfg!(target_env = "musl") {
        return skip("this is not the static build; run make test");
    }
    assert_static(binary());
}

/// What `make release` wrote, if it ran.
pub fn released(arch: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dist/jmap-dump-tool-{arch}-linux-musl"));
    if path.exists() {
        return Some(path);
    }
    cannot_run(&format!("{} is not there; run make release", path.display()));
    None
}

#[test]
fn released_binaries_are_static_and_within_their_budget() {
    for arch in ["x86_64", "aarch64"] {
        let Some(path) = released(arch) else { return };
        assert_static(&path);
        let bytes = path.metadata().unwrap().len();
        assert!(bytes <= SIZE_MAX, "{arch}: {bytes} bytes");
        eprintln!("{arch}: {bytes} bytes");
    }
}

#[test]
fn the_aarch64_binary_walks_compresses_and_stores_a_dump() {
    let Some(path) = released("aarch64") else { return };
    let Ok(qemu) = which("qemu-aarch64-static") else {
        return cannot_run("qemu-aarch64-static is not there; apt-get install qemu-user-static");
    };
    let Some(jvm) = crate::common::jvm::TestJvm::builder("17") else { return };
    let (jvm, dir) = (jvm.arg("markers=9").start(), tempfile::tempdir().unwrap());
    let dump = Tool::dump(jvm.pid(), dir.path().to_str().unwrap()).run().expect(0).stored();
    let raw = dir.path().join("raw.hprof");
    let mut file = std::fs::File::create(&raw).unwrap();
    let gz = std::fs::File::open(&dump).unwrap();
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(gz), &mut file).unwrap();
    let stored = Tool::of(&qemu, &[path.to_str().unwrap(), "upload", "shop", "cart", "arm", "--output", "json"])
        .args(&["--store", dir.path().to_str().unwrap(), raw.to_str().unwrap()])
        .run()
        .expect(0)
        .stored();
    assert_eq!(assert_complete(stored).of("Marker"), 9);
}

fn which(program: &str) -> Result<PathBuf, ()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists()).ok_or(())
}

#[test]
fn version_tells_the_revision_and_the_target() {
    let ended = Tool::new(&["--version"]).run().expect(0);
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(text.contains(env!("CARGO_PKG_VERSION")) && text.contains("linux"), "{text}");
}
