//! Keys and passwords, while a run is at it: in no command line, in no file, and no file is anybody else's to read.
//! That no message tells them is held by each run of all other tests (`common/secrets.rs`).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::jvm::TestJvm;
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::secrets::PLANTED;
use crate::common::tool::Tool;
use crate::common::waiting::wait_until;

pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { vec![entry.path()] })
        .collect()
}

#[track_caller]
fn assert_private(path: &Path) {
    let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o777;
    let expected = if path.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(mode, expected, "{}: {mode:o}", path.display());
}

fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let of_ours = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    of_ours.filter(|line| line.contains("jmap-dump-tool")).collect()
}

#[test]
fn running_dump_shows_no_secret_in_words_or_files() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let jvm = jvm.arg("mb=40").jvm_arg(format!("-Dplanted.argument={PLANTED}")).start();
    let dir = tempfile::tempdir().unwrap();
    server.stall(Duration::from_secs(6));
    let run = Tool::dump(jvm.pid(), &format!("s3://{BUCKET}"))
        .with_s3(&server)
        .args(&["--dir", dir.path().to_str().unwrap()])
        .spawn();
    let journal = || files_below(dir.path()).into_iter().find(|path| path.extension().is_some_and(|e| e == "upload"));
    wait_until("a journal", || journal().is_some());
    let lines = command_lines();
    assert!(lines.len() > 1, "the run and its guard: {lines:?}");
    assert!(!lines.iter().any(|line| line.contains(SECRET) || line.contains(KEY)), "{lines:?}");
    let journal = std::fs::read_to_string(journal().unwrap()).unwrap();
    assert!(journal.contains("\"begin\"") && !journal.contains(SECRET) && !journal.contains(KEY), "{journal}");
    assert!(!journal.contains(PLANTED), "{journal}");
    let files = files_below(dir.path());
    files.iter().for_each(|path| assert_private(path));
    assert_private(files[0].parent().unwrap());
    server.stall(Duration::ZERO);
    let receipt = run.wait().expect(0).receipt();
    let key = receipt["object"]["key"].as_str().unwrap();
    for tail in [".json", ".txt"] {
        let beside = std::fs::read_to_string(server.object(&key.replace(".hprof.gz", tail))).unwrap();
        assert!(!beside.contains(PLANTED) && !beside.contains(SECRET) && !beside.contains(KEY), "{beside}");
    }
    assert_eq!(files_below(dir.path()), Vec::<PathBuf>::new());
}
