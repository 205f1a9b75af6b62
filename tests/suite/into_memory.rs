//! Where a byte written is memory: no run fills it so far that the kernel kills the application, or the tool.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::common::bed::cannot_run;
use crate::common::container::Container;
use crate::common::container::builder::Builder;
use crate::common::container::exec::Output;
use crate::common::tool::{Tool, binary};
use crate::containers::{INSIDE, census_of};
use crate::full_volume::Volume;

const VERSIONS: [&str; 4] = ["8", "17", "21", "25"];

const DUMP: [&str; 6] = [INSIDE, "--store", "-", "shop", "cart", "prod"];

/// A limit of the container, a heap that fills it, and what of the heap is alive, in MiB. What is left is less than the
/// dump needs: the kernel killed each of these.
const SCARCE: [(u64, u32, u32); 3] = [(420, 250, 120), (1024, 760, 400), (2048, 1550, 900)];

/// A JVM that has taken all of its heap.
fn filled(version: &str, heap: u32, mb: u32) -> Option<Builder> {
    let builder = Container::builder(version)?.bind_read_only(binary(), INSIDE).arg(&format!("mb={mb}"));
    let sizes = [format!("-Xms{heap}m"), format!("-Xmx{heap}m"), "-XX:+AlwaysPreTouch".into()];
    Some(sizes.iter().fold(builder.arg("markers=31"), |builder, size| builder.jvm_arg(size)))
}

/// A memory cgroup's file, on a host with version 1.
fn memory_file(container: &Container, name: &str) -> Option<std::path::PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", container.init_pid())).unwrap();
    let path = text.lines().find_map(|line| line.split_once(":memory:"))?.1.to_owned();
    Some(Path::new("/sys/fs/cgroup/memory").join(path.trim_start_matches('/')).join(name))
}

fn number(path: &Path) -> u64 {
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

#[track_caller]
fn assert_refused(ended: &Output, words: &[&str], what: &str) {
    let said = || format!("{}{}", ended.stderr, String::from_utf8_lossy(&ended.stdout[..ended.stdout.len().min(4096)]));
    assert_eq!(ended.code, 6, "{what}: {}", said());
    for word in words {
        let said = said();
        assert!(said.contains(word), "{what}: '{word}' is missing: {said}");
    }
}

/// Every one of the limits, by the dump, by its dry run and by `check`.
#[test]
fn dump_into_scarce_memory_is_refused_and_the_jvm_lives() {
    let mut failed = Vec::new();
    for version in VERSIONS {
        for (limit, heap, mb) in SCARCE {
            let Some(builder) = filled(version, heap, mb) else { continue };
            let container = builder.memory_limit(limit << 20).read_only_root().tmpfs("/tmp", "8g").start();
            let what = format!("JDK {version}, limit {limit} MiB");
            let words = ["it is memory", "--no-disk", "--force", "volume"];
            // check has neither of the two flags.
            let words_of_check = ["it is memory", "volume"];
            let checked = container.exec(&[&[INSIDE, "check"], &DUMP[1..]].concat());
            let dry = container.exec(&[&DUMP[..], &["--dry-run"]].concat());
            let ended = container.exec(&DUMP);
            let alive = container.is_alive();
            eprintln!("{what}: check {}, dry run {}, dump {}, lives {alive}", checked.code, dry.code, ended.code);
            let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                assert_refused(&checked, &words_of_check, &format!("{what}, check"));
                assert_refused(&dry, &words, &format!("{what}, dry run"));
                assert_refused(&ended, &words, &what);
                assert_eq!(container.say("ping"), "pong", "{what}");
                assert!(container.files().iter().all(|(path, _)| !path.contains("jmap-dump-tool-")), "{what}");
            }));
            if good.is_err() {
                failed.push(what);
            }
        }
    }
    assert!(failed.is_empty(), "see above: {failed:?}");
}

/// With one processor or more, and with half of one, where the raw dump and its copy lie there together.
#[test]
fn dump_into_memory_that_suffices_stays_below_the_limit() {
    const LIMIT: u64 = 1 << 30;
    for version in VERSIONS {
        for cpus in [2.0, 0.5] {
            let Some(builder) = filled(version, 200, 60) else { continue };
            let container = builder.memory_limit(LIMIT).cpu_quota(cpus).read_only_root().tmpfs("/tmp", "8g").start();
            let Some(most) = memory_file(&container, "memory.max_usage_in_bytes") else {
                return cannot_run("the peak of a container's memory is told by cgroup version 1 only");
            };
            let before = number(&most);
            let ended = container.exec(&DUMP);
            let what = format!("JDK {version}, {cpus} processors");
            assert_eq!(ended.code, 0, "{what}: {ended:?}");
            assert_eq!(census_of(&ended.stdout).of("Marker"), 31, "{what}");
            let peak = number(&most);
            eprintln!("{what}: {} MiB before, at most {} MiB", before >> 20, peak >> 20);
            assert!(peak < LIMIT - (32 << 20), "{what}: {peak}");
            assert_eq!(number(&memory_file(&container, "memory.failcnt").unwrap()), 0, "{what}");
            assert_eq!(container.say("ping"), "pong", "{what}");
        }
    }
}

/// A tmpfs holds no more than its size, whatever the heap: it is refused for that, or dumped into.
#[test]
fn small_tmpfs_counts_with_its_own_size() {
    let Some(builder) = Container::builder("17") else { return };
    let builder = builder.bind_read_only(binary(), INSIDE).arg("markers=7").jvm_arg("-Xmx64m");
    let container = builder.memory_limit(256 << 20).read_only_root().tmpfs("/tmp", "16m").start();
    let ended = container.exec(&DUMP);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(census_of(&ended.stdout).of("Marker"), 7);
}

/// The kernel charges a page to who touches it first: the raw dump to the JVM, the compressed copy to the sidecar.
#[test]
fn sidecar_with_little_memory_is_refused_and_not_killed() {
    for version in ["8", "17", "25"] {
        let dir = tempfile::tempdir().unwrap();
        let (Some(jvm), Some(sidecar)) = (Container::builder(version), Container::builder("17")) else { continue };
        let Some(_volume) = Volume::mount(dir.path(), "4g") else {
            return cannot_run("mounting a tmpfs needs root");
        };
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
        let jvm = jvm.arg("mb=300").bind(dir.path(), "/dumps").start();
        let sidecar = sidecar.share_pid_ns_of(&jvm).bind(dir.path(), "/dumps").memory_limit(64 << 20);
        let sidecar = sidecar.busybox().idle().bind_read_only(binary(), INSIDE).start();
        let checked = sidecar.exec(&[INSIDE, "check", "--dir", "/dumps"]);
        let ended = sidecar.exec(&[&DUMP[..], &["--dir", "/dumps"]].concat());
        let what = format!("JDK {version}: check {}, dump {}", checked.code, ended.code);
        eprintln!("{what}");
        assert_refused(&checked, &["it is memory", "this tool's container"], &what);
        assert_refused(&ended, &["it is memory", "this tool's container", "--force"], &what);
        assert!(sidecar.is_alive() && jvm.is_alive(), "{what}");
        assert_eq!(jvm.say("ping"), "pong", "{what}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{what}");
    }
}

#[test]
fn dump_into_a_store_that_is_memory_is_refused() {
    let (limit, heap, mb) = SCARCE[1];
    for version in ["17", "25"] {
        let Some(builder) = filled(version, heap, mb) else { continue };
        let container = builder.memory_limit(limit << 20).tmpfs("/store", "8g").start();
        let command = [INSIDE, "--store", "/store/heaps", "shop", "cart", "prod"];
        let checked = container.exec(&[&[INSIDE, "check"], &command[1..]].concat());
        let ended = container.exec(&command);
        let what = format!("JDK {version}: check {}, dump {}", checked.code, ended.code);
        eprintln!("{what}");
        assert_refused(&checked, &["it is memory", "/store"], &what);
        assert_refused(&ended, &["it is memory", "/store"], &what);
        assert_eq!(container.say("ping"), "pong", "{what}");
    }
}

#[test]
fn forced_dump_into_memory_goes_on_with_a_warning() {
    let Some(builder) = filled("17", 200, 60) else { return };
    let container = builder.memory_limit(460 << 20).read_only_root().tmpfs("/tmp", "8g").start();
    assert_refused(&container.exec(&DUMP), &["it is memory"], "not forced");
    let ended = container.exec(&[&DUMP[..], &["--force"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("it is memory"), "{}", ended.stderr);
    assert_eq!(census_of(&ended.stdout).of("Marker"), 31);
}

/// A name of random letters, or of zeros, and the end of a dump.
fn dump_of(megabytes: usize, random: bool) -> Vec<u8> {
    let mut dump = b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0".to_vec();
    dump.extend([1, 0, 0, 0, 0]);
    dump.extend(((megabytes << 20) as u32).to_be_bytes());
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..(megabytes << 20) / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        dump.extend((if random { state } else { 0 }).to_le_bytes());
    }
    dump.extend([0x2c, 0, 0, 0, 0, 0, 0, 0, 0]);
    dump
}

/// A container of our own with 96 MiB, and all that it can write to is memory.
fn small(dir: &Path) -> Option<Container> {
    let builder = Container::builder("17")?.read_only_root().memory_limit(96 << 20).bind_read_only(binary(), INSIDE);
    let builder = builder.tmpfs("/tmp", "2g").tmpfs("/store", "2g").bind_read_only(dir, "/from");
    Some(builder.busybox().idle().start())
}

#[track_caller]
fn assert_ended_in_time(ended: &Output, code: i32, container: &Container, what: &str) {
    eprintln!("{what}: {}", ended.code);
    assert_eq!(ended.code, code, "{what}: {}", ended.stderr);
    assert!(ended.stderr.contains("it is memory"), "{what}: {}", ended.stderr);
    assert!(container.is_alive(), "{what}");
    let left: Vec<_> = container.files().into_iter().filter(|(_, bytes)| *bytes > 1 << 20).collect();
    assert_eq!(left, [], "{what}");
}

/// Its size is not known, so it is stopped on its way.
#[test]
fn upload_of_standard_input_does_not_fill_memory() {
    let dir = tempfile::tempdir().unwrap();
    let Some(container) = small(dir.path()) else { return };
    let mut gz = GzEncoder::new(Vec::new(), Compression::none());
    gz.write_all(&dump_of(200, true)).unwrap();
    let dump = gz.finish().unwrap();
    let command = [INSIDE, "upload", "--store", "/store", "shop", "cart", "prod", "-"];
    let ended = container.command(&command).stdin(dump).output();
    assert_ended_in_time(&ended, 6, &container, "gzipped, from standard input");
    let ended = container.command(&command).stdin(dump_of(200, true)).output();
    assert_ended_in_time(&ended, 6, &container, "plain, from standard input");
}

#[test]
fn upload_into_a_store_that_is_memory_ends_before_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let Some(container) = small(dir.path()) else { return };
    let dump = dump_of(200, true);
    std::fs::write(dir.path().join("plain.hprof"), &dump).unwrap();
    let mut gz = GzEncoder::new(Vec::new(), Compression::none());
    gz.write_all(&dump).unwrap();
    std::fs::write(dir.path().join("gzipped.hprof.gz"), gz.finish().unwrap()).unwrap();
    // What is whole already, and only to be copied, is not stored.
    for (file, code) in [("/from/plain.hprof", 6), ("/from/gzipped.hprof.gz", 7)] {
        let ended = container.exec(&[INSIDE, "upload", "--store", "/store", "shop", "cart", "prod", file]);
        assert_ended_in_time(&ended, code, &container, file);
    }
}

#[test]
fn fetch_into_memory_ends_before_it_is_full() {
    for (random, flags, what) in [(true, &[][..], "fetched"), (false, &["--gunzip"][..], "decompressed")] {
        let dir = tempfile::tempdir().unwrap();
        let Some(container) = small(dir.path()) else { return };
        let (file, store) = (dir.path().join("x.hprof"), dir.path().join("store"));
        std::fs::write(&file, dump_of(300, random)).unwrap();
        let args = ["upload", "--output", "json", "--store", store.to_str().unwrap(), "shop", "cart", "prod"];
        let receipt = Tool::new(&args).arg(&file).run().expect(0).receipt();
        let key = receipt["object"]["key"].as_str().unwrap();
        let ended =
            container.exec(&[&[INSIDE, "fetch", "--store", "/from/store", "--to", "/tmp", key], flags].concat());
        assert_ended_in_time(&ended, 6, &container, what);
    }
}

/// Where the dump would go, and the receipt's warnings.
#[track_caller]
fn planned(container: &Container, flags: &[&str]) -> (String, Vec<String>) {
    let command = [INSIDE, "--dry-run", "--output", "json", "--store", "/var", "shop", "cart", "prod"];
    let ended = container.exec(&[&command[..], flags].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let receipt: Value = serde_json::from_str(&ended.text()).unwrap();
    let warnings = receipt["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.map(|warning| warning.as_str().unwrap().to_owned()).collect();
    (receipt["nothing_done"].as_str().unwrap().to_owned(), warnings)
}

/// There is room in /dumps for the dump, and not for four times the heap.
#[test]
fn dumps_volume_with_room_for_the_likely_size_is_taken() {
    for version in VERSIONS {
        let Some(builder) = Container::builder(version) else { continue };
        let builder = builder.bind_read_only(binary(), INSIDE).arg("mb=100").arg("markers=31").jvm_arg("-Xmx400m");
        let container = builder.jvm_arg("-XX:+UseSerialGC").tmpfs("/dumps", "400m").tmpfs("/data", "400m").start();
        container.say("gc");
        let (path, warnings) = planned(&container, &[]);
        assert!(path.contains(" /dumps/"), "JDK {version}: {path}, {warnings:?}");
        assert!(!warnings.iter().any(|warning| warning.contains("passed over")), "JDK {version}: {warnings:?}");
        let (path, _) = planned(&container, &["--dir", "/data:/tmp"]);
        assert!(path.contains(" /data/"), "JDK {version}, --dir: {path}");
        let command = [INSIDE, "--dry-run", "--store", "-", "shop", "cart", "prod"];
        let by_variable = container.command(&command).env("JMAP_DUMP_DIR", "/data:/tmp").output();
        assert!(by_variable.stderr.contains(" /data/"), "JDK {version}, JMAP_DUMP_DIR: {by_variable:?}");
        let ended = container.exec(&DUMP);
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        assert_eq!(census_of(&ended.stdout).of("Marker"), 31, "JDK {version}");
    }
}

#[test]
fn passed_over_directory_is_a_warning_in_the_receipt() {
    let Some(builder) = Container::builder("17") else { return };
    let builder = builder.bind_read_only(binary(), INSIDE).arg("mb=100").memory_limit(340 << 20).jvm_arg("-Xmx250m");
    let container = builder.tmpfs("/dumps", "64m").tmpfs("/memory", "4g").start();
    for (flags, from, why) in [
        (&[][..], "/dumps", "64.0 MiB are free"),
        (&["--dir", "/nowhere:/tmp"][..], "/nowhere", "No such file"),
        (&["--dir", "/memory:/tmp"][..], "/memory", "it is memory"),
    ] {
        let (path, warnings) = planned(&container, flags);
        assert!(path.contains(" /tmp/"), "{from}: {path}");
        let told = |warning: &&String| warning.starts_with(&format!("{from} was passed over for /tmp"));
        let warning = warnings.iter().find(told).unwrap_or_else(|| panic!("{from}: no warning in {warnings:?}"));
        assert!(warning.contains(why), "{from}: {warning}");
    }
}

/// An emptyDir's `sizeLimit`, which nothing inside tells.
#[test]
fn told_limit_counts_for_the_directory_it_is_about() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let Some(builder) = Container::builder("17") else { return };
    let builder = builder.bind_read_only(binary(), INSIDE).arg("mb=100").bind(dir.path(), "/dumps");
    let container = builder.start();
    let limit = ["--disk-limit", "/dumps=1Gi,/tmp=16Mi"];
    assert!(planned(&container, &limit).0.contains(" /dumps/"));
    let (path, warnings) = planned(&container, &["--disk-limit", "/dumps=20Mi"]);
    assert!(path.contains(" /tmp/"), "{path}");
    assert!(warnings.iter().any(|warning| warning.contains("/dumps") && warning.contains("20.0 MiB")), "{warnings:?}");
    let named = container.command(&DUMP).env("JMAP_DUMP_DIR", "/dumps").env("JMAP_DUMP_DISK_LIMIT", "/dumps=20Mi");
    assert_refused(&named.output(), &["/dumps may hold 20.0 MiB"], "named");
    // What lies there already counts.
    std::fs::create_dir(dir.path().join("old")).unwrap();
    std::fs::write(dir.path().join("old/dump.hprof"), vec![1; 1020 << 20]).unwrap();
    let refused = container.exec(&[&DUMP[..], &["--dir", "/dumps"], &limit].concat());
    assert_refused(&refused, &["/dumps may hold 1.0 GiB", "1020.0 MiB"], "filled");
}
