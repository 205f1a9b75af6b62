//! Dumps of other writers than a JVM's own command, and damage that looks like something else.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::bed;
use crate::common::hprof_check::raw;
use crate::common::jvm::TestJvm;
use crate::common::secrets::PLANTED;
use crate::common::shape::files_in;
use crate::common::tool::{Ended, Tool, binary};
use crate::common::waiting::{SOON, wait_within};
use crate::redact;
use crate::watch::{Pod, Watcher};
use crate::whole::gz;

fn verified(path: &Path) -> Ended {
    Tool::new(&["verify", "--output", "json"]).arg(path).run()
}

fn instances(walk: &Value) -> u64 {
    walk["records"]["instances"].as_u64().unwrap()
}

/// The agent of JDK 8 writes profiles behind the dump's end record.
#[test]
fn dump_of_the_hprof_agent_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    for (number, options) in ["heap=dump", "heap=all", "cpu=samples,heap=dump"].into_iter().enumerate() {
        let Some(jvm) = TestJvm::builder("8") else { return };
        let path = dir.path().join(format!("{number}.hprof"));
        let jvm = jvm.jvm_arg(format!("-agentlib:hprof={options},format=b,file={}", path.display()));
        let jvm = jvm.arg("markers=100").start();
        jvm.send("exit");
        wait_within("it has ended", SOON, || !jvm.is_alive());
        assert!(instances(&verified(&path).expect(0).receipt()) > 100, "{options}");
        let store = tempfile::tempdir().unwrap();
        let upload = [
            "upload",
            "--output",
            "json",
            "--redact",
            "--delete",
            "--store",
            store.path().to_str().unwrap(),
            "a",
            "b",
            "c",
        ];
        let stored = Tool::new(&upload).arg(&path).run().expect(0).stored();
        assert!(!path.exists());
        verified(&stored).expect(0);
        // What it wrote last is lost.
        let bytes = raw(&stored);
        let cut = bytes.len() - if options == "heap=dump" { 9 } else { 1 };
        std::fs::write(&path, &bytes[..cut]).unwrap();
        verified(&path).expect(5);
        // No record is as short as that.
        std::fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        verified(&path).expect(5);
    }
}

/// The serviceability agent of an installed JDK, if there is one.
fn jhsdb() -> Option<PathBuf> {
    let dirs = std::env::split_paths(&std::env::var_os("PATH")?).collect::<Vec<_>>();
    let found = dirs.iter().map(|dir| dir.join("jhsdb")).find(|path| path.exists());
    found.and_then(|path| path.canonicalize().ok())
}

#[test]
fn dump_of_jhsdb_is_whole() {
    let Some(jhsdb) = jhsdb() else { return bed::skip("there is no jhsdb here") };
    let java = jhsdb.parent().unwrap().join("java");
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.java(java).arg("markers=100").start();
    let dir = tempfile::tempdir().unwrap();
    for options in [&[][..], &["--gz", "1"]] {
        let path = dir.path().join(format!("{}.hprof", options.len()));
        let mut command = Command::new(&jhsdb);
        command.args(["jmap", "--binaryheap"]).args(options).args(["--dumpfile", path.to_str().unwrap()]);
        let output = command.args(["--pid", &jvm.pid().to_string()]).output().unwrap();
        assert!(path.exists(), "{output:?}");
        assert!(instances(&verified(&path).expect(0).receipt()) > 100, "{options:?}");
    }
}

/// A member's header may be longer than a page, and a member may hold nothing.
#[test]
fn gzip_with_a_long_header_is_taken() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(1, 3) else { return };
    let whole = gz(&std::fs::read(sample).unwrap());
    // FEXTRA, as of dictzip (RFC 1952, section 2.3.1.1).
    let extra = [&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 0x88, 0x13][..], &[7; 5000], &whole[10..]].concat();
    let named = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255][..], &[b'n'; 700], &[0], &whole[10..]].concat();
    let watcher = Watcher::start(pod.tool(&[]));
    for (number, bytes) in [extra, named, [&gz(b"")[..], &whole].concat()].iter().enumerate() {
        let path = pod.path(&format!("java_pid{number}.hprof.gz"));
        std::fs::write(&path, bytes).unwrap();
        wait_within("it is stored", SOON, || !path.exists() && pod.dumps().len() == number + 1);
    }
    drop(watcher);
}

#[test]
fn cut_gzip_is_not_said_to_lack_its_end_record() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(1, 3) else { return };
    let whole = gz(&std::fs::read(sample).unwrap());
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("a.hprof.gz");
    std::fs::write(&path, &whole[..whole.len() - 4]).unwrap();
    let upload = ["upload", "--store", store.path().to_str().unwrap(), "a", "b", "c"];
    for ended in [verified(&path), Tool::new(&upload).arg(&path).run()] {
        let error = ended.expect(5).stderr;
        assert!(error.contains("its gzip stream ends early") && !error.contains("end record"), "{error}");
    }
}

/// Top-level records: where each begins.
fn records(dump: &[u8]) -> Vec<usize> {
    let (mut at, mut starts) = (31, Vec::new());
    while at < dump.len() {
        starts.push(at);
        at += 9 + u32::from_be_bytes(dump[at + 5..at + 9].try_into().unwrap()) as usize;
    }
    starts
}

/// Lengths that are others, and a byte that is lost: then text stands where something else is expected.
#[test]
fn redacted_remains_tell_no_text() {
    let Some(jvm) = redact::jvm("17") else { return };
    let (store, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dump = raw(redact::dump(&jvm, store.path(), &["--all"]).stored());
    let heap = records(&dump).into_iter().find(|start| dump[*start] == 0x1c).unwrap();
    let text = PLANTED.as_bytes();
    let is_text = |at: &usize| &dump[*at..*at + text.len()] == text;
    // The String that stands before its array: 25 bytes of head, which end with the length, and 14 of values.
    let strings = (heap + 57..dump.len() - text.len()).filter(is_text).map(|at| at - 18 - 39);
    let is_string = |at: &usize| (dump[*at], dump[*at + 24], dump[*at + 39]) == (0x21, 14, 0x23);
    let string = strings.into_iter().find(is_string).expect("no String before its text");
    let frame = records(&dump).into_iter().rfind(|start| dump[*start] == 4 && *start < heap).unwrap();
    let with = |at: usize, byte: u8| [&dump[..at], &[byte], &dump[at + 1..]].concat();
    let damages = [
        ("a length of an instance", with(string + 23, 0x10)),
        ("a length outside of the heap", with(frame + 6, 0x40)),
        ("a lost byte", [&dump[..string + 17], &dump[string + 18..]].concat()),
    ];
    for (what, damaged) in damages {
        let path = dir.path().join("a.hprof");
        std::fs::write(&path, damaged).unwrap();
        for redact in ["--redact=strings", "--redact=all"] {
            let words = ["upload", redact, "--allow-truncated", "--output", "json", "--store"];
            let ended = Tool::new(&words).arg(store.path()).args(&["a", "b", "c"]).arg(&path).run().expect(0);
            let told = raw(ended.stored());
            let texts = told.windows(text.len()).filter(|bytes| *bytes == text).count();
            assert_eq!(texts, 0, "{what}, {redact}");
        }
    }
}

/// The run that goes on reaches the store by the same proxy. A proxy's password is no part of a command.
#[test]
fn resume_names_the_proxy() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(1, 3) else { return };
    for (proxy, is_named) in [("http://127.0.0.1:1", true), ("http://user:hidden@127.0.0.1:1", false)] {
        let words = ["upload", "--store", "s3://b/c", "--endpoint", "http://127.0.0.1:9", "--region", "r"];
        let tool = Tool::new(&words).args(&["--proxy", proxy, "--retry-for", "1s", "a", "b", "c"]).arg(&sample);
        let tool = tool.env("JMAP_DUMP_ACCESS_KEY_ID", "key").env("JMAP_DUMP_SECRET_ACCESS_KEY", "secret");
        let ended = tool.args(&["--output", "json"]).run();
        let resume = ended.receipt()["kept"]["resume"].as_str().unwrap().to_owned();
        assert_eq!(resume.contains(&format!("--proxy {proxy} ")), is_named, "{resume}");
        assert!(!resume.contains("hidden"), "{resume}");
    }
}

/// There is nothing else that they do.
#[test]
fn answers_that_nobody_gets_are_no_success() {
    let store = tempfile::tempdir().unwrap();
    let list = format!("list a --store {}", store.path().display());
    for command in ["ps", &list, "presign --store s3://b/c --region r a b c"] {
        for (output, said) in [(">&-", "was closed"), (">/dev/full", "No space left"), ("1</dev/null", "Bad file")] {
            let line = format!("exec {} {command} {output}", binary().display());
            let tool = Tool::of(Path::new("/bin/bash"), &["-c", &line]);
            let tool = tool.env("JMAP_DUMP_ACCESS_KEY_ID", "key").env("JMAP_DUMP_SECRET_ACCESS_KEY", "secret");
            let ended = tool.run();
            assert_eq!(ended.code, 6, "{command} {output}: {}", ended.stderr);
            assert!(ended.stderr.contains(said), "{command} {output}: {}", ended.stderr);
        }
        // A reader that has seen enough.
        let line = format!("{} {command} | true; exit ${{PIPESTATUS[0]}}", binary().display());
        let tool = Tool::of(Path::new("/bin/bash"), &["-c", &line]);
        let tool = tool.env("JMAP_DUMP_ACCESS_KEY_ID", "key").env("JMAP_DUMP_SECRET_ACCESS_KEY", "secret");
        tool.run().expect(0);
    }
    assert!(files_in(store.path()).is_empty());
}

/// Neither by a good checksum of its copy, nor on its way back.
#[test]
fn copy_of_a_damaged_gzip_is_never_whole() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(4, 3) else { return };
    let whole = gz(&std::fs::read(sample).unwrap());
    let (checksum, length) = (whole.len() - 8, whole.len() - 1);
    let other = |at: usize| [&whole[..at], &[whole[at] ^ 1], &whole[at + 1..]].concat();
    let behind = [&whole[..], b"other"].concat();
    for (what, bytes) in [("checksum", other(checksum)), ("length", other(length)), ("bytes behind", behind)] {
        let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, place) = (dir.path().join("a.hprof.gz"), store.path().to_str().unwrap());
        std::fs::write(&path, &bytes).unwrap();
        let fetch = |object: &Path| {
            let key = object.strip_prefix(store.path()).unwrap().to_str().unwrap().to_owned();
            Tool::new(&["fetch", "--store", place, "--to", dir.path().to_str().unwrap(), &key])
        };
        for redact in [&["--redact"][..], &["--redact=all"], &[]] {
            let upload = ["upload", "--output", "json", "--allow-truncated", "--store", place, "a", "b", "c"];
            let object = Tool::new(&upload).args(redact).arg(&path).run().expect(0).stored();
            verified(&object).expect(5);
            let told = fetch(&object).args(&["--output", "json"]).run().expect(0).receipt();
            assert!(told["verified"].as_str().unwrap().contains("the dump is not whole"), "{what} {redact:?}: {told}");
            std::fs::remove_file(dir.path().join(object.file_name().unwrap())).unwrap();
            let plain = fetch(&object).arg("--gunzip").run();
            assert!(plain.code == 5 || !redact.is_empty(), "{what} {redact:?}: {plain:?}");
            assert!(!plain.stderr.contains("--dir"), "{what} {redact:?}: {}", plain.stderr);
        }
    }
}
