//! What others have put into a directory that is a store, or into the one that is fetched to.

use std::path::{Path, PathBuf};

use super::{assert_says, mkfifo, prompt};
use crate::common::tool::{Tool, binary, install};
use crate::keyless;

/// A directory as store, with one object.
struct Store {
    dir: tempfile::TempDir,
    key: String,
}

impl Store {
    fn new() -> Self {
        let (pod, dir) = (keyless::Pod::new(1), tempfile::tempdir().unwrap());
        let receipt = pod.upload(dir.path().to_str().unwrap(), "").run().expect(0).receipt();
        Self { key: receipt["object"]["key"].as_str().unwrap().to_owned(), dir }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.path().join(key)
    }

    fn fetch(&self, key: &str, to: &Path) -> Tool {
        let store = self.dir.path().to_str().unwrap();
        Tool::new(&["fetch", key, "--store", store, "--to", to.to_str().unwrap()])
    }
}

#[test]
fn fifo_in_a_directory_store_holds_neither_list_nor_fetch() {
    let store = Store::new();
    let fifo = store.key.replace(".hprof.gz", "x.hprof.gz");
    mkfifo(&store.path(&fifo));
    let receipt = store.path(&store.key.replace(".hprof.gz", ".json"));
    std::fs::remove_file(&receipt).unwrap();
    mkfifo(&receipt);
    let list = Tool::new(&["list", "shop", "--store", store.dir.path().to_str().unwrap()]);
    let listed = prompt("list", list).expect(0);
    let shown = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(shown.contains(&store.key) && !shown.contains(&fifo), "{shown}");
    let to = tempfile::tempdir().unwrap();
    assert_says(&prompt("object", store.fetch(&fifo, to.path())), 9, "it is a FIFO", "object");
    assert_says(&prompt("receipt", store.fetch(&store.key, to.path())), 9, "it is a FIFO", "receipt");
}

#[test]
fn fifo_where_a_download_goes_is_a_typed_error() {
    let store = Store::new();
    let name = store.key.rsplit('/').next().unwrap();
    for planted in ["part", "part.pieces"] {
        let to = tempfile::tempdir().unwrap();
        let fifo = to.path().join(format!("{name}.{planted}"));
        mkfifo(&fifo);
        assert_says(&prompt(planted, store.fetch(&store.key, to.path())), 6, "it is a FIFO", planted);
        std::fs::remove_file(&fifo).unwrap();
        prompt("again", store.fetch(&store.key, to.path())).expect(0);
    }
}

/// A link of another user in a shared directory would have the object written over whatever it points to.
#[test]
fn download_follows_no_planted_link() {
    let store = Store::new();
    let (to, name) = (tempfile::tempdir().unwrap(), store.key.rsplit('/').next().unwrap());
    let victim = to.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, to.path().join(format!("{name}.part"))).unwrap();
    assert_says(&prompt("link", store.fetch(&store.key, to.path())), 6, "it is a symbolic link", "link");
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn fifo_for_a_decompressed_file_is_replaced() {
    let store = Store::new();
    let (to, name) = (tempfile::tempdir().unwrap(), store.key.rsplit('/').next().unwrap());
    mkfifo(&to.path().join(name.replace(".gz", ".part")));
    prompt("gunzip", store.fetch(&store.key, to.path()).arg("--gunzip")).expect(0);
}

#[test]
fn special_file_named_by_its_user_is_a_typed_error() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo);
    let fifo = fifo.to_str().unwrap();
    for words in [["verify", fifo], ["verify", "/dev/zero"], ["status", fifo], ["status", "/dev/zero"]] {
        assert_says(&prompt(&words.join(" "), Tool::new(&words)), 2, "no regular file", &words.join(" "));
    }
}

#[test]
fn installed_program_leaves_a_fifo_and_follows_no_link() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = from.path().join("tool");
    install(binary(), &program);
    let new = to.path().join("jmap-dump-tool.new");
    mkfifo(&new);
    let run = |what: &str| prompt(what, Tool::of(&program, &["install", to.path().to_str().unwrap()])).expect(0);
    run("fifo");
    std::fs::remove_file(&new).unwrap();
    let victim = from.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, &new).unwrap();
    run("link");
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    Tool::of(&to.path().join("jmap-dump-tool"), &["--version"]).run().expect(0);
}
