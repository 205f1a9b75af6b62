//! What fills the heap: each number of the receipt against an independent reader of the same dump.

use serde_json::Value;

use crate::common::bed::VERSIONS;
use crate::common::heap_shares::{Share, shares};
use crate::common::jvm::{Builder, TestJvm};
use crate::common::tool::{Ended, Tool};

const LISTED: usize = 30;
const SHOWN: usize = 10;

/// Enough to be among the largest. One has a number (4 bytes) and a reference (8 bytes, whatever the JVM compresses).
const MARKERS: u64 = 200_000;
const MARKER: u64 = 12;

fn jvm(version: &str) -> Option<Builder> {
    Some(TestJvm::builder(version)?.arg(format!("markers={MARKERS}")).arg("mb=4"))
}

fn classes(ended: &Ended) -> Value {
    ended.receipt()["dump"]["walk"]["classes"].clone()
}

/// Names as well, though of classes that are alike in size any may be the last.
#[track_caller]
fn assert_same(classes: &Value, mut shares: Vec<Share>, context: &str) {
    let top: Vec<Share> =
        classes["top"].as_array().unwrap_or_else(|| panic!("{context}: {classes}")).iter().map(share).collect();
    let sizes = |shares: &[Share]| shares.iter().take(LISTED).map(|s| (s.bytes, s.instances)).collect::<Vec<_>>();
    assert_eq!(top.len(), LISTED, "{context}");
    assert_eq!(sizes(&top), sizes(&shares), "{context}");
    let all = sum(&shares);
    assert_eq!(amount(&classes["total"]), all, "{context}");
    let listed = sum(&top);
    assert_eq!(amount(&classes["other"]), (all.0 - listed.0, all.1 - listed.1), "{context}");
    for share in top {
        let at = shares.iter().position(|other| *other == share);
        shares.remove(at.unwrap_or_else(|| panic!("{context}: {share:?} is not in the dump")));
    }
    assert_eq!(classes.get("unsorted"), None, "{context}");
}

fn share(row: &Value) -> Share {
    let (bytes, instances) = amount(row);
    Share { bytes, instances, name: row["name"].as_str().unwrap().to_owned() }
}

fn amount(row: &Value) -> (u64, u64) {
    (row["bytes"].as_u64().unwrap(), row["instances"].as_u64().unwrap())
}

fn sum(shares: &[Share]) -> (u64, u64) {
    shares.iter().fold((0, 0), |(bytes, instances), share| (bytes + share.bytes, instances + share.instances))
}

#[test]
fn the_largest_classes_of_each_jvm_are_those_of_another_reader() {
    for version in VERSIONS {
        let Some(jvm) = jvm(version) else { continue };
        let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
        let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
        let (classes, shares) = (classes(&ended), shares(ended.stored()));
        let context = format!("JDK {version}");
        assert_same(&classes, shares.clone(), &context);
        let marker = Share { bytes: MARKERS * MARKER, instances: MARKERS, name: "Marker".into() };
        let text = if version == "8" { "char[]" } else { "byte[]" };
        let top: Vec<Share> = classes["top"].as_array().unwrap().iter().map(share).collect();
        assert!(top.contains(&marker), "{context}: {top:?}");
        for name in [text, "java.lang.String", "java.lang.Object[]"] {
            assert!(top.iter().any(|share| share.name == name), "{context}: no {name} in {top:?}");
        }
        let verified = Tool::new(&["verify", "--output", "json"]).arg(ended.stored()).run().expect(0);
        assert_eq!(verified.receipt()["classes"], classes, "{context}");
    }
}

#[test]
fn classes_of_a_file_are_the_same_plain_or_gzipped() {
    let Some(jvm) = jvm("17") else { return };
    let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
    let store_path = store.path().to_str().unwrap();
    let ended = Tool::dump(jvm.pid(), store_path).run().expect(0);
    let (gzipped, plain) = (ended.stored(), store.path().join("plain.hprof"));
    let gz = std::fs::File::open(&gzipped).unwrap();
    let mut raw = flate2::read::MultiGzDecoder::new(std::io::BufReader::new(gz));
    std::io::copy(&mut raw, &mut std::fs::File::create(&plain).unwrap()).unwrap();
    for file in [&gzipped, &plain] {
        // The name of a file is that of its object: a place of its own for each.
        let upload = |app| Tool::new(&["upload", "shop", app, "copy", "--store", store_path]).arg(file);
        let stored = upload("json").args(&["--output", "json"]).run().expect(0);
        assert_eq!(classes(&stored), classes(&ended), "{}", file.display());
        assert_shown(&upload("text").run().expect(0));
        assert_shown(&Tool::new(&["verify"]).arg(file).run().expect(0));
    }
}

#[track_caller]
fn assert_shown(ended: &Ended) {
    let text = String::from_utf8_lossy(&ended.stdout);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("  class  ")).collect();
    assert_eq!(lines.len(), SHOWN, "{text}");
    let marker = format!(" MiB in {MARKERS} of Marker");
    assert!(lines.iter().any(|line| line.ends_with(&marker)), "{text}");
}

#[test]
fn a_truncated_file_tells_what_its_beginning_holds() {
    let Some(jvm) = jvm("21") else { return };
    let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
    let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0);
    let (gz, cut) = (std::fs::read(ended.stored()).unwrap(), store.path().join("cut.hprof.gz"));
    std::fs::write(&cut, &gz[..gz.len() * 3 / 4]).unwrap();
    let verified = Tool::new(&["verify", "--output", "json"]).arg(&cut).run().expect(5).receipt();
    let (part, whole) = (amount(&verified["classes"]["total"]), amount(&classes(&ended)["total"]));
    assert!(0 < part.0 && part.0 < whole.0 && part.1 < whole.1, "{part:?} of {whole:?}");
    let named =
        verified["classes"]["top"].as_array().unwrap().iter().all(|row| !row["name"].as_str().unwrap().contains("0x"));
    assert!(named, "{verified}");
}
