//! `--redact`: what analysers need of the JDK's own objects stays, and strings are strings of stars.

use std::collections::BTreeSet;

use crate::common::bed::VERSIONS;
use crate::common::heap_fields::{fields, utf16_texts};
use crate::common::hprof_check::raw;
use crate::common::tool::Tool;
use crate::redact::{assert_tells, dump, jvm, jvm_of};

/// `*` in the processor's UTF-16.
const STARRED: [u8; 2] = (b'*' as u16).to_ne_bytes();
const UTF16_THREAD: &str = "\u{6f22}\u{5b57}";

/// What analysers need of the JDK's own objects. Each JDK has these with values that are not 0.
const STRUCTURE: [&str; 8] = [
    "java/util/ArrayList.size",
    "java/util/AbstractList.modCount",
    "java/util/HashMap.size",
    "java/util/HashMap.threshold",
    "java/util/HashMap.loadFactor",
    "java/util/concurrent/ConcurrentHashMap.baseCount",
    "java/lang/Thread.tid",
    "java/lang/Enum.ordinal",
];

/// In which field a JDK has the state of a thread, how a String is encoded, and VisualVM's measure of references.
fn structure_of(version: &str) -> &'static [&'static str] {
    match version {
        "8" => &["java/lang/Thread.threadStatus", "java/lang/Class$Atomic.annotationTypeOffset"],
        "11" | "17" => {
            &["java/lang/Thread.threadStatus", "java/lang/String.coder", "java/lang/Class$Atomic.annotationTypeOffset"]
        }
        _ => &[
            "java/lang/Thread$FieldHolder.threadStatus",
            "java/lang/Thread$FieldHolder.priority",
            "java/lang/String.coder",
            "java/lang/StringUTF16.LO_BYTE_SHIFT",
        ],
    }
}

#[test]
fn redacted_dump_keeps_the_structure_of_jdk_objects() {
    for version in VERSIONS {
        // From JDK 22 on, a larger heap is read in parts while it is written.
        let megabytes = if version == "25" { "mb=40" } else { "mb=1" };
        let (store, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm_of(version, megabytes)) else { continue };
        let plain = store.path().join("plain.hprof");
        std::fs::write(&plain, raw(dump(&jvm, store.path(), &[]).stored())).unwrap();
        let words = ["upload", "shop", "cart", "prod", plain.to_str().unwrap(), "--redact=all", "--output", "json"];
        let other = tempfile::tempdir().unwrap();
        let uploaded = Tool::new(&words).args(&["--store", other.path().to_str().unwrap()]).run().expect(0).stored();
        let (before, after) = (fields(&plain), fields(&uploaded));
        let mut stayed = BTreeSet::new();
        for (object, values) in &before {
            let now = &after[object];
            let same = values.iter().filter(|(name, value)| *value != "0" && now[*name] == **value);
            stayed.extend(same.map(|(name, _)| name.clone()));
        }
        let missing = |names: &[&str]| names.iter().filter(|name| !stayed.contains(**name)).count();
        assert_eq!(missing(&STRUCTURE) + missing(structure_of(version)), 0, "JDK {version}: {stayed:?}");
        let is_secret = |name: &&String| !name.contains('/') || name.ends_with(".hash") || name.ends_with(".value");
        assert_eq!(stayed.iter().find(is_secret), None, "JDK {version}");
        // The JVM's own dump, whose names may come behind its objects.
        let ended = dump(&jvm, store.path(), &["--redact=all"]);
        assert_eq!(ended.receipt()["warnings"], serde_json::Value::Null, "JDK {version}: {ended:?}");
        let dumped = fields(ended.stored());
        let kept: BTreeSet<_> =
            dumped.values().flatten().filter(|(_, value)| *value != "0").map(|(name, _)| name).collect();
        assert!(STRUCTURE.iter().all(|name| kept.contains(&(*name).to_owned())), "JDK {version}: {kept:?}");
        assert!(kept.iter().all(|name| !is_secret(name)), "JDK {version}: {kept:?}");
    }
}

/// A thread's name that has more than Latin-1, and all other texts of its kind.
#[test]
fn utf16_strings_become_stars_of_two_bytes() {
    for version in VERSIONS.into_iter().filter(|version| *version != "8") {
        let (store, Some(jvm)) = (tempfile::tempdir().unwrap(), jvm(version)) else { continue };
        for redact in ["--redact", "--redact=all"] {
            let ended = dump(&jvm, store.path(), &[redact]);
            let texts = utf16_texts(ended.stored());
            let thread: Vec<u8> = UTF16_THREAD.encode_utf16().flat_map(u16::to_ne_bytes).collect();
            let is_stars = |text: &&Vec<u8>| text.as_chunks::<2>().0.iter().all(|c| *c == STARRED);
            let (stars, others): (Vec<_>, Vec<_>) = texts.iter().partition(is_stars);
            assert!(stars.len() > 2 && others.len() == 1 && *others[0] == thread, "JDK {version} {redact}: {others:?}");
            let redacted = raw(ended.stored());
            assert_tells(&redacted, "java.vm.compressedOopsMode", true);
        }
    }
}
