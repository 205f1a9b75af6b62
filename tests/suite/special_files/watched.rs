//! What lies in the directory of a watcher, or of an upload that goes on.

use std::path::Path;

use rustix::process::Signal;

use super::{assert_says, mkdevice, mkfifo, prompt};
use crate::common::tool::Tool;
use crate::common::waiting::{SOON, wait_within};
use crate::keyless;

fn dumps_in(store: &Path) -> usize {
    let place = store.join("shop/cart/prod");
    let names = std::fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".hprof.gz")).count()
}

/// A whole dump under this name in `dir`.
fn put(dir: &Path, name: &str) {
    let pod = keyless::Pod::new(1);
    let dump = pod.mount("x", "");
    std::fs::rename(Path::new(&dump).with_file_name("java_pid1.hprof"), dir.join("moving")).unwrap_or_else(|_| {
        std::fs::copy(Path::new(&dump).with_file_name("java_pid1.hprof"), dir.join("moving")).unwrap();
    });
    std::fs::rename(dir.join("moving"), dir.join(name)).unwrap();
}

#[test]
fn watcher_tells_special_files_once_and_stores_the_rest() {
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name);
    mkfifo(&at("fifo.hprof"));
    mkdevice(&at("device.hprof"));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.hprof")).unwrap();
    std::os::unix::fs::symlink("/nowhere", at("dangling.hprof")).unwrap();
    std::fs::create_dir(at("directory.hprof")).unwrap();
    put(dir.path(), "journaled.hprof");
    mkfifo(&at("journaled.hprof.upload"));
    put(dir.path(), "in-parts.hprof");
    mkfifo(&at("in-parts.hprof.p0"));
    mkfifo(&at("status.json"));
    mkfifo(&at("status.new"));
    put(dir.path(), "good.hprof");
    let status = at("status.json");
    let words = ["watch", "shop", "cart", "prod", dir.path().to_str().unwrap(), "--store"];
    let run = Tool::new(&words).arg(store.path()).args(&["--status", status.to_str().unwrap()]).spawn().hear();
    wait_within("the good ones are stored", SOON, || dumps_in(store.path()) == 2);
    // Two more looks at the directory.
    std::thread::sleep(std::time::Duration::from_secs(5));
    run.signal(Signal::TERM);
    let ended = run.wait().expect(0);
    for (name, kind) in [
        ("fifo.hprof", "a FIFO"),
        ("device.hprof", "a character device"),
        ("socket.hprof", "a socket"),
        ("dangling.hprof", "a symbolic link"),
        ("directory.hprof", "a directory"),
        ("in-parts.hprof.p0", "a FIFO"),
        ("journaled.hprof.upload", "a FIFO"),
    ] {
        let told = ended.stderr.lines().filter(|line| line.contains(name) && line.contains(kind)).count();
        assert_eq!(told, 1, "{name}: {}", ended.stderr);
        assert!(at(name).symlink_metadata().is_ok(), "{name}");
    }
    assert!(at("journaled.hprof").exists() && !at("in-parts.hprof").exists() && !at("good.hprof").exists());
    assert!(status.metadata().unwrap().is_file());
}

#[test]
fn resumed_upload_tells_special_files_and_stores_the_rest() {
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name);
    let upload = |what: &str| {
        let words = ["upload", "shop", "cart", "prod", "--store", store.path().to_str().unwrap()];
        prompt(what, Tool::new(&words).args(&["--resume", dir.path().to_str().unwrap()]))
    };
    put(dir.path(), "20260101T000000Z_a_7_00ff01.hprof");
    mkfifo(&at("20260101T000000Z_a_7_00ff02.hprof"));
    put(dir.path(), "20260101T000000Z_a_7_00ff03.hprof");
    mkfifo(&at("20260101T000000Z_a_7_00ff03.hprof.upload"));
    mkfifo(&at("20260101T000000Z_a_7_00ff04.hprof.upload"));
    let ended = upload("resume");
    assert_eq!(dumps_in(store.path()), 1, "{ended:?}");
    for name in ["00ff02.hprof ", "00ff03.hprof.upload ", "00ff04.hprof.upload "] {
        let told = ended.stderr.lines().filter(|line| line.contains(name) && line.contains("a FIFO")).count();
        assert_eq!(told, 1, "{name}: {}", ended.stderr);
    }
    assert!(at("20260101T000000Z_a_7_00ff03.hprof").exists());
}

#[test]
fn special_file_in_an_upload_is_a_typed_error() {
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name);
    let upload = |what: &str, name: &str| {
        let words = ["upload", "shop", "cart", "prod", "--store", store.path().to_str().unwrap()];
        prompt(what, Tool::new(&words).arg(at(name)))
    };
    put(dir.path(), "journaled.hprof");
    mkfifo(&at("journaled.hprof.upload"));
    assert_says(&upload("journal", "journaled.hprof"), 2, "journaled.hprof.upload: it is a FIFO", "journal");
    mkfifo(&at("fifo.hprof"));
    assert_says(&upload("dump", "fifo.hprof"), 2, "it is a FIFO", "dump");
    put(dir.path(), "in-parts.hprof");
    mkfifo(&at("in-parts.hprof.p0"));
    upload("part", "in-parts.hprof").expect(0);
    put(dir.path(), "sparse.hprof");
    std::fs::File::create(at("sparse.hprof.upload")).unwrap().set_len((1 << 43) - 4096).unwrap();
    let ended = upload("sparse journal", "sparse.hprof").expect(0);
    assert!(ended.stderr.contains("it is no journal of an upload"), "{}", ended.stderr);
    assert_eq!(dumps_in(store.path()), 2);
}
