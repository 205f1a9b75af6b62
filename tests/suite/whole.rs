//! What is called whole is whole, what is damaged is told and stays, and no name, file system or descriptor hides that.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::bed::cannot_run;
use crate::common::hprof_check::assert_complete;
use crate::common::shape::{Shape, files_in};
use crate::common::tool::{Ended, Tool, binary};
use crate::common::waiting::{SOON, wait_within};
use crate::watch::{Pod, Watcher};

pub fn gz(raw: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}

/// The checksum at its end is another one.
fn wrong_checksum(raw: &[u8]) -> Vec<u8> {
    let mut gz = gz(raw);
    let at = gz.len() - 8;
    gz[at] ^= 1;
    gz
}

fn verified(path: &Path) -> Ended {
    Tool::new(&["verify", "--output", "json"]).arg(path).run()
}

fn upload(store: &Path, words: &[&str]) -> Tool {
    Tool::new(&["upload", "--output", "json", "--store", store.to_str().unwrap()]).args(words)
}

#[track_caller]
fn assert_told_damaged(receipt: &Value, what: &str) {
    assert_eq!(receipt["dump"]["walk"]["complete"], false, "{what}: {receipt}");
    let warnings = receipt["warnings"].to_string();
    assert!(warnings.contains("is damaged: its gzip stream"), "{what}: {receipt}");
}

#[test]
fn damaged_gzip_is_told_and_stays() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(4, 3) else { return };
    let raw = std::fs::read(&sample).unwrap();
    let (store, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("java_pid7.hprof.gz");
    let (checksum, whole) = (wrong_checksum(&raw), gz(&raw));
    let cut = whole[..whole.len() - 4].to_vec();
    let behind = [&whole[..], b"other"].concat();
    let middle = [&wrong_checksum(&raw[..raw.len() / 2])[..], &gz(&raw[raw.len() / 2..])].concat();
    for (what, bytes) in [("checksum", &checksum), ("cut", &cut), ("behind", &behind), ("middle", &middle)] {
        for redact in [&["--redact=strings"][..], &["--redact=all"], &[]] {
            std::fs::write(&path, bytes).unwrap();
            let words = ["--delete", "--allow-truncated", "shop", "cart", "prod", path.to_str().unwrap()];
            let ended = upload(store.path(), &words).args(redact).run().expect(0);
            assert_told_damaged(&ended.receipt(), what);
            assert!(path.exists(), "{what} {redact:?}: it is removed");
        }
        verified(&path).expect(5);
    }
    let _watcher = Watcher::start(pod.tool(&["--redact=strings", "--pattern", "*.log.gz"]));
    std::fs::write(pod.path("java_pid8.hprof.gz"), &checksum).unwrap();
    std::fs::write(pod.path("gc.log.gz"), wrong_checksum(b"a log")).unwrap();
    let receipts = || -> Vec<Value> {
        let keys = pod.server.objects().into_iter().filter(|key| key.ends_with(".json"));
        keys.map(|key| serde_json::from_slice(&std::fs::read(pod.server.object(&key)).unwrap()).unwrap()).collect()
    };
    wait_within("both are stored", SOON, || receipts().len() == 2);
    for receipt in receipts() {
        assert!(receipt["warnings"].to_string().contains("is damaged: its gzip stream"), "{receipt}");
    }
    let aside = || std::fs::read_dir(pod.path("jmap-dump-tool/stored")).map_or(0, Iterator::count);
    wait_within("both are put aside", SOON, || aside() == 2);
}

/// One HEAP_DUMP to the end of the file, as `jhsdb jmap --binaryheap` writes it.
fn in_one_record(raw: &[u8]) -> Vec<u8> {
    let (mut out, mut heap, mut at) = (raw[..31].to_vec(), Vec::<u8>::new(), 31);
    while at < raw.len() {
        let len = u32::from_be_bytes(raw[at + 5..at + 9].try_into().unwrap()) as usize;
        match raw[at] {
            0x1c => heap.extend(&raw[at + 9..at + 9 + len]),
            0x2c => {}
            _ => out.extend(&raw[at..at + 9 + len]),
        }
        at += 9 + len;
    }
    out.extend([0x0c, 0, 0, 0, 0]);
    out.extend(u32::try_from(heap.len()).unwrap().to_be_bytes());
    out.extend(heap);
    out
}

#[test]
fn heap_dump_record_and_padded_gzip_are_whole() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(4, 3) else { return };
    let raw = std::fs::read(&sample).unwrap();
    let one = in_one_record(&raw);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.hprof");
    let judged = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        verified(&path)
    };
    let objects = |ended: &Ended| ended.receipt()["records"]["instances"].clone();
    let all = objects(&judged(&raw).expect(0));
    for whole in [one.clone(), gz(&one), [&gz(&raw)[..], &[0; 3000]].concat(), [&gz(&one)[..], &[0]].concat()] {
        assert_eq!(objects(&judged(&whole).expect(0)), all);
    }
    judged(&one[..one.len() - 1]).expect(5);
    judged(&[&one[..], &[1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9]].concat()).expect(5);
    let ended = judged(&[&gz(&raw)[..], b"other bytes"].concat()).expect(5);
    assert!(ended.stderr.contains("11 bytes follow the last member of the gzip stream"), "{}", ended.stderr);
    // Stored as it is, and whole in the store as well.
    judged(&[&gz(&one)[..], &[0; 512]].concat()).expect(0);
    let store = tempfile::tempdir().unwrap();
    let ended = upload(store.path(), &["--delete", "shop", "cart", "prod", path.to_str().unwrap()]).run().expect(0);
    assert_eq!(ended.receipt()["warnings"].as_array().map_or(0, Vec::len), 0, "{ended:?}");
    assert!(!path.exists());
    verified(&ended.stored()).expect(0);
}

/// A FUSE mount of `from`; unmounted when it is dropped.
struct Fuse(tempfile::TempDir);

impl Fuse {
    fn of(from: &Path) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("bindfs").arg(from).arg(dir.path()).status();
        if !Path::new("/dev/fuse").exists() || !mounted.is_ok_and(|status| status.success()) {
            cannot_run("there is no FUSE here: install bindfs, and give /dev/fuse");
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l".as_ref(), self.0.path().as_os_str()]).status();
    }
}

/// The kernel gives a lease there, though a process behind another mount still writes.
#[test]
fn dump_that_grows_behind_fuse_is_not_taken() {
    let (backing, samples, store) = (tempfile::tempdir().unwrap(), Pod::new(), tempfile::tempdir().unwrap());
    let Some(sample) = samples.sample(4, 3) else { return };
    let (Some(written), Some(watched)) = (Fuse::of(backing.path()), Fuse::of(backing.path())) else { return };
    let raw = std::fs::read(sample).unwrap();
    let name = "java_pid7.hprof";
    let mut writer = File::create(written.0.path().join(name)).unwrap();
    writer.write_all(&raw[..raw.len() / 2]).unwrap();
    writer.sync_all().unwrap();
    let dir = watched.0.path().to_str().unwrap();
    let words = ["watch", "shop", "cart", "prod", dir, "--store", store.path().to_str().unwrap(), "--output", "json"];
    let watcher = Watcher::start(Tool::new(&words));
    // Longer than it took, and than a file without an end counts as being written where leases tell.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(7) {
        assert!(written.0.path().join(name).exists(), "taken while it was written, after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    writer.write_all(&raw[raw.len() / 2..]).unwrap();
    drop(writer);
    let dumps = || files_in(store.path()).into_iter().filter(|path| path.ends_with(".hprof.gz")).collect::<Vec<_>>();
    wait_within("it is stored", SOON, || dumps().len() == 1 && !written.0.path().join(name).exists());
    assert_complete(&dumps()[0]);
    drop(watcher);
}

/// Names that are no UTF-8, and as long as a name can be.
fn odd_names() -> Vec<Vec<u8>> {
    let mut names = vec![b"java_\xff\xfe.hprof".to_vec(), b"\xc3.bin".to_vec()];
    for len in [240, 248, 249, 250, 254, 255] {
        let mut name = b"x".repeat(len - 6);
        name.extend(b".hprof");
        names.push(name);
    }
    names.push([&b"\xff".repeat(245)[..], b".hprof"].concat());
    names
}

#[test]
fn dump_of_any_name_is_taken_and_resumed() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(1, 3) else { return };
    let path_of = |name: &[u8]| pod.dir.path().join(OsStr::from_bytes(name));
    odd_names().iter().for_each(|name| _ = std::fs::copy(&sample, path_of(name)).unwrap());
    let log = [&b"y".repeat(247)[..], b".log"].concat();
    std::fs::write(path_of(&log), "text").unwrap();
    std::fs::write(path_of(b"gc\xff.log"), "text").unwrap();
    let count = odd_names().len() + 2;
    // The longest name of a pod that a key takes.
    let (store, dir) = (tempfile::tempdir().unwrap(), pod.dir.path().to_str().unwrap());
    let tool = Tool::new(&["watch", "shop", "cart", "prod", dir, "--store", store.path().to_str().unwrap()])
        .args(&["--pattern", "*.log", "--output", "json"])
        .env("POD_NAME", &"p".repeat(128));
    let watcher = Watcher::start(tool);
    let stored = || files_in(store.path()).into_iter().filter(|key| key.ends_with(".gz")).count();
    wait_within("all are stored", SOON, || stored() == count && pod.files().is_empty());
    drop(watcher);

    // By name, and by the journal that a failed upload has left.
    let (store, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let closed = dir.path().join("closed");
    std::fs::write(&closed, "no directory").unwrap();
    for name in odd_names() {
        let path = dir.path().join(OsStr::from_bytes(&name));
        std::fs::copy(&sample, &path).unwrap();
        verified(&path).expect(0);
        let words = ["--delete", "shop", "cart", "prod"];
        let ended = upload(&closed, &words).arg(&path).run();
        assert_eq!(ended.code, 9, "{ended:?}");
        // A name that leaves no room for the end of a journal's has none.
        assert_eq!(left_in(dir.path()).len(), if name.len() > 248 { 2 } else { 3 }, "{name:?}");
        let tool = upload(store.path(), &["--delete"]);
        let tool = if name.len() > 248 {
            tool.args(&words[1..]).arg(&path)
        } else {
            tool.args(&["--resume", dir.path().to_str().unwrap()])
        };
        let ended = tool.run().expect(0);
        assert_eq!(left_in(dir.path()), std::slice::from_ref(&closed), "{name:?}: {ended:?}");
    }
    assert_eq!(files_in(store.path()).iter().filter(|file| file.ends_with(".hprof.gz")).count(), odd_names().len());
}

/// With the words that were given, and for a file whose name is no text.
#[test]
fn resume_of_a_failed_upload_repeats_its_flags() {
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pod = Pod::new();
    let Some(sample) = pod.sample(1, 3) else { return };
    let raw = std::fs::read(sample).unwrap();
    let path = dir.path().join(OsStr::from_bytes(b"it's \xff.hprof"));
    std::fs::write(&path, &raw[..raw.len() - 9]).unwrap();
    let closed = dir.path().join("closed");
    std::fs::write(&closed, "no directory").unwrap();
    let words = ["--delete", "--allow-truncated", "shop", "cart", "prod"];
    let ended = upload(&closed, &words).arg(&path).run();
    assert!([7, 9].contains(&ended.code), "{ended:?}");
    let resume = ended.receipt()["kept"]["resume"].as_str().unwrap().to_owned();
    assert!(resume.contains(" --delete ") && resume.contains(" --allow-truncated "), "{resume}");
    let closed = closed.to_str().unwrap();
    let line = resume
        .replacen("jmap-dump-tool", binary().to_str().unwrap(), 1)
        .replace(closed, store.path().to_str().unwrap());
    let output = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    assert!(!path.exists(), "{line}");
}

/// A run by a shell that changes something before.
fn by_shell(before: &str, after: &str, shape: &Shape) -> Tool {
    let line = format!("{before}; exec {} \"$@\" {after}", binary().display());
    Tool::of(Path::new("/bin/bash"), &["-c", &line, "run", "shop", "cart", "prod", "--output", "json"]).args(&[
        "--pid",
        &shape.jvm.pid().to_string(),
        "--dir",
        shape.dumps.path().to_str().unwrap(),
    ])
}

fn left_in(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn closed_standard_output_takes_no_dump() {
    let Some(shape) = shape() else { return };
    for (after, said) in [
        (">&-", "was closed"),
        ("1<&-", "was closed"),
        ("1</dev/null", "only open for reading"),
        ("<&- >&- ", "was closed"),
    ] {
        let ended = by_shell("true", after, &shape).args(&["--store", "-"]).run();
        assert_eq!(ended.code, 2, "{after}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{after}: {}", ended.stderr);
    }
    // With nobody to tell it to.
    let ended = by_shell("true", "<&- >&- 2>&-", &shape).args(&["--store", "-"]).run();
    assert_eq!(ended.code, 2);
    assert_eq!(left_in(shape.dumps.path()), Vec::<PathBuf>::new());
    // The dump goes elsewhere: nothing else is lost than the receipt.
    let store = tempfile::tempdir().unwrap();
    let ended = by_shell("true", "<&- >&- 2>&-", &shape).args(&["--store", store.path().to_str().unwrap()]).run();
    assert_eq!(ended.code, 0);
    let dump = files_in(store.path()).into_iter().find(|path| path.ends_with(".hprof.gz")).unwrap();
    assert_complete(dump);
    // What is read from a closed standard input is no empty dump and no empty settings.
    let line = format!("exec {} upload a b c - --store {} <&-", binary().display(), store.path().display());
    let ended = Tool::of(Path::new("/bin/bash"), &["-c", &line]).run().expect(2);
    assert!(ended.stderr.contains("standard input was closed"), "{}", ended.stderr);
    let ended = by_shell("true", "<&-", &shape).args(&["--config", "-"]).run().expect(2);
    assert!(ended.stderr.contains("standard input was closed"), "{}", ended.stderr);
}

#[test]
fn few_descriptors_and_odd_umask_leave_nothing() {
    let Some(shape) = shape() else { return };
    for umask in ["0477", "0777", "0277", "0177", "0000"] {
        let store = tempfile::tempdir().unwrap();
        let ended =
            by_shell(&format!("umask {umask}"), "", &shape).args(&["--store", store.path().to_str().unwrap()]).run();
        assert_eq!(left_in(shape.dumps.path()), Vec::<PathBuf>::new(), "umask {umask}: {}", ended.stderr);
        assert_complete(ended.expect(0).stored());
    }
    for limit in (8..64).step_by(3) {
        let store = tempfile::tempdir().unwrap();
        let ended = by_shell(&format!("ulimit -n {limit}"), "", &shape)
            .args(&["--store", store.path().to_str().unwrap()])
            .run();
        assert_eq!(left_in(shape.dumps.path()), Vec::<PathBuf>::new(), "ulimit -n {limit}: {}", ended.stderr);
        assert!([0, 6].contains(&ended.code), "ulimit -n {limit}: {} {}", ended.code, ended.stderr);
        if ended.code == 6 {
            assert!(ended.stderr.contains("ulimit -n 1024"), "{}", ended.stderr);
            assert_eq!(files_in(store.path()).len(), 0, "ulimit -n {limit}");
        }
    }
    // A soft limit is no limit.
    let ended = by_shell("ulimit -Sn 14", "", &shape).args(&["--store", shape.dumps.path().to_str().unwrap()]).run();
    ended.expect(0);
}

fn shape() -> Option<Shape> {
    Shape::new("17", 4)
}
