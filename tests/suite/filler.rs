//! `--redact` and what collectors leave of dead objects: HotSpot fills holes with `int[]` that keep the bytes.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::bed;
use crate::common::hprof_check::raw;
use crate::common::jvm::TestJvm;
use crate::common::tool::Tool;

/// Long enough that each way to cut it into longs has a whole one.
const LITTER: &str = "Wegwerf+Korrekt+Zebra";

const COLLECTORS: [&str; 5] = ["G1", "Parallel", "Serial", "Z", "Shenandoah"];

/// Those of the bed, and a newer one where there is one.
const VERSIONS: [&str; 6] = ["8", "11", "17", "21", "25", "28"];

/// None where this JDK does not have the collector.
fn jvm(version: &str, collector: &str) -> Option<TestJvm> {
    // ZGC of 11 takes pages of 32 MiB.
    let heap = if collector == "Z" { "-Xmx192m" } else { "-Xmx64m" };
    let collector = format!("-XX:+Use{collector}GC");
    let flags = ["-XX:+UnlockExperimentalVMOptions", &collector, heap];
    if !has(version, &flags)? {
        bed::skip(&format!("JDK {version} has no {collector}"));
        return None;
    }
    let builder = flags.into_iter().fold(TestJvm::builder(version)?, |builder, flag| builder.jvm_arg(flag));
    Some(builder.arg(format!("litter={LITTER}")).arg("markers=1").start())
}

/// Each JDK has the other three.
fn has(version: &str, flags: &[&str]) -> Option<bool> {
    let java = bed::jvm(version)?;
    let is_new = flags.iter().any(|flag| flag.contains("UseZ") || flag.contains("UseShenandoah"));
    let probe = || Command::new(java).args(flags).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    Some(!is_new || probe().is_ok_and(|status| status.success()))
}

fn dump(jvm: &TestJvm, store: &Path, args: &[&str]) -> Vec<u8> {
    let ended = Tool::dump(jvm.pid(), store.to_str().unwrap()).args(args).run().expect(0);
    raw(ended.stored())
}

/// How often the litter stands in a dump, in any encoding and byte order, whatever the width of what holds it.
fn litter_in(dump: &[u8]) -> usize {
    let needles = needles();
    // Nearly every place in a dump ends in another way than each needle.
    let end = |word: u64| (word & 0xffff) as usize;
    let mut ends = vec![false; 1 << 16];
    needles.iter().for_each(|needle| ends[end(*needle)] = true);
    let (mut last, mut found) = (0u64, 0);
    for byte in dump {
        last = last << 8 | u64::from(*byte);
        found += usize::from(ends[end(last)] && needles.contains(&last));
    }
    found
}

/// Eight bytes of it, in each encoding, turned around in words of each width at each phase.
fn needles() -> HashSet<u64> {
    let utf16 = |bytes: fn(u16) -> [u8; 2]| LITTER.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let mut needles = HashSet::new();
    for text in [LITTER.as_bytes().to_vec(), utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)] {
        for width in [1, 2, 4, 8] {
            for phase in 0..width {
                let words = text[phase..].chunks_exact(width).flat_map(|word| word.iter().rev());
                let first: Vec<u8> = words.copied().take(8).collect();
                needles.insert(u64::from_be_bytes(first.try_into().unwrap()));
            }
        }
    }
    needles
}

#[test]
fn redacted_dump_has_nothing_of_freed_strings() {
    let store = tempfile::tempdir().unwrap();
    for version in VERSIONS {
        for collector in COLLECTORS {
            let Some(jvm) = jvm(version, collector) else { continue };
            for which in [&["--redact"][..], &["--redact", "--all"]] {
                let found = litter_in(&dump(&jvm, store.path(), which));
                assert_eq!(found, 0, "JDK {version}, {collector}, {which:?}");
            }
        }
    }
}

/// Files, whole and cut, and what is to be kept: all of one JVM.
#[test]
fn int_arrays_stay_only_where_they_are_kept() {
    let Some(jvm) = jvm("21", "G1") else { return };
    let store = tempfile::tempdir().unwrap();
    let plain = dump(&jvm, store.path(), &["--all"]);
    let kept = litter_in(&dump(&jvm, store.path(), &["--all", "--redact", "--keep-class", "int[]"]));
    assert!(litter_in(&plain) > 1000 && kept > 100, "{}, then {kept}", litter_in(&plain));
    assert_eq!(litter_in(&dump(&jvm, store.path(), &["--all", "--redact=all"])), 0);
    for (name, len) in [("whole", plain.len()), ("cut", plain.len() / 3 * 2)] {
        let file = store.path().join(format!("{name}.hprof"));
        std::fs::write(&file, &plain[..len]).unwrap();
        let words = ["upload", "shop", "cart", "prod", file.to_str().unwrap(), "--allow-truncated", "--output", "json"];
        let to = ["--redact", "--store", store.path().to_str().unwrap()];
        assert_eq!(litter_in(&raw(Tool::new(&words).args(&to).run().expect(0).stored())), 0, "{name}");
    }
}
