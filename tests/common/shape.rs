//! A JVM with directories of its own: a test sees what a run leaves in them.

use std::collections::BTreeSet;
use std::path::Path;

use super::hprof_check::assert_complete;
use super::jvm::TestJvm;
use super::tool::Tool;

/// A JVM with a directory of its own: its current one, where the attach file goes first.
pub struct Shape {
    pub jvm: TestJvm,
    cwd: tempfile::TempDir,
    pub dumps: tempfile::TempDir,
    pub store: tempfile::TempDir,
}

impl Shape {
    pub fn new(version: &str, megabytes: u32) -> Option<Self> {
        let cwd = tempfile::tempdir().unwrap();
        let jvm = TestJvm::builder(version)?.cwd(cwd.path()).arg(format!("mb={megabytes}")).arg("markers=50").start();
        Some(Self { jvm, cwd, dumps: tempfile::tempdir().unwrap(), store: tempfile::tempdir().unwrap() })
    }

    /// The same for a JVM of another user, whose directories are his.
    pub fn of_user(version: &str, megabytes: u32, uid: u32) -> Option<Self> {
        let [cwd, dumps, store] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        for dir in [&cwd, &dumps] {
            std::os::unix::fs::chown(dir.path(), Some(uid), Some(uid)).unwrap();
        }
        let jvm = TestJvm::builder(version)?.uid(uid).cwd(cwd.path());
        let jvm = jvm.arg(format!("mb={megabytes}")).arg("markers=50").start();
        Some(Self { jvm, cwd, dumps, store })
    }

    pub fn dump(&self) -> Tool {
        let dirs = [self.store.path(), self.dumps.path()].map(|dir| dir.to_str().unwrap());
        Tool::dump(self.jvm.pid(), dirs[0]).args(&["--dir", dirs[1]])
    }

    /// Nothing of ours in any directory that a run touches, but for what the receipt names.
    #[track_caller]
    pub fn assert_clean(&self, what: &str) {
        assert_eq!(files_in(self.cwd.path()), BTreeSet::new(), "{what}: in the JVM's directory");
        assert_eq!(files_in(self.dumps.path()), BTreeSet::new(), "{what}: in the dump directory");
        let attach_file = format!("/tmp/.attach_pid{}", self.jvm.pid());
        assert!(!Path::new(&attach_file).exists(), "{what}: {attach_file}");
        assert!(self.jvm.is_alive(), "{what}: the JVM is dead");
        assert_eq!(self.jvm.say("ping"), "pong", "{what}");
        assert!(!self.jvm.log().contains("Full thread dump"), "{what}: {}", self.jvm.log());
    }
}

pub fn files_in(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        found.insert(entry.path().display().to_string());
        if entry.path().is_dir() {
            found.extend(files_in(&entry.path()));
        }
    }
    found
}

/// Stores what was left in `dir`, checks it, and says what it was.
#[track_caller]
pub fn resume(dir: &Path, what: &str) -> Vec<String> {
    let store = tempfile::tempdir().unwrap();
    let args = ["upload", "--output", "json", "--store", store.path().to_str().unwrap(), "--resume"];
    let ended = Tool::new(&args).arg(dir).run();
    assert_eq!(ended.code, 0, "{what}: {ended:?}");
    let stored = files_in(store.path()).into_iter().filter(|path| path.ends_with(".hprof.gz"));
    stored.inspect(|path| drop(assert_complete(path))).collect()
}
