//! `--redact`: what a dump must not tell, and what it still tells.

use std::path::Path;

use crate::common::bed::VERSIONS;
use crate::common::heap_graph::graph;
use crate::common::hprof_check::{assert_complete, raw};
use crate::common::jvm::TestJvm;
use crate::common::s3::{BUCKET, S3Server};
use crate::common::secrets::PLANTED;
use crate::common::tool::{Ended, Tool, again_if_faster};
use crate::common::waiting::wait_until;
use crate::secrets::files_below;

/// Never in a class file: what is there is a symbol, and stays.
fn secret() -> String {
    PLANTED.to_owned()
}

const NUMBER: u64 = 0x5EC2_E75E_C2E7;
const READABLE: u64 = 0x600D_600D_600D;
const THREAD: &str = "a readable thread";

pub(crate) fn jvm(version: &str) -> Option<TestJvm> {
    jvm_of(version, "mb=8")
}

pub(crate) fn jvm_of(version: &str, megabytes: &str) -> Option<TestJvm> {
    let jvm = TestJvm::builder(version)?.arg("markers=555").arg(megabytes).arg(format!("plant={}", secret()));
    Some(jvm.jvm_arg(format!("-Dplanted.argument={}", secret())).start())
}

pub(crate) fn dump(jvm: &TestJvm, store: &Path, args: &[&str]) -> Ended {
    Tool::dump(jvm.pid(), store.to_str().unwrap()).args(args).run().expect(0)
}

fn holds(dump: &[u8], bytes: &[u8]) -> bool {
    dump.windows(bytes.len()).any(|window| window == bytes)
}

/// Each way in which a text may stand in a dump.
fn spellings(text: &str) -> [Vec<u8>; 3] {
    let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
    [text.as_bytes().to_vec(), utf16(u16::to_be_bytes), utf16(u16::to_le_bytes)]
}

#[track_caller]
pub(crate) fn assert_tells(dump: &[u8], text: &str, expected: bool) {
    let told = spellings(text).iter().any(|spelling| holds(dump, spelling));
    assert_eq!(told, expected, "'{text}'");
}

#[test]
fn redaction_removes_strings_and_keeps_thread_names() {
    for version in VERSIONS {
        let (store, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm(version)) else { continue };
        let plain = raw(dump(&jvm, store.path(), &[]).stored());
        let [latin, big, little] = spellings(&secret());
        assert!(holds(&plain, &latin) && (holds(&plain, &big) || holds(&plain, &little)), "JDK {version}: planted");
        let ended = dump(&jvm, store.path(), &["--redact"]);
        assert_eq!(ended.receipt()["redacted"], "strings");
        assert_eq!(assert_complete(ended.stored()).of("Marker"), 555, "JDK {version}");
        let redacted = raw(ended.stored());
        assert_tells(&redacted, &secret(), false);
        assert_tells(&redacted, "readable-note", true); // a literal is a symbol of its class
        assert_tells(&redacted, "readable-note-kept", false);
        assert_tells(&redacted, THREAD, true);
        assert!(holds(&redacted, &NUMBER.to_be_bytes()), "JDK {version}: numbers stay");
        assert_eq!(jvm.say("ping"), "pong");
    }
}

#[test]
fn redact_all_removes_numbers_but_of_kept_classes() {
    for version in VERSIONS {
        let (store, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm(version)) else { continue };
        let plain = raw(dump(&jvm, store.path(), &[]).stored());
        assert!(holds(&plain, &NUMBER.to_be_bytes()) && holds(&plain, &READABLE.to_be_bytes()));
        let ended = dump(&jvm, store.path(), &["--redact", "all"]);
        assert_eq!(ended.receipt()["redacted"], "all");
        assert_eq!(assert_complete(ended.stored()).of("Marker"), 555, "JDK {version}");
        let all = raw(ended.stored());
        assert!(!holds(&all, &NUMBER.to_be_bytes()) && !holds(&all, &READABLE.to_be_bytes()), "JDK {version}");
        assert_tells(&all, &secret(), false);
        assert_tells(&all, "readable-note-kept", false);
        assert_tells(&all, THREAD, true);
        let ended = dump(&jvm, store.path(), &["--redact=all", "--keep-class", "Order,no.such.*"]);
        let kept = raw(ended.stored());
        assert!(holds(&kept, &READABLE.to_be_bytes()) && !holds(&kept, &NUMBER.to_be_bytes()), "JDK {version}");
        assert_tells(&kept, &secret(), false);
        assert_tells(&kept, "readable-note-kept", true);
        assert_tells(&kept, "readable-note-letters", true);
        assert_tells(&kept, THREAD, true);
    }
}

/// The same dump, so that both can be compared object by object.
#[test]
fn redacted_dump_keeps_objects_references_and_sizes() {
    for version in VERSIONS {
        let (store, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm(version)) else { continue };
        let plain = dump(&jvm, store.path(), &[]).stored();
        let file = store.path().join("plain.hprof");
        std::fs::write(&file, raw(&plain)).unwrap();
        let (objects, bytes) = (graph(&file), raw(&plain));
        assert!(objects.len() > 1000);
        for (redact, source) in [("--redact=strings", &file), ("--redact=all", &file), ("--redact=all", &plain)] {
            let words = ["upload", "shop", "cart", "prod", source.to_str().unwrap(), redact, "--output", "json"];
            // Its name tells the key, which is taken in the store that it is in.
            let other = tempfile::tempdir().unwrap();
            let ended = Tool::new(&words).args(&["--store", other.path().to_str().unwrap()]).run().expect(0);
            let redacted = raw(ended.stored());
            assert_eq!(redacted.len(), bytes.len(), "JDK {version} {redact}");
            assert!(graph(ended.stored()) == objects, "JDK {version} {redact}");
            assert_tells(&redacted, &secret(), false);
            assert_tells(&redacted, THREAD, true);
            assert_eq!(holds(&redacted, &NUMBER.to_be_bytes()), redact == "--redact=strings");
            // Beside the file there was nothing but the dump.
            assert!(source.exists() && ended.receipt()["redacted"] == redact.trim_start_matches("--redact="));
        }
    }
}

/// Its parts have objects of classes that only the first one describes.
#[test]
fn dump_by_many_threads_loses_numbers_and_no_reference() {
    let Some(builder) = TestJvm::builder("25") else { return };
    let (store, secret) = (tempfile::tempdir().unwrap(), format!("plant={}", secret()));
    let builder = builder.jvm_arg("-XX:ActiveProcessorCount=16").jvm_arg("-XX:+UseParallelGC");
    let jvm = builder.arg("markers=555").arg("mb=100").arg(secret).start();
    let plain = store.path().join("plain.hprof");
    std::fs::write(&plain, raw(dump(&jvm, store.path(), &[]).stored())).unwrap();
    let ended = again_if_faster(|| dump(&jvm, store.path(), &["--redact=all", "-vv"]));
    assert!(ended.stderr.contains("Heap(3)"), "not many parts: {}", ended.stderr);
    assert_eq!(ended.receipt()["warnings"], serde_json::Value::Null, "{ended:?}");
    assert_eq!(assert_complete(ended.stored()).of("Marker"), 555);
    assert!(!holds(&raw(ended.stored()), &NUMBER.to_be_bytes()));
    let to_some = |references: &[u64]| references.iter().filter(|id| **id != 0).count();
    let references = |file: &Path| graph(file).values().map(|node| to_some(&node.references)).sum::<usize>();
    let (before, after) = (references(&plain), references(&ended.stored()));
    assert!(before.abs_diff(after) < before / 50, "{before} references, then {after}");
}

/// Reading all of a large dump twice before it is read for good would take three times as long.
#[test]
fn the_threads_of_a_file_are_looked_up_in_a_few_places_of_it() {
    for (version, flag) in [("8", "-Xmx1g"), ("11", "-Xmx1g"), ("17", "-XX:+UseParallelGC"), ("25", "-XX:+UseSerialGC")]
    {
        let Some(builder) = TestJvm::builder(version) else { continue };
        let jvm = builder.jvm_arg(flag).arg("markers=555").arg("mb=100").arg(format!("plant={}", secret())).start();
        let (ended, _store) = uploaded(&jvm);
        assert!(ended.stderr.contains("objects are looked for in"), "JDK {version}: {}", ended.stderr);
        assert!(!ended.stderr.contains("from front to end"), "JDK {version}: {}", ended.stderr);
    }
}

/// Their addresses are in no order.
#[test]
fn the_threads_of_a_heap_without_order_keep_their_names_too() {
    let Some(builder) = TestJvm::builder("17") else { return };
    let jvm =
        builder.jvm_arg("-XX:+UseZGC").arg("markers=555").arg("mb=100").arg(format!("plant={}", secret())).start();
    uploaded(&jvm);
}

/// A plain file with its strings taken out.
fn uploaded(jvm: &TestJvm) -> (Ended, tempfile::TempDir) {
    let store = tempfile::tempdir().unwrap();
    let file = store.path().join("java_pid7.hprof");
    std::fs::write(&file, raw(dump(jvm, store.path(), &[]).stored())).unwrap();
    let words = ["upload", "shop", "cart", "prod", file.to_str().unwrap(), "--redact", "-vv", "--output", "json"];
    let ended = Tool::new(&words).args(&["--store", store.path().to_str().unwrap()]).run().expect(0);
    let redacted = raw(ended.stored());
    assert_tells(&redacted, &secret(), false);
    assert_tells(&redacted, THREAD, true);
    (ended, store)
}

#[test]
fn without_a_disk_it_is_redacted_in_passing() {
    let server = S3Server::start();
    for version in ["17", "21", "25"] {
        let Some(jvm) = jvm(version) else { continue };
        for redact in ["--redact=strings", "--redact=all"] {
            let ended = Tool::dump(jvm.pid(), &format!("s3://{BUCKET}"))
                .with_s3(&server)
                .args(&["--no-disk", redact])
                .run()
                .expect(0);
            let object = server.object(ended.receipt()["object"]["key"].as_str().unwrap());
            assert_eq!(assert_complete(&object).of("Marker"), 555, "JDK {version}");
            let redacted = raw(object);
            assert_tells(&redacted, &secret(), false);
            assert_tells(&redacted, THREAD, true);
            assert_eq!(holds(&redacted, &NUMBER.to_be_bytes()), redact == "--redact=strings", "JDK {version}");
        }
    }
}

#[test]
fn a_truncated_dump_tells_no_more_than_a_whole_one() {
    let (store, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm("17")) else { return };
    let whole = raw(dump(&jvm, store.path(), &[]).stored());
    for (name, bytes) in [("cut", whole[..whole.len() * 2 / 3].to_vec()), ("broken", broken(&whole))] {
        let file = store.path().join(format!("{name}.hprof"));
        std::fs::write(&file, bytes).unwrap();
        let words = ["upload", "shop", "cart", "prod", file.to_str().unwrap(), "--redact", "--output", "json"];
        let store = store.path().to_str().unwrap();
        let ended = Tool::new(&words).args(&["--store", store, "--allow-truncated"]).run().expect(0);
        assert_tells(&raw(ended.stored()), &secret(), false);
    }
}

/// No record from the middle of its heap on, and the secret behind that.
fn broken(whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole[..whole.len() / 2].to_vec();
    bytes.extend([0xEE; 4096]);
    bytes.extend(secret().into_bytes());
    bytes.extend([0xEE; 4096]);
    bytes
}

/// What is kept after a failure is redacted, or its journal says that it is to be.
#[test]
fn kept_dump_is_stored_as_redacted_as_it_was_begun() {
    let (dir, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm("17")) else { return };
    let ended = Tool::dump(jvm.pid(), "s3://dumps/heaps")
        .args(&["--endpoint", "http://127.0.0.1:1", "--region", "x", "--retry-for", "1s", "--store-down", "keep"])
        .args(&["--redact", "--dir", dir.path().to_str().unwrap()])
        .with_key()
        .run()
        .expect(7);
    assert_tells(&raw(ended.receipt()["kept"]["path"].as_str().unwrap()), &secret(), false);
    let store = tempfile::tempdir().unwrap();
    let words = ["upload", "--resume", dir.path().to_str().unwrap(), "--output", "json"];
    let stored = Tool::new(&words).args(&["--store", store.path().to_str().unwrap()]).run().expect(0);
    assert_eq!(stored.receipt()["redacted"], "strings", "{stored:?}");
    assert_tells(&raw(stored.stored()), &secret(), false);
}

#[test]
fn unredacted_upload_is_begun_anew_with_redaction() {
    let (server, Some(jvm)) = (S3Server::start(), jvm_of("17", "mb=60")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("heap.hprof");
    std::fs::write(&file, raw(dump(&jvm, dir.path(), &[]).stored())).unwrap();
    let upload = |redact: &[&str]| {
        Tool::new(&["upload", "shop", "cart", "prod", file.to_str().unwrap(), "--output", "json"])
            .with_s3(&server)
            .args(&["--store", &format!("s3://{BUCKET}"), "--retry-for", "1s"])
            .args(redact)
            .run()
    };
    server.die_after_parts(1);
    upload(&[]).expect(7);
    server.revive();
    let ended = upload(&["--redact"]).expect(0);
    assert_eq!(server.listed_uploads(), Vec::<String>::new(), "what was sent before is not left there");
    let object = server.object(ended.receipt()["object"]["key"].as_str().unwrap());
    assert_tells(&raw(object), &secret(), false);
}

/// The journal says what is to be taken out, wherever the file goes then.
#[test]
fn resumed_dump_is_redacted_at_least_as_it_was_begun() {
    let (dir, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm("17")) else { return };
    let file = dir.path().join("heap.hprof");
    std::fs::write(&file, raw(dump(&jvm, dir.path(), &[]).stored())).unwrap();
    let down = ["--store", "s3://dumps", "--endpoint", "http://127.0.0.1:1", "--region", "x", "--retry-for", "1s"];
    let upload = |env: &str, flags: &[&str]| {
        Tool::new(&["upload", "shop", "cart", env, file.to_str().unwrap(), "--output", "json"])
            .args(flags)
            .with_key()
            .run()
    };
    upload("prod", &[&down[..], &["--redact"]].concat()).expect(9);
    let store = tempfile::tempdir().unwrap();
    let ended = upload("staging", &["--store", store.path().to_str().unwrap()]).expect(0);
    assert_eq!(ended.receipt()["redacted"], "strings");
    assert_tells(&raw(ended.stored()), &secret(), false);
    upload("prod", &[&down[..], &["--redact"]].concat()).expect(9);
    let ended = upload("prod", &["--store", store.path().to_str().unwrap(), "--redact=all"]).expect(0);
    assert_eq!(ended.receipt()["redacted"], "all");
    assert!(!holds(&raw(ended.stored()), &NUMBER.to_be_bytes()));
}

#[test]
fn truncated_gzip_is_redacted_as_far_as_it_goes() {
    let (dir, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm("17")) else { return };
    let whole = std::fs::read(dump(&jvm, dir.path(), &[]).stored()).unwrap();
    let file = dir.path().join("cut.hprof.gz");
    std::fs::write(&file, &whole[..whole.len() * 9 / 10]).unwrap();
    let words = ["upload", "shop", "cart", "prod", file.to_str().unwrap(), "--redact", "--output", "json"];
    let store = dir.path().join("store");
    let ended = Tool::new(&words).args(&["--store", store.to_str().unwrap(), "--allow-truncated"]).run().expect(0);
    assert_eq!(ended.receipt()["dump"]["walk"]["complete"], false);
    let redacted = raw(ended.stored());
    assert!(redacted.len() > 1_000_000);
    assert_tells(&redacted, &secret(), false);
}

/// The sidecar: what a JVM wrote is stored redacted, and a part of a dump that nobody can redact is not stored at all.
#[test]
fn a_watcher_stores_nothing_that_is_not_redacted() {
    let (dir, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm("25")) else { return };
    let (store, watched) = (dir.path().join("store"), dir.path().join("dumps"));
    std::fs::create_dir(&watched).unwrap();
    let plain = raw(dump(&jvm, dir.path(), &[]).stored());
    std::fs::write(watched.join("java_pid7.hprof"), &plain).unwrap();
    // As a JVM leaves it that dies while it merges.
    std::fs::write(watched.join("java_pid7.hprof.p1"), &plain[plain.len() / 2..]).unwrap();
    let words = ["watch", "shop", "cart", "prod", watched.to_str().unwrap(), "--redact", "--output", "json"];
    let run = Tool::new(&words).args(&["--store", store.to_str().unwrap(), "--grace", "1s"]).spawn();
    let stored = || files_below(&store).into_iter().filter(|path| path.extension().is_some_and(|e| e == "gz"));
    wait_until("the dump", || stored().count() == 1);
    let status = watched.join("jmap-dump-tool/status.json");
    let tells = |what: &str| std::fs::read_to_string(&status).is_ok_and(|text| text.contains(what));
    wait_until("the obstacle", || tells("cannot be redacted by itself"));
    run.signal(rustix::process::Signal::TERM);
    let ended = run.wait();
    assert_eq!(stored().count(), 1, "{ended:?}");
    let redacted = raw(stored().next().unwrap());
    assert_tells(&redacted, &secret(), false);
    assert_eq!(redacted.len(), plain.len());
    assert!(files_below(&watched).iter().any(|path| path.to_string_lossy().ends_with(".p1")));
}

#[test]
fn contradictions_are_usage_errors() {
    let s3 = ["--store", "s3://b", "--region", "x", "--no-disk", "--redact", "--keep-class", "a.*"];
    let ended = Tool::new(&["shop", "cart", "prod"]).args(&s3).run().expect(2);
    assert!(ended.stderr.contains("--keep-class"), "{}", ended.stderr);
    Tool::new(&["shop", "cart", "prod", "--store", "/tmp", "--redact=some"]).run().expect(2);
    Tool::new(&["shop", "cart", "prod", "--store", "/tmp", "--keep-class", "a.*"]).run().expect(2);
    // Nothing would be redacted of the strings.
    Tool::new(&["shop", "cart", "prod", "--store", "/tmp", "--redact", "--keep-class", "byte[]"]).run().expect(2);
    let stdin = ["upload", "shop", "cart", "prod", "-", "--store", "/tmp", "--redact", "--keep-class", "a.*"];
    Tool::new(&stdin).run().expect(2);
}
