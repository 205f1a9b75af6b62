//! Dump, compress, store: on each JVM, as root and as a user.

use std::io::Write;
use std::mem::MaybeUninit;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::common::bed::VERSIONS;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::random_access::assert_random_access;
use crate::common::recorder::sha256;
use crate::common::tool::{Tool, again_if_faster};

const MARKERS: u64 = 1234;

/// `Heap` holds this many markers, and has dropped as many.
fn jvm(version: &str) -> Option<crate::common::jvm::Builder> {
    Some(TestJvm::builder(version)?.arg(format!("markers={MARKERS}")).arg(format!("garbage={MARKERS}")))
}

#[test]
fn a_dump_of_each_jvm_arrives_whole_with_its_live_markers() {
    for version in VERSIONS {
        for uid in [0, 1000] {
            let Some(jvm) = jvm(version) else { continue };
            let (jvm, store) = (jvm.uid(uid).start(), tempfile::tempdir().unwrap());
            let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
            let census = assert_complete(ended.stored());
            assert_eq!(census.of("Marker"), MARKERS, "JDK {version}, uid {uid}");
            let receipt = ended.receipt();
            let records = &receipt["dump"]["walk"]["records"];
            assert_eq!(records["instances"], census.total_instances, "JDK {version}");
            assert_eq!(records["object_arrays"], census.object_arrays);
            assert_eq!(records["primitive_arrays"], census.primitive_arrays);
            assert_eq!(receipt["dump"]["walk"]["bytes"], census.raw_len);
            assert_eq!(receipt["jvm"]["uid"], uid);
            assert!(!jvm.log().contains("Full thread dump"), "JDK {version} printed a thread dump: {}", jvm.log());
            assert_eq!(jvm.say("ping"), "pong");
        }
    }
}

#[test]
fn unreachable_objects_are_in_the_dump_when_all_are_asked_for() {
    let Some(jvm) = jvm("17") else { return };
    let (jvm, store) = (jvm.jvm_arg("-Xmx512m").start(), tempfile::tempdir().unwrap());
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).arg("--all").run().expect(0);
    assert_eq!(assert_complete(ended.stored()).of("Marker"), 2 * MARKERS);
    assert_eq!(ended.receipt()["dump"]["live_only"], false);
}

/// A JVM that sees many processors and has few writes many parts, some of them late and for a moment only.
#[test]
fn a_dump_that_many_threads_write_is_made_once() {
    for processors in [8, 16] {
        let Some(jvm) = jvm("25") else { return };
        let jvm = jvm.jvm_arg(format!("-XX:ActiveProcessorCount={processors}")).jvm_arg("-XX:+UseParallelGC");
        let (jvm, store) = (jvm.arg("mb=100").start(), tempfile::tempdir().unwrap());
        for all in [true, false] {
            let dump = || Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(&["--all"][..usize::from(all)]);
            let ended = again_if_faster(|| dump().run().expect(0));
            let markers = if all { 2 * MARKERS } else { MARKERS };
            assert_eq!(assert_complete(ended.stored()).of("Marker"), markers);
            assert!(ended.receipt()["warnings"].is_null(), "{processors} processors: {ended:?}");
        }
    }
}

/// From JDK 22 on, the rest of the head comes behind the heap. A second copy would take the disk twice.
#[test]
fn dump_whose_head_ends_late_is_stored_without_a_copy() {
    let Some(jvm) = jvm("25") else { return };
    let (jvm, store) = (jvm.arg("mb=150").start(), tempfile::tempdir().unwrap());
    let dump = || Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
    let first = dump();
    let dir = first.stored().parent().unwrap().to_owned();
    let inotify = inotify::init(CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&inotify, &dir, WatchFlags::CREATE).unwrap();
    let ended = dump();
    let mut buf = [MaybeUninit::uninit(); 4096];
    let (mut events, mut created) = (inotify::Reader::new(&inotify, &mut buf), Vec::new());
    while let Ok(event) = events.next() {
        created.extend(event.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    assert!(created.iter().any(|name| name.ends_with(".part")), "{created:?}");
    assert!(!created.iter().any(|name| name.ends_with(".sorted")), "{created:?}");
    assert_eq!(assert_complete(ended.stored()).of("Marker"), MARKERS);
    assert_eq!(ended.receipt()["object"]["sha256"], sha256(&std::fs::read(ended.stored()).unwrap()));
}

#[test]
fn the_receipt_beside_the_dump_says_what_the_printed_one_says() {
    let Some(jvm) = jvm("17") else { return };
    let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
    let (printed, dump) = (ended.receipt(), ended.stored());
    let beside = dump.to_str().unwrap().replace(".hprof.gz", ".json");
    let beside: serde_json::Value = serde_json::from_slice(&std::fs::read(beside).unwrap()).unwrap();
    for key in ["run_id", "object", "dump", "jvm", "pod", "place"] {
        assert_eq!(beside[key], printed[key], "{key}");
    }
    assert_eq!(printed["place"], "shop/cart/prod");
    assert_eq!(printed["jvm"]["main_class"], "Heap");
    assert_eq!(printed["object"]["sha256"], sha256(&std::fs::read(dump).unwrap()));
}

#[test]
fn dump_on_standard_output_is_verified() {
    let Some(jvm) = jvm("17") else { return };
    let (jvm, dir) = (jvm.start(), tempfile::tempdir().unwrap());
    let ended = Tool::dump(jvm.pid(), "-").run().expect(0);
    assert!(ended.stderr.contains("\"sha256\""), "the receipt goes to stderr: {}", ended.stderr);
    let whole = dir.path().join("dump.hprof.gz");
    std::fs::write(&whole, &ended.stdout).unwrap();
    assert_eq!(assert_complete(&whole).of("Marker"), MARKERS);
    Tool::new(&["verify"]).arg(&whole).run().expect(0);
    let cut = dir.path().join("cut.hprof.gz");
    for len in [ended.stdout.len() - 1, ended.stdout.len() / 2, 3] {
        std::fs::File::create(&cut).unwrap().write_all(&ended.stdout[..len]).unwrap();
        let ended = Tool::new(&["verify"]).arg(&cut).run().expect(5);
        assert!(ended.stderr.contains("not whole"), "{}", ended.stderr);
    }
}

#[test]
fn mat_finds_its_mark_and_small_members() {
    let Some(jvm) = jvm("17") else { return };
    let (jvm, store) = (jvm.arg("mb=8").start(), tempfile::tempdir().unwrap());
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
    let gz = std::fs::read(ended.stored()).unwrap();
    assert!(gz.starts_with(b"\x1f\x8b\x08\x10") && gz[10..].starts_with(b"HPROF BLOCKSIZE=174763\0"));
    let mut rest = &gz[..];
    let mut members = 0;
    while !rest.is_empty() {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        let raw = std::io::copy(&mut member, &mut std::io::sink()).unwrap();
        assert!(0 < raw && raw <= 174_763, "member {members} inflates to {raw} bytes");
        rest = member.into_inner();
        members += 1;
    }
    assert!(members > 48, "only {members} members");
    assert_random_access(&ended.stored());
}

#[test]
fn a_plain_or_gzipped_file_is_uploaded_through_the_same_stages() {
    let Some(jvm) = jvm("17") else { return };
    let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
    let store_path = store.path().to_str().unwrap();
    let gzipped = Tool::dump(jvm.pid(), store_path).run().expect(0).stored();
    let plain = store.path().join("plain.hprof");
    let mut raw = Vec::new();
    let gz = std::fs::read(&gzipped).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&gz[..]), &mut raw).unwrap();
    std::fs::write(&plain, &raw).unwrap();
    for file in [&gzipped, &plain] {
        let args = ["upload", "shop", "cart", "copy", "--output", "json", "--store", store_path];
        let ended = Tool::new(&args).arg(file).run().expect(0);
        assert_eq!(assert_complete(ended.stored()).of("Marker"), MARKERS);
    }
    std::fs::write(&plain, &raw[..raw.len() / 2]).unwrap();
    let ended = Tool::new(&["upload", "shop", "cart", "cut", "--store", store_path]).arg(&plain).run().expect(5);
    assert!(ended.stderr.contains("not whole"), "{}", ended.stderr);
    assert!(!store.path().join("shop/cart/cut").exists());
}

#[test]
fn a_dry_run_does_everything_but_the_dump() {
    let Some(jvm) = jvm("17") else { return };
    let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).arg("--dry-run").run().expect(0);
    assert!(ended.receipt()["nothing_done"].as_str().unwrap().contains("dry run"));
    assert_eq!(std::fs::read_dir(store.path()).unwrap().count(), 0);
}

#[test]
fn select_chooses_among_several_jvms() {
    let (Some(first), Some(second)) = (jvm("17"), jvm("21")) else { return };
    let (first, second) =
        (first.jvm_arg("-Dname=first-of-two").start(), second.jvm_arg("-Dname=second-of-two").start());
    let store = tempfile::tempdir().unwrap();
    let args = ["shop", "cart", "prod", "--output", "json", "--dry-run", "--store", store.path().to_str().unwrap()];
    for (text, jvm) in [("first-of-two", &first), ("second-of-two", &second)] {
        let ended = Tool::new(&args).args(&["--match", text]).run().expect(0);
        assert_eq!(ended.receipt()["jvm"]["pid"], jvm.pid());
        assert!(ended.stderr.contains(&first.pid().to_string()) && ended.stderr.contains(&second.pid().to_string()));
    }
    let ended = Tool::new(&args).args(&["--match", "no such thing"]).run().expect(3);
    assert!(ended.stderr.contains("no JVM matches"), "{}", ended.stderr);
}

#[test]
fn a_jvm_in_a_process_that_is_not_called_java_is_found() {
    let Some(jvm) = jvm("17") else { return };
    let (jvm, store) = (jvm.embedded().start(), tempfile::tempdir().unwrap());
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
    assert_eq!(assert_complete(ended.stored()).of("Marker"), MARKERS);
}
