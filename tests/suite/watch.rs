//! The sidecar: whatever dump comes is stored, once, and the name of the next one is free.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::hprof_check::assert_complete;
use crate::common::jvm::{Builder, TestJvm};
use crate::common::killed_run::moments;
use crate::common::s3::{BUCKET, S3Server};
use crate::common::tool::{Run, Tool, binary, install};
use crate::common::waiting::{SOON, wait_within};

/// A directory where dumps appear, and the way to the store.
pub struct Pod {
    pub dir: tempfile::TempDir,
    pub server: S3Server,
    samples: tempfile::TempDir,
}

/// Killed when it is dropped.
pub struct Watcher(Option<Run>);

impl Pod {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), server: S3Server::start(), samples: tempfile::tempdir().unwrap() }
    }

    pub fn tool(&self, flags: &[&str]) -> Tool {
        self.tool_in(self.dir.path(), flags)
    }

    /// Watches another directory with the same store.
    pub fn tool_in(&self, dir: &Path, flags: &[&str]) -> Tool {
        Tool::new(&["watch", "shop", "cart", "prod", dir.to_str().unwrap(), "--output", "json"])
            .args(&["--store", &format!("s3://{BUCKET}"), "--retry-for", "1s"])
            .with_s3(&self.server)
            .args(flags)
    }

    fn watch(&self, flags: &[&str]) -> Watcher {
        Watcher::start(self.tool(flags))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn status(&self) -> serde_json::Value {
        let text = std::fs::read(self.path("jmap-dump-tool/status.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub fn dumps(&self) -> Vec<PathBuf> {
        let keys = self.server.objects().into_iter().filter(|key| key.ends_with(".hprof.gz"));
        keys.map(|key| self.server.object(&key)).collect()
    }

    /// All files in the directory but the watcher's status.
    pub fn files(&self) -> Vec<String> {
        let names = |dir: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.filter(|entry| entry.path().is_file()).map(|entry| entry.path().display().to_string()).collect()
        };
        let mut files = names(self.dir.path());
        files.extend(names(&self.path("jmap-dump-tool")));
        files.retain(|file| !file.contains("/status."));
        files
    }

    /// A dump of a JVM with so many markers, which is not in the directory yet.
    pub fn sample(&self, megabytes: u32, markers: u32) -> Option<PathBuf> {
        let jvm = TestJvm::builder("17")?.arg(format!("mb={megabytes}")).arg(format!("markers={markers}")).start();
        let store = self.samples.path().join(markers.to_string());
        let stored = Tool::dump(jvm.pid(), store.to_str().unwrap()).run().expect(0).stored();
        let path = self.samples.path().join(format!("{markers}.hprof"));
        let mut raw = flate2::read::MultiGzDecoder::new(std::fs::File::open(stored).unwrap());
        std::io::copy(&mut raw, &mut std::fs::File::create(&path).unwrap()).unwrap();
        Some(path)
    }

    /// How often a dump with so many markers was stored.
    fn census(&self) -> BTreeMap<u64, usize> {
        let mut census = BTreeMap::new();
        for dump in self.dumps() {
            *census.entry(assert_complete(&dump).of("Marker")).or_default() += 1;
        }
        census
    }
}

impl Watcher {
    pub fn start(tool: Tool) -> Self {
        Self(Some(tool.spawn().hear()))
    }

    pub fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().child.id()
    }

    pub fn signal(&self, signal: Signal) {
        self.0.as_ref().unwrap().signal(signal);
    }

    pub fn wait(mut self) -> crate::common::tool::Ended {
        self.0.take().unwrap().wait()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run.signal(Signal::KILL);
            run.wait();
        }
    }
}

fn doomed(version: &str, path: &Path) -> Option<Builder> {
    let builder = TestJvm::builder(version)?.jvm_arg("-Xmx48m").jvm_arg("-XX:+HeapDumpOnOutOfMemoryError");
    Some(builder.jvm_arg(format!("-XX:HeapDumpPath={}", path.display())))
}

#[test]
fn watcher_stores_five_oom_dumps() {
    for version in ["8", "17", "25"] {
        let pod = Pod::new();
        let path = pod.path("java_pid1.hprof");
        let _watcher = pod.watch(&[]);
        for death in 0..5 {
            let Some(builder) = doomed(version, &path) else { return };
            let jvm = builder.arg(format!("markers={}", 100 + death)).start();
            assert_eq!(jvm.say("oom"), "oom");
            assert!(jvm.log().contains("Heap dump file created"), "JDK {version}: {}", jvm.log());
            drop(jvm);
            wait_within("the name is free again", SOON, || !path.exists());
        }
        wait_within("all are stored", SOON, || pod.dumps().len() == 5 && pod.files().is_empty());
        let expected: BTreeMap<u64, usize> = (100..105).map(|markers| (markers, 1)).collect();
        assert_eq!(pod.census(), expected, "JDK {version}");
        let receipt = pod.dumps()[0].to_str().unwrap().replace(".hprof.gz", ".json");
        let receipt: serde_json::Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
        assert_eq!(receipt["dump"]["walk"]["complete"], true, "{receipt}");
        assert_tells_the_error(version, &receipt);
    }
}

/// The JVM's own dump has the stack of the thread that threw the error (`Heap.java`, `exhaust`).
fn assert_tells_the_error(version: &str, receipt: &serde_json::Value) {
    assert_eq!((&receipt["reason"], &receipt["dump"]["pid"]), (&"OutOfMemoryError".into(), &1.into()), "{receipt}");
    let begun = receipt["dump"]["begun"].as_str().unwrap_or_default();
    assert!(
        begun.starts_with("20") && begun.ends_with('Z') && begun[..19] <= receipt["stored"].as_str().unwrap()[..19],
        "{receipt}"
    );
    let stack = &receipt["dump"]["walk"]["out_of_memory_stack"];
    let frame = |at: usize| stack[at].as_str().unwrap_or_default();
    assert!(frame(0).starts_with("Heap.exhaust:") && frame(1).starts_with("Heap."), "JDK {version}: {stack}");
}

#[test]
fn watcher_takes_a_dump_of_any_name_plain_or_gzipped() {
    let pod = Pod::new();
    let Some(builder) = doomed("17", &pod.path("oom.bin")) else { return };
    let jvm = builder.jvm_arg("-XX:HeapDumpGzipLevel=1").arg("markers=41").start();
    assert_eq!(jvm.say("oom"), "oom");
    let Some(sample) = pod.sample(2, 42) else { return };
    std::fs::copy(&sample, pod.path("java_pid1.hprof.1")).unwrap();
    std::fs::write(pod.path("application.log"), "no dump at all, and long enough").unwrap();
    let watcher = pod.watch(&[]);
    wait_within("both are stored", SOON, || pod.dumps().len() == 2 && pod.files().len() == 1);
    // It tells that a moment later.
    wait_within("its status tells both", SOON, || pod.status()["stored"] == 2);
    assert_eq!(pod.census(), BTreeMap::from([(41, 1), (42, 1)]));
    assert!(pod.path("application.log").exists());
    let status = Tool::new(&["status", pod.path("jmap-dump-tool/status.json").to_str().unwrap()]).run().expect(0);
    assert!(String::from_utf8_lossy(&status.stdout).contains("\"stored\":2"), "{status:?}");
    watcher.signal(Signal::TERM);
    watcher.wait().expect(0);
}

#[test]
fn killed_watcher_of_a_local_store_leaves_no_half_object() {
    let (pod, store) = (Pod::new(), tempfile::tempdir().unwrap());
    let Some(sample) = pod.sample(48, 1) else { return };
    let dir = pod.dir.path().to_str().unwrap();
    let args = ["watch", "shop", "cart", "prod", dir, "--store", store.path().to_str().unwrap()];
    let watch = || Watcher(Some(Tool::new(&args).spawn()));
    let files = |end: &'static str| {
        let all = crate::common::shape::files_in(store.path());
        all.into_iter().filter(|path| path.ends_with(end)).collect::<Vec<_>>()
    };
    let begun = Instant::now();
    let put = |round: u32| std::fs::copy(&sample, pod.path(&format!("java_pid{round}.hprof"))).unwrap();
    put(0);
    let watcher = watch();
    wait_within("it is stored", SOON, || files(".json").len() == 1 && pod.files().is_empty());
    drop(watcher);
    let length = begun.elapsed();
    for moment in 1..=moments() {
        let watcher = watch();
        put(moment);
        std::thread::sleep(length * moment / moments());
        watcher.signal(Signal::KILL);
        watcher.wait();
    }
    let _watcher = watch();
    wait_within("all are stored", 4 * SOON, || pod.files().is_empty());
    let dumps = files(".hprof.gz");
    assert_eq!(dumps.len(), moments() as usize + 1);
    dumps.iter().for_each(|dump| assert_eq!(assert_complete(dump).of("Marker"), 1));
    assert_eq!((files(".part"), files(".sorted")), (Vec::new(), Vec::new()));
}

#[test]
fn store_that_shows_nothing_gets_each_dump_once() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(2, 3) else { return };
    pod.server.forbid_looking();
    let _watcher = pod.watch(&[]);
    std::fs::copy(&sample, pod.path("java_pid1.hprof")).unwrap();
    wait_within("it is stored", SOON, || pod.status()["stored"] == 1);
    let parts = pod.server.parts();
    // Two looks at the directory later.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!((pod.server.parts(), &pod.status()["stored"]), (parts, &1.into()));
    assert_eq!(std::fs::read_dir(pod.path("jmap-dump-tool/stored")).unwrap().count(), 1);
}

#[test]
fn planted_files_neither_stop_nor_pass_the_watcher() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(2, 3) else { return };
    let secret = pod.samples.path().join("secret");
    std::fs::write(&secret, "the keys to everything").unwrap();
    let planted = pod.path("jmap-dump-tool-planted");
    std::fs::create_dir(&planted).unwrap();
    let journal = "{\"begin\":{\"key\":{\"dir\":\"p/a/e\",\"stem\":\"20260101T000000Z_a_7_00ff00\",\"tail\":\"_x.gz\"},\
                   \"file\":{\"bytes\":22,\"changed\":0},\"part_size\":5242880,\"receipt\":{\"tool\":\"\",\"run_id\":\"\",\
                   \"exit_code\":0,\"started\":\"\",\"pod\":{\"name\":\"\"}}}}\n";
    let fifo = planted.join("20260101T000000Z_a_7_00ff01.hprof");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let link = planted.join("20260101T000000Z_a_7_00ff00+x");
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    for file in [&fifo, &link] {
        std::fs::write(format!("{}.upload", file.display()), journal).unwrap();
    }
    std::os::unix::fs::symlink(&sample, pod.path("link.hprof")).unwrap();
    let watcher = pod.watch(&["--pattern", "*"]);
    std::fs::copy(&sample, pod.path("java_pid1.hprof")).unwrap();
    wait_within("the dump is stored", SOON, || pod.dumps().len() == 1);
    watcher.signal(Signal::TERM);
    watcher.wait();
    for key in pod.server.objects() {
        let bytes = std::fs::read(pod.server.object(&key)).unwrap();
        let mut raw = Vec::new();
        let _ = std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut raw);
        assert!(!String::from_utf8_lossy(&raw).contains("the keys to everything"), "{key}");
    }
    assert!(sample.exists() && secret.exists());
    // A waiting place that somebody else has made is not used.
    let other = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(pod.samples.path(), other.path().join("jmap-dump-tool")).unwrap();
    let args = ["watch", "a", "b", "c", other.path().to_str().unwrap(), "--store", "/nowhere"];
    assert!(Tool::new(&args).run().expect(2).stderr.contains("no directory of this user alone"));
}

#[test]
fn watcher_stores_a_dump_kept_in_its_directory_once() {
    for version in ["17", "25"] {
        let (pod, Some(builder)) = (Pod::new(), TestJvm::builder(version)) else { return };
        let jvm = builder.arg("mb=64").arg("markers=12").start();
        let _watcher = pod.watch(&[]);
        wait_within("it watches", SOON, || pod.status()["pid"].is_number());
        pod.server.die_after_parts(1);
        let ended = Tool::dump(jvm.pid(), &format!("s3://{BUCKET}"))
            .with_s3(&pod.server)
            .args(&["--dir", pod.dir.path().to_str().unwrap(), "--retry-for", "1s"])
            .run();
        assert_eq!(ended.code, 7, "JDK {version}: {ended:?}");
        pod.server.revive();
        wait_within("it is stored", 2 * SOON, || pod.dumps().len() == 1);
        wait_within("nothing is left", SOON, || {
            crate::common::shape::files_in(pod.dir.path()).iter().all(|path| !path.contains("hprof"))
        });
        assert_eq!(pod.census(), BTreeMap::from([(12, 1)]), "JDK {version}");
        let receipt = pod.dumps()[0].to_str().unwrap().replace(".hprof.gz", ".json");
        let receipt: serde_json::Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
        assert_eq!((&receipt["dump"]["walk"]["complete"], &receipt["dump"]["live_only"]), (&true.into(), &true.into()));
        assert!(receipt["jvm"]["version"].is_string() && receipt["context"].is_string(), "{receipt}");
    }
}

#[test]
fn killed_watcher_loses_nothing_and_stores_nothing_twice() {
    let pod = Pod::new();
    let samples: Vec<PathBuf> = (1..=3).filter_map(|markers| pod.sample(48, markers)).collect();
    if samples.is_empty() {
        return;
    }
    let begun = Instant::now();
    let put = |round: u32| {
        for (index, sample) in samples.iter().enumerate() {
            // As a JVM does: the name is there long before the content is complete.
            std::fs::copy(sample, pod.path(&format!("java_pid{round}{index}.hprof"))).unwrap();
        }
    };
    put(0);
    let watcher = pod.watch(&[]);
    wait_within("all are stored", SOON, || pod.dumps().len() == 3 && pod.files().is_empty());
    drop(watcher);
    let length = begun.elapsed();
    for moment in 1..=moments() {
        let watcher = pod.watch(&[]);
        put(moment);
        std::thread::sleep(length * moment / moments());
        watcher.signal(Signal::KILL);
        watcher.wait();
    }
    let _watcher = pod.watch(&[]);
    // Those that were killed early have left almost all to the last one.
    wait_within("all are stored", SOON * (2 + moments() / 2), || pod.files().is_empty());
    let each = moments() as usize + 1;
    assert_eq!(pod.census(), BTreeMap::from([(1, each), (2, each), (3, each)]));
}

/// Seconds for which the store is down; `JMAP_DUMP_TEST_OUTAGE` makes them more.
fn outage() -> Duration {
    let seconds = std::env::var("JMAP_DUMP_TEST_OUTAGE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6))
}

#[test]
fn everything_arrives_when_a_store_that_was_down_comes_back() {
    let pod = Pod::new();
    let (Some(one), Some(two)) = (pod.sample(24, 1), pod.sample(2, 2)) else { return };
    let _watcher = pod.watch(&[]);
    pod.server.die_after_parts(1);
    std::fs::copy(&one, pod.path("java_pid1.hprof")).unwrap();
    wait_within("the first one fails", SOON, || pod.status()["last_error"].is_string());
    std::fs::copy(&two, pod.path("java_pid1.hprof")).unwrap();
    wait_within("the name is free though the store is down", SOON, || !pod.path("java_pid1.hprof").exists());
    std::thread::sleep(outage());
    assert_eq!(pod.dumps(), Vec::<PathBuf>::new());
    let status = Tool::new(&["status", pod.path("jmap-dump-tool/status.json").to_str().unwrap()]).run();
    assert_eq!(status.code, 0, "a store that is down is no reason to restart the watcher: {status:?}");
    pod.server.revive();
    wait_within("both are stored", 3 * SOON, || pod.dumps().len() == 2 && pod.files().is_empty());
    assert_eq!(pod.census(), BTreeMap::from([(1, 1), (2, 1)]));
}

#[test]
fn dump_of_a_killed_jvm_is_stored_as_incomplete() {
    for version in ["8", "17", "25"] {
        let pod = Pod::new();
        let path = pod.path("java_pid1.hprof");
        let Some(builder) = TestJvm::builder(version) else { return };
        let builder = builder.jvm_arg("-Xmx700m").jvm_arg("-XX:+HeapDumpOnOutOfMemoryError").arg("mb=350");
        let jvm = builder.jvm_arg(format!("-XX:HeapDumpPath={}", path.display())).start();
        jvm.send("oom");
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        let part = pod.path("java_pid1.hprof.p0");
        wait_within("the dump has begun", SOON, || size(&path) + size(&part) > 32 << 20);
        drop(jvm);
        let left = size(&path) + size(&part);
        let _watcher = pod.watch(&["-v"]);
        wait_within(&format!("JDK {version}: it is stored"), SOON, || pod.dumps().len() == 1 && pod.files().is_empty());
        let object = pod.dumps().remove(0);
        // JDK 22 and later may leave the end of the head unwritten: then the parts cannot follow it, and lie beside.
        let objects = pod.server.objects().into_iter().filter(|key| key.ends_with(".gz"));
        let raw_len = |key: String| {
            let file = std::fs::File::open(pod.server.object(&key)).unwrap();
            std::io::copy(&mut flate2::read::MultiGzDecoder::new(file), &mut std::io::sink()).unwrap()
        };
        // JDK 8 leaves a segment without a length: it is stored in segments of 1 MiB, which have a header each.
        let stored = objects.map(raw_len).sum::<u64>();
        let headers = if version == "8" { 9 * (left >> 20) + 18 } else { 0 };
        assert!((left..=left + headers).contains(&stored), "JDK {version}: {stored} of {left}");
        let receipt = std::fs::read(object.to_str().unwrap().replace(".hprof.gz", ".json")).unwrap();
        let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
        let walk = &receipt["dump"]["walk"];
        assert_eq!((&walk["complete"], walk.get("damage")), (&false.into(), None), "JDK {version}");
        if version == "8" {
            let primitive_arrays = walk["records"]["primitive_arrays"].as_u64().unwrap();
            assert!(primitive_arrays > 10, "JDK {version}: {walk}");
            let ended = Tool::new(&["verify", object.to_str().unwrap(), "--output", "json"]).run().expect(5);
            assert_eq!(ended.receipt()["records"], walk["records"]);
            assert_eq!((&walk["mended"], ended.receipt().get("mended")), (&true.into(), None));
        }
    }
}

#[test]
fn files_of_a_pattern_are_stored_once_nobody_writes() {
    let pod = Pod::new();
    let text = "# A fatal error has been detected by the Java Runtime Environment\n";
    let mut writer = std::fs::File::create(pod.path("hs_err_pid7.log")).unwrap();
    std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    std::fs::write(pod.path("gc.txt"), text).unwrap();
    let _watcher = pod.watch(&["--pattern", "hs_err_pid*.log", "--pattern", "*.jfr,core.*", "--keep"]);
    std::fs::write(pod.path("core.7"), text).unwrap();
    let stored = || pod.server.objects().into_iter().filter(|key| key.ends_with(".gz")).collect::<Vec<_>>();
    wait_within("the core is stored", SOON, || stored().len() == 1);
    assert!(pod.path("hs_err_pid7.log").exists());
    drop(writer);
    wait_within("the log is stored", SOON, || stored().len() == 2 && !pod.path("hs_err_pid7.log").exists());
    let key =
        stored().into_iter().find(|key| key.ends_with("_7_hs_err_pid7.log.gz") || key.contains("hs_err")).unwrap();
    let mut back = String::new();
    let file = std::fs::File::open(pod.server.object(&key)).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut back).unwrap();
    assert_eq!(back, text);
    wait_within("both are put aside", SOON, || {
        std::fs::read_dir(pod.path("jmap-dump-tool/stored")).is_ok_and(|dir| dir.count() == 2)
    });
    assert!(pod.path("gc.txt").exists());
}

/// More receipts than a pipe holds.
#[test]
fn stalled_reader_of_receipts_does_not_hold_up_dumps() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(1, 2) else { return };
    let _watcher = pod.watch(&[]);
    for number in 0..30 {
        std::fs::copy(&sample, pod.path(&format!("java_pid{number}.hprof"))).unwrap();
    }
    wait_within("all are stored", 3 * SOON, || pod.status()["stored"] == 30);
}

#[test]
fn full_watcher_keeps_the_first_and_the_newest_dump() {
    let pod = Pod::new();
    let samples: Vec<PathBuf> = (1..=4).filter_map(|markers| pod.sample(2, markers)).collect();
    if samples.is_empty() {
        return;
    }
    pod.server.die_after_parts(0);
    let _watcher = pod.watch(&["--max-local", "2"]);
    for sample in &samples {
        let path = pod.path("java_pid1.hprof");
        std::fs::copy(sample, &path).unwrap();
        wait_within("it is taken", SOON, || !path.exists());
        // The names of what waits tell its time to the second.
        std::thread::sleep(Duration::from_millis(1100));
    }
    wait_within("two are given up", SOON, || pod.status()["given_up"] == 2);
    pod.server.revive();
    wait_within("the others are stored", 2 * SOON, || pod.dumps().len() == 2 && pod.files().is_empty());
    assert_eq!(pod.census(), BTreeMap::from([(1, 1), (4, 1)]));
}

#[test]
fn a_dump_that_cannot_be_read_is_told_at_once_whatever_its_name() {
    if !rustix::process::geteuid().is_root() {
        return crate::common::bed::skip("not root; run the tests as root");
    }
    let pod = Pod::new();
    let program = pod.samples.path().join("jmap-dump-tool");
    install(binary(), &program);
    for dir in [pod.dir.path(), pod.samples.path()] {
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    // Too short for the start of a dump, a part of another one, a journal: none of them is one by itself.
    for (name, bytes) in [("oom.bin", 20), ("lock", 7), ("oom.bin.p0", 20), ("oom.bin.upload", 20)] {
        std::fs::write(pod.path(name), vec![b'J'; bytes]).unwrap();
        std::fs::set_permissions(pod.path(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let dir = pod.dir.path().to_str().unwrap();
    let store = pod.samples.path().join("store");
    let args = ["watch", "shop", "cart", "prod", dir, "--store", store.to_str().unwrap()];
    let watcher = Tool::of(&program, &args).command(|command| {
        std::os::unix::process::CommandExt::uid(command, 1000);
    });
    let watcher = Watcher(Some(watcher.spawn()));
    wait_within("it is told", SOON, || pod.status()["obstacles"].to_string().contains("oom.bin cannot be read"));
    assert_eq!(pod.status()["obstacles"].as_array().map(Vec::len), Some(1), "{}", pod.status());
    let status = Tool::new(&["status", pod.path("jmap-dump-tool/status.json").to_str().unwrap()]).run().expect(0);
    assert!(status.stderr.contains("cannot be read"), "{status:?}");
    watcher.signal(Signal::TERM);
    let ended = watcher.wait().expect(0);
    assert!(ended.stderr.contains("oom.bin cannot be read") && ended.stderr.contains("run as the JVM's user"));
}

/// A process that may have no more threads: the one that stores needs some.
#[test]
fn watcher_without_threads_says_so_and_keeps_the_dump() {
    if !rustix::process::geteuid().is_root() {
        return crate::common::bed::skip("not root; run the tests as root");
    }
    let (pod, dump) = (Pod::new(), [b"JAVA PROFILE 1.0.2\0\0\0\0\x08".as_slice(), &[0; 8], &[0x2c], &[0; 8]].concat());
    let (program, store) = (pod.samples.path().join("jmap-dump-tool"), pod.samples.path().join("store"));
    install(binary(), &program);
    std::fs::set_permissions(pod.samples.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    // The kernel counts the threads of a process that has ended for a moment longer: each watcher has its own user.
    let watcher = |threads: u32, user: u32, dir: &Path| {
        let threads = format!("--nproc={threads}");
        let args = [&threads, program.to_str().unwrap(), "watch", "shop", "cart", "prod", dir.to_str().unwrap()];
        std::fs::write(dir.join("java_pid1.hprof"), &dump).unwrap();
        for path in [dir, &dir.join("java_pid1.hprof")] {
            std::os::unix::fs::chown(path, Some(user), None).unwrap();
        }
        let watcher =
            Tool::of(Path::new("/usr/bin/prlimit"), &args).args(&["--store", store.to_str().unwrap(), "--grace", "1s"]);
        watcher.command(|command| _ = std::os::unix::process::CommandExt::uid(command, user)).spawn().hear()
    };
    // One looks, one is for signals, and one ends a run that hangs: none is left that stores.
    let few = tempfile::tempdir().unwrap();
    let ended = watcher(3, 47_113, few.path()).wait().expect(6);
    assert!(ended.stderr.contains("raise the limit of processes"), "{}", ended.stderr);
    // One that stores, and none that compresses.
    let stores = watcher(4, 47_114, pod.dir.path());
    let status = pod.path("jmap-dump-tool/status.json");
    let says = |text: &str| std::fs::read_to_string(&status).is_ok_and(|status| status.contains(text));
    wait_within("it says what it lacks", SOON, || says("cannot be started") && says("raise the limit of processes"));
    stores.signal(Signal::TERM);
    stores.wait().expect(8);
    assert!(pod.files().iter().any(|file| file.ends_with(".hprof")), "the dump waits for the next start");
}

#[test]
fn signalled_watcher_ends_its_upload_and_the_next_goes_on() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(8, 5) else { return };
    let watcher = pod.watch(&[]);
    pod.server.stall(Duration::from_millis(700));
    std::fs::copy(&sample, pod.path("java_pid1.hprof")).unwrap();
    wait_within("it is taken", SOON, || !pod.path("java_pid1.hprof").exists());
    std::fs::copy(&sample, pod.path("java_pid1.hprof")).unwrap();
    watcher.signal(Signal::TERM);
    watcher.wait().expect(0);
    assert_eq!(pod.census(), BTreeMap::from([(5, 2)]));
    // No time at all: what waits is named, and stored by the next one.
    pod.server.stall(Duration::from_secs(20));
    let watcher = pod.watch(&["--grace", "1s"]);
    std::fs::copy(&sample, pod.path("java_pid1.hprof")).unwrap();
    wait_within("it is taken", SOON, || !pod.path("java_pid1.hprof").exists());
    watcher.signal(Signal::TERM);
    let ended = watcher.wait().expect(8);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("kept for the next start"), "{ended:?}");
    let hint = ended.stderr.lines().last().unwrap_or_default();
    assert!(hint.contains("--grace") && !hint.contains("--deadline"), "{hint}");
    pod.server.stall(Duration::ZERO);
    let _watcher = pod.watch(&[]);
    wait_within("all are stored", SOON, || pod.dumps().len() == 3 && pod.files().is_empty());
}
