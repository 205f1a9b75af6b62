//! What fills the heap: each number of the receipt against an independent reader of the same dump.

use serde_json::Value;

use crate::common::bed::VERSIONS;
use crate::common::heap_shares::{Share, shares};
use crate::common::jvm::{Builder, TestJvm};
use crate::common::tool::{Ended, Tool};

/// So many classes are listed however small they are.
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
    assert_eq!(sizes(&top), sizes(&shares), "{context}");
    let all = sum(&shares);
    let is_large = |share: &&Share| share.bytes * 1000 >= all.0 || share.instances * 1000 >= all.1;
    let large = shares.iter().filter(is_large).count().max(LISTED);
    assert!((large..=large + 200).contains(&top.len()), "{context}: {} of {large}", top.len());
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

/// The leak is 10 MiB of arrays, which the objects of one class of the application hold.
#[test]
fn grown_classes_are_told_by_two_receipts() {
    let (Some(jvm), store) = (TestJvm::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let (jvm, path) = (jvm.arg("mb=60").start(), store.path().to_str().unwrap().to_owned());
    let dump = || {
        let receipt = Tool::dump(jvm.pid(), &path).run().expect(0).receipt();
        receipt["object"]["key"].as_str().unwrap().to_owned()
    };
    let earlier = dump();
    jvm.say("keep 160");
    let later = dump();
    let compare = |words: &[&str]| Tool::new(&["diff", &earlier, &later, "--store", &path]).args(words).run().expect(0);
    let told: Value = serde_json::from_slice(&compare(&["--output", "json"]).stdout).unwrap();
    let grown = told["comparison"]["grown"].as_array().unwrap();
    assert_eq!(grown[0]["name"], "Kept", "{told}");
    assert_eq!(grown[0]["instances"], 160, "{told}");
    let arrays = grown.iter().find(|class| class["name"] == "byte[]").unwrap_or_else(|| panic!("{told}"));
    assert!(arrays["bytes"].as_i64().unwrap() >= 10 << 20, "{told}");
    assert_eq!(told["comparison"]["warnings"].as_array().unwrap().len(), 0, "{told}");
    let text = String::from_utf8(compare(&[]).stdout).unwrap();
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what}: {text}"));
    assert!(at("  Kept\n") < at("  byte[]\n"), "{text}");
}
