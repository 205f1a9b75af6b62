//! A volume that outlives its pod: at the next start, the kubelet gives all that is private there to `fsGroup`.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::tool::{Ended, Run, Tool};
use crate::common::waiting::wait_until;
use crate::secrets::files_below;

const GROUP: u32 = 4711;

/// Kubernetes: `pkg/volume/volume_linux.go`, `changeFilePermission`.
fn kubelet_gives_to_group(path: &Path) {
    let meta = path.symlink_metadata().unwrap();
    lchown(path, None, Some(GROUP)).unwrap();
    let added = if meta.is_dir() { 0o2770 } else { 0o660 };
    std::fs::set_permissions(path, Permissions::from_mode(meta.mode() & 0o7777 | added)).unwrap();
    if meta.is_dir() {
        std::fs::read_dir(path).unwrap().flatten().for_each(|entry| kubelet_gives_to_group(&entry.path()));
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        crate::common::bed::cannot_run("giving files to another group needs root");
    }
    root
}

/// A volume, and a store that comes with the next pod.
struct Pod {
    _dir: tempfile::TempDir,
    dumps: PathBuf,
    store: PathBuf,
}

impl Pod {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (dumps, store) = (dir.path().join("dumps"), dir.path().join("store"));
        std::fs::create_dir(&dumps).unwrap();
        Self { _dir: dir, dumps, store }
    }

    fn dumps(&self) -> &str {
        self.dumps.to_str().unwrap()
    }

    fn without_store(tool: Tool) -> Tool {
        tool.args(&["--store", "s3://dumps/heaps", "--endpoint", "http://127.0.0.1:1", "--region", "x"])
            .args(&["--retry-for", "1s"])
            .with_key()
    }

    fn with_store(&self, words: &[&str]) -> Tool {
        Tool::new(words).args(&["--output", "json", "--store", self.store.to_str().unwrap()])
    }

    /// A run that keeps its dump here.
    fn keep(&self, jvm: &TestJvm) {
        let pid = jvm.pid().to_string();
        let words = ["shop", "cart", "prod", "--pid", &pid, "--store-down", "keep", "--dir", self.dumps()];
        Self::without_store(Tool::new(&words)).run().expect(7);
    }

    fn resume(&self) -> Ended {
        self.with_store(&["upload", "--resume", self.dumps()]).run()
    }

    fn watch(&self) -> Run {
        self.with_store(&["watch", "shop", "cart", "prod", self.dumps(), "--grace", "1s"]).spawn()
    }

    /// A file that the store did not get, and its journal.
    fn begun(&self, sample: &Path) -> (PathBuf, PathBuf) {
        let file = self.dumps.join("heap.hprof.gz");
        std::fs::copy(sample, &file).unwrap();
        Self::without_store(Tool::new(&["upload", "shop", "cart", "prod", file.to_str().unwrap()])).run().expect(9);
        let journal = PathBuf::from(format!("{}.upload", file.display()));
        assert!(journal.exists());
        (file, journal)
    }

    fn objects(&self) -> Vec<PathBuf> {
        let mut found = files_below(&self.store);
        found.retain(|path| path.extension().is_some_and(|end| end == "gz"));
        found
    }

    fn status(&self) -> String {
        std::fs::read_to_string(self.dumps.join("jmap-dump-tool/status.json")).unwrap_or_default()
    }

    /// As the journal tells it, of a whole dump of this JVM.
    #[track_caller]
    fn assert_stored_as_begun(&self, object: &Path, what: &str) {
        assert_eq!(object.parent(), Some(&*self.store.join("shop/cart/prod")), "{what}");
        assert_eq!(assert_complete(object).of("Marker"), 91, "{what}");
        let receipt = std::fs::read(object.to_str().unwrap().replace(".hprof.gz", ".json")).unwrap();
        let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
        assert!(receipt["jvm"]["version"].is_string() && receipt["dump"]["live_only"] == true, "{what}: {receipt}");
    }
}

fn jvm(version: &str) -> Option<TestJvm> {
    Some(TestJvm::builder(version)?.arg("mb=48").arg("markers=91").start())
}

fn sample(dir: &Path) -> Option<PathBuf> {
    Some(Tool::dump(jvm("17")?.pid(), dir.to_str().unwrap()).run().expect(0).stored())
}

#[test]
fn next_pod_stores_a_kept_dump_as_it_was_begun() {
    for version in ["8", "17", "25"] {
        let (pod, Some(jvm)) = (Pod::new(), jvm(version)) else { continue };
        if !is_root() {
            return;
        }
        pod.keep(&jvm);
        kubelet_gives_to_group(&pod.dumps);
        let ended = pod.resume().expect(0);
        assert!(ended.stderr.contains("as fsGroup makes it"), "JDK {version}: {}", ended.stderr);
        pod.assert_stored_as_begun(&ended.stored(), &format!("JDK {version}"));
        assert_eq!(files_below(&pod.dumps), Vec::<PathBuf>::new(), "JDK {version}");
    }
}

#[test]
fn the_next_pod_s_watcher_starts_and_stores_what_waits_for_it() {
    let (samples, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm("25")) else { return };
    let (Some(sample), true) = (sample(samples.path()), is_root()) else { return };
    let pod = Pod::new();
    pod.keep(&jvm);
    let kept = files_below(&pod.dumps).len();
    std::fs::copy(&sample, pod.dumps.join("java_pid1.hprof")).unwrap();
    let first = Pod::without_store(Tool::new(&["watch", "shop", "cart", "prod", pod.dumps()])).spawn();
    wait_until("a dump that waits with its journal", || {
        let files = files_below(&pod.dumps.join("jmap-dump-tool"));
        files.iter().any(|path| path.extension().is_some_and(|end| end == "upload"))
    });
    first.signal(Signal::KILL);
    first.wait();
    assert!(files_below(&pod.dumps).len() > kept);
    kubelet_gives_to_group(&pod.dumps);
    let second = pod.watch();
    wait_until("both objects", || pod.objects().len() == 2);
    wait_until("an empty volume", || files_below(&pod.dumps).iter().all(|path| path.ends_with("status.json")));
    second.signal(Signal::TERM);
    second.wait().expect(0);
    let objects = pod.objects();
    objects.iter().for_each(|object| assert_eq!(assert_complete(object).of("Marker"), 91));
    let of_jvm = format!("_{}_", jvm.pid());
    let kept = objects.iter().find(|object| object.to_string_lossy().contains(&of_jvm)).unwrap();
    pod.assert_stored_as_begun(kept, "by the watcher");
}

#[test]
fn journal_that_a_foreign_group_may_write_is_refused() {
    let samples = tempfile::tempdir().unwrap();
    let (Some(sample), true) = (sample(samples.path()), is_root()) else { return };
    let pod = Pod::new();
    let (file, journal) = pod.begun(&sample);
    lchown(&journal, Some(4242), Some(GROUP)).unwrap();
    std::fs::set_permissions(&journal, Permissions::from_mode(0o660)).unwrap();
    let by_name = pod.with_store(&["upload", "shop", "cart", "prod", file.to_str().unwrap(), "--delete"]).run();
    for ended in [pod.resume(), by_name] {
        let told = ended.expect(2).stderr;
        assert!(told.contains(&format!("{}, which", journal.display())), "{told}");
        assert!(told.contains("mode 660") && told.contains("chmod 600"), "{told}");
    }
    let watcher = pod.watch();
    wait_until("the obstacle", || pod.status().contains("may have written"));
    watcher.signal(Signal::TERM);
    watcher.wait();
    assert!(file.exists() && journal.exists());
    assert_eq!(journal.metadata().unwrap().mode() & 0o7777, 0o660, "it is not ours to change");
    assert_eq!(pod.objects(), Vec::<PathBuf>::new());
}

#[test]
fn waiting_directory_of_another_user_is_refused() {
    if !is_root() {
        return;
    }
    let pod = Pod::new();
    let waiting = pod.dumps.join("jmap-dump-tool");
    std::fs::create_dir(&waiting).unwrap();
    let dump = waiting.join("20260101T000000Z_a_7_00ff00.hprof.gz");
    std::fs::write(&dump, "a dump").unwrap();
    for (owner, mode) in [(4242, 0o2770), (0, 0o777)] {
        lchown(&waiting, Some(owner), Some(GROUP)).unwrap();
        std::fs::set_permissions(&waiting, Permissions::from_mode(mode)).unwrap();
        let told = pod.watch().wait().expect(2).stderr;
        assert!(told.contains(&format!("uid {owner}, mode {mode:o}")) && told.contains("chmod go-w"), "{told}");
        assert!(!told.contains("remove"), "{told}");
        assert!(dump.exists());
    }
}

/// Without the group, the volume would be passed over for the JVM's `/tmp`, or the run be refused.
#[test]
fn volume_of_a_group_takes_the_dump_that_root_makes() {
    if !is_root() {
        return;
    }
    let (cwd, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let volume = tempfile::tempdir().unwrap();
    lchown(volume.path(), Some(0), Some(GROUP)).unwrap();
    std::fs::set_permissions(volume.path(), Permissions::from_mode(0o770)).unwrap();
    lchown(cwd.path(), Some(1000), Some(1000)).unwrap();
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.uid(1000).groups(&[GROUP]).cwd(cwd.path()).arg("mb=48").arg("markers=91").start();
    let tool =
        || Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--dir", volume.path().to_str().unwrap()]);
    let planned = tool().arg("--dry-run").run().expect(0).receipt();
    let through = planned["nothing_done"].as_str().unwrap();
    assert!(through.contains(volume.path().to_str().unwrap()), "{planned}");
    assert_eq!(assert_complete(tool().run().expect(0).stored()).of("Marker"), 91);
    assert_eq!(files_below(volume.path()), Vec::<PathBuf>::new());
    // The guard has the same group.
    let killed = tool().env("JMAP_DUMP_FAULT", "write the spool/2:hang").spawn();
    let entries = || std::fs::read_dir(volume.path()).unwrap().count();
    wait_until("a private directory", || entries() > 0);
    killed.signal(Signal::KILL);
    killed.wait();
    wait_until("an empty volume", || entries() == 0);
}
