//! `take`: each kind on each JVM, read by an independent reader; what it must not tell; what it does when something fails.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::bed::{self, VERSIONS};
use crate::common::container::Container;
use crate::common::heap_shares::shares;
use crate::common::hostile_jvm::HostileJvm;
use crate::common::hostile_store::run_measured;
use crate::common::jvm::{TestJvm, default_sigquit};
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::schema::assert_known;
use crate::common::tool::{Ended, Tool, binary};
use crate::containers::INSIDE;

const ALL: &str = "threads,histogram,memory,info";

/// Secrets of a JVM, each by its own way: a property, an argument with line breaks, the environment, JAVA_TOOL_OPTIONS, and
/// a flag whose value is a command.
const SECRETS: [&str; 5] = ["S3cr3t-of-D", "S3cr3t-of-arg", "S3cr3t-of-env", "S3cr3t-of-tool", "S3cr3t-of-flag"];

fn take(kinds: &str, pid: u32, store: &str) -> Tool {
    let pid = pid.to_string();
    Tool::new(&["take", kinds, "shop", "cart", "prod", "--output", "json", "--pid", &pid, "--store", store])
}

/// The receipts of a run, by the kind of the artefact.
fn receipts(ended: &Ended) -> BTreeMap<String, Value> {
    let all = serde_json::Deserializer::from_slice(&ended.stdout).into_iter::<Value>().map(|one| one.unwrap());
    all.map(|receipt| (receipt["artefact"].as_str().unwrap_or_default().to_owned(), receipt)).collect()
}

fn path_of(receipt: &Value) -> PathBuf {
    receipt["object"]["url"].as_str().map(PathBuf::from).unwrap_or_else(|| panic!("nothing stored: {receipt}"))
}

fn text_of(receipt: &Value) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(path_of(receipt)).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

/// Instances by class, as Java writes its name, and the total of a histogram.
fn histogram(text: &str) -> (BTreeMap<String, u64>, u64) {
    let mut classes = BTreeMap::new();
    let mut total = 0;
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["Total", instances, _bytes] => total = instances.parse().unwrap(),
            [rank, instances, _bytes, name, ..] if rank.ends_with(':') => {
                *classes.entry(name.to_owned()).or_default() += instances.parse::<u64>().unwrap();
            }
            _ => {}
        }
    }
    (classes, total)
}

#[test]
fn each_kind_of_each_jvm_is_what_another_reader_finds() {
    for version in VERSIONS {
        let Some(jvm) = TestJvm::builder(version) else { continue };
        let jvm = jvm
            .jvm_arg(format!("-Dapp.password={}", SECRETS[0]))
            .jvm_arg(format!("-Dapp.pem=BEGIN\n\nHeap:\n{}\n\nOS:\n{}\n\n", SECRETS[1], SECRETS[1]))
            .jvm_arg(format!("-XX:OnOutOfMemoryError=curl {}", SECRETS[4]))
            .jvm_arg("-XX:NativeMemoryTracking=summary")
            .jvm_arg("-Xmx200m")
            .arg(format!("secret={}", SECRETS[1]))
            .arg("plant=Planted-of-heap")
            .arg("garbage=50000")
            .env("APP_PASSWORD", SECRETS[2])
            .env("JAVA_TOOL_OPTIONS", format!("-Dapp.tool={}", SECRETS[3]))
            .start();
        let store = tempfile::tempdir().unwrap();
        let store_path = store.path().to_str().unwrap();
        let ended = take(ALL, jvm.pid(), store_path).args(&["--requested-by", "anna@example.com"]).run().expect(0);
        let taken = receipts(&ended);
        assert_eq!(taken.len(), 4, "JDK {version}: {ended:?}");
        for (kind, receipt) in &taken {
            assert_stored(kind, receipt);
            let text = text_of(receipt);
            for secret in SECRETS.iter().chain(&["Planted-of-heap"]) {
                assert!(!text.contains(secret), "JDK {version}: {kind} tells {secret}");
                assert!(!receipt.to_string().contains(secret), "JDK {version}: the receipt tells {secret}");
            }
        }
        let threads = text_of(&taken["threads"]);
        assert!(threads.contains("\"a readable thread\"") && threads.contains("Planted"), "JDK {version}: {threads}");
        assert_info(version, &text_of(&taken["info"]));
        assert_memory(version, &text_of(&taken["memory"]));
        let marker = histogram(&text_of(&taken["histogram"])).0.get("Marker").copied();
        assert_eq!(marker, Some(51_000), "JDK {version}: a collection was made");
        // The JVM may collect by itself between the two.
        let compare = || {
            let counted = receipts(&take("histogram", jvm.pid(), store_path).run().expect(0));
            let dump = Tool::dump(jvm.pid(), store_path).args(&["--all", "--requested-by", "bob"]).run().expect(0);
            assert_eq!(dump.receipt()["requested_by"], "bob");
            compare_heaps(&text_of(&counted["histogram"]), &dump.stored())
        };
        let compared = compare().or_else(|_| compare()).or_else(|_| compare());
        compared.unwrap_or_else(|why| panic!("JDK {version}: {why}"));
        assert!(!jvm.log().contains("Full thread dump"), "JDK {version}: {}", jvm.log());
    }
}

fn assert_stored(kind: &str, receipt: &Value) {
    let path = path_of(receipt);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with(&format!("_{}_{kind}.txt.gz", receipt["run_id"].as_str().unwrap())), "{name}");
    assert_eq!(receipt["requested_by"], "anna@example.com");
    assert_eq!(receipt["object"]["bytes"], path.metadata().unwrap().len());
    let beside = std::fs::read(path.to_str().unwrap().replace(".txt.gz", ".txt.json"));
    let beside: Value = serde_json::from_slice(&beside.unwrap()).unwrap();
    assert_eq!(beside["artefact"], kind);
    assert_known(beside);
}

fn assert_info(version: &str, info: &str) {
    for part in ["=== version\n", "-XX:MaxHeapSize=209715200\n", "=== heap\n"] {
        assert!(info.contains(part), "JDK {version}: no {part}: {info}");
    }
    assert!(!info.contains("OnOutOfMemoryError"), "JDK {version}: {info}");
    // The arguments of this JVM look like these two.
    assert!(!info.contains("=== Heap\n") && !info.contains("=== OS\n"), "JDK {version}: {info}");
    assert_eq!(info.contains("=== /proc/meminfo\n"), version != "8", "JDK {version}: {info}");
}

fn assert_memory(version: &str, memory: &str) {
    for part in ["Threads:", "VmRSS:", "shared libraries", "anonymous: Java heap", "Java Heap (reserved=204800KB"] {
        assert!(memory.contains(part), "JDK {version}: no {part}: {memory}");
    }
}

/// Each class that has enough objects, and the sum. Objects of `java.lang.Class` are no instances in a dump, and the
/// collectors fill dead room with arrays.
fn compare_heaps(text: &str, dump: &Path) -> Result<(), String> {
    let (counted, total) = histogram(text);
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for share in shares(dump) {
        *found.entry(share.name).or_default() += share.instances;
    }
    if counted.get("Marker") != found.get("Marker") {
        return Err(format!("Marker: {:?}, in the dump {:?}", counted.get("Marker"), found.get("Marker")));
    }
    let skipped = ["java.lang.Class", "[I", "[Ljdk.internal.vm.FillerElement;"];
    let mut compared = 0;
    for (name, instances) in counted.iter().filter(|(name, n)| **n >= 50 && !skipped.contains(&name.as_str())) {
        let of_dump = found.get(&as_java_writes(name)).copied().unwrap_or(0);
        if of_dump.abs_diff(*instances) > instances / 10 + 60 {
            return Err(format!("{name}: {instances}, in the dump {of_dump}"));
        }
        compared += 1;
    }
    assert!(compared > 10, "only {compared} classes were compared");
    let of_dump: u64 = found.values().sum::<u64>() + counted["java.lang.Class"];
    if of_dump.abs_diff(total) >= total / 20 + 200 {
        return Err(format!("{total} objects, in the dump {of_dump}"));
    }
    Ok(())
}

/// `[Ljava.lang.String;` as `java.lang.String[]`.
fn as_java_writes(name: &str) -> String {
    let element = name.trim_start_matches('[');
    let dimensions = name.len() - element.len();
    let word = match element {
        "B" => "byte",
        "C" => "char",
        "S" => "short",
        "I" => "int",
        "J" => "long",
        "F" => "float",
        "D" => "double",
        "Z" => "boolean",
        other if dimensions > 0 => other.trim_start_matches('L').trim_end_matches(';'),
        other => other,
    };
    if dimensions == 0 { name.to_owned() } else { word.to_owned() + &"[]".repeat(dimensions) }
}

#[test]
fn taken_objects_are_listed_and_fetched_like_a_dump() {
    let (Some(jvm), server, dir) = (TestJvm::builder("21"), S3Server::start(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let jvm = jvm.start();
    let store = format!("s3://{BUCKET}");
    let flags = server.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let with_keys = |tool: Tool| {
        tool.args(&flags).env("JMAP_DUMP_ACCESS_KEY_ID", KEY).env("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET).run().expect(0)
    };
    let taken = receipts(&with_keys(take(ALL, jvm.pid(), &store)));
    assert_eq!(taken.values().filter(|receipt| receipt["object"]["verified"] != "acknowledged").count(), 4);
    assert!(server.unfinished_uploads().is_empty());
    let list = with_keys(Tool::new(&["list", "shop", "--output", "json", "--store", &store]));
    let list: Vec<Value> = serde_json::from_slice(&list.stdout).unwrap();
    let mut kinds: Vec<&str> = list.iter().filter_map(|row| row["kind"].as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["histogram", "info", "memory", "threads"]);
    assert!(list.iter().all(|row| row["jvm"].is_string() && row["sha256"].is_string()), "{list:?}");
    let key = taken["threads"]["object"]["key"].as_str().unwrap();
    with_keys(Tool::new(&["fetch", key, "--gunzip", "--to", dir.path().to_str().unwrap(), "--store", &store]));
    let name = key.rsplit('/').next().unwrap().trim_end_matches(".gz");
    assert!(std::fs::read_to_string(dir.path().join(name)).unwrap().contains("Full thread dump"));
}

#[test]
fn failed_kind_does_not_keep_the_others_from_being_stored() {
    let (Some(jvm), store) = (TestJvm::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let jvm = jvm.jvm_arg("-XX:+DisableAttachMechanism").start();
    let ended = take("threads,memory,info", jvm.pid(), store.path().to_str().unwrap()).run().expect(4);
    let taken = receipts(&ended);
    assert!(taken["threads"]["error"]["message"].as_str().unwrap().contains("DisableAttachMechanism"), "{ended:?}");
    assert!(taken["info"]["error"]["message"].as_str().unwrap().contains("was not asked"), "{ended:?}");
    let memory = text_of(&taken["memory"]);
    assert!(memory.contains("VmRSS:") && memory.contains("not asked: "), "{memory}");
    assert!(taken["memory"]["warnings"][0].as_str().unwrap().contains("was not asked"), "{ended:?}");
    assert_eq!(crate::secrets::files_below(store.path()).len(), 2, "the object and its receipt");
}

#[test]
fn jvm_that_never_answers_ends_the_run_with_its_deadline() {
    let (Some(jvm), store) = (TestJvm::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let jvm = jvm.start();
    let store = store.path().to_str().unwrap();
    take("threads", jvm.pid(), store).run().expect(0);
    let pid = rustix::process::Pid::from_raw(jvm.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    let begun = Instant::now();
    let ended = take("threads,memory", jvm.pid(), store).args(&["--deadline", "4s"]).run();
    let took = begun.elapsed();
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    let taken = receipts(&ended.expect(8));
    assert!(took < Duration::from_secs(8), "{took:?}");
    // The kernel tells of a JVM that stands still.
    assert!(text_of(&taken["memory"]).contains("VmRSS:"));
    assert_eq!(jvm.say("ping"), "pong");
}

#[test]
fn text_of_300_mb_is_stored_within_little_memory() {
    let store = tempfile::tempdir().unwrap();
    let jvm = HostileJvm::start("many threads", "", "1000");
    let (ended, most) = run_measured(take("threads", jvm.pid(), store.path().to_str().unwrap()));
    let taken = receipts(&ended.expect(0));
    let file = std::fs::File::open(path_of(&taken["threads"])).unwrap();
    let bytes = std::io::copy(&mut flate2::read::MultiGzDecoder::new(file), &mut std::io::sink()).unwrap();
    assert!(bytes > 300 << 20, "{bytes} bytes");
    assert!(most < 64, "{most} MiB of memory");
}

#[test]
fn answer_without_its_end_is_not_stored() {
    let store = tempfile::tempdir().unwrap();
    let jvm = HostileJvm::start("", "", "1000");
    let ended = take("histogram,threads", jvm.pid(), store.path().to_str().unwrap()).run().expect(5);
    assert!(ended.stderr.contains("not whole"), "{ended:?}");
    assert!(crate::secrets::files_below(store.path()).is_empty());
}

#[test]
fn container_without_tmp_tells_its_own_memory() {
    let (Some(container), store) = (Container::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let container = container.memory_limit(600 << 20).jvm_arg("-Xmx200m").bind(store.path(), "/store").start();
    container.copy_in(binary(), INSIDE);
    let words = [INSIDE, "take", "memory,threads", "shop", "cart", "prod", "--output", "json", "--store", "/store"];
    let ended = container.exec(&words);
    assert_eq!(ended.code, 0, "{ended:?}");
    let files = crate::secrets::files_below(store.path());
    let memory = files.iter().find(|path| path.to_str().unwrap().ends_with("_memory.txt.gz")).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(memory).unwrap()).read_to_string(&mut text).unwrap();
    let limit = (600 << 20).to_string();
    assert!(text.lines().any(|line| line.contains("memory.") && line.ends_with(&limit)), "{text}");
    assert!(text.contains("page cache not counted") && text.contains(" of 600.0 MiB"), "{text}");
}

#[test]
fn three_words_dump_and_a_wrong_word_does_nothing() {
    let (Some(jvm), store) = (TestJvm::builder("17"), tempfile::tempdir().unwrap()) else { return };
    let jvm = jvm.arg("markers=7").start();
    let (pid, store_path) = (jvm.pid().to_string(), store.path().to_str().unwrap());
    let words = |words: &[&str]| Tool::new(words).args(&["--pid", &pid, "--store", store_path, "--output", "json"]);
    let dump = words(&["take", "cart", "prod"]).run().expect(0);
    assert_eq!(dump.receipt()["place"], "take/cart/prod");
    assert!(dump.receipt().get("artefact").is_none());
    let stored = crate::secrets::files_below(store.path()).len();
    for wrong in ["threads,heap", "dump", "threads,", ""] {
        let ended = words(&["take", wrong, "shop", "cart", "prod"]).run().expect(2);
        assert!(ended.stderr.contains("threads, histogram, memory or info"), "{wrong:?}: {ended:?}");
    }
    for requester in ["", &"x".repeat(300), "anna\u{1b}[2J", "anna\nroot"] {
        let ended = words(&["take", "info", "shop", "cart", "prod", "--requested-by", requester]).run().expect(2);
        assert!(ended.stderr.contains("requested_by"), "{requester:?}: {ended:?}");
    }
    let signed = ["take", "info", "shop", "cart", "prod", "--store", "https://h/b/k?X-Amz-Signature=x"];
    Tool::new(&signed).run().expect(2);
    assert_eq!(crate::secrets::files_below(store.path()).len(), stored);
}

#[test]
fn collectors_count_no_collection_for_any_kind() {
    let collectors = [("8", "Parallel"), ("17", "Z"), ("21", "Shenandoah"), ("21", "Serial"), ("25", "G1")];
    for (version, collector) in collectors {
        let Some(jvm) = TestJvm::builder(version) else { continue };
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("gc.log");
        let jvm = jvm.jvm_arg(format!("-XX:+Use{collector}GC")).jvm_arg(format!("-Xloggc:{}", log.display()));
        let jvm = jvm.jvm_arg("-Xmx200m").arg("garbage=50000").start();
        let collections = || std::fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains("GC")).count();
        let before = collections();
        assert!(before > 0, "JDK {version} {collector}: no log");
        let store = dir.path().join("store");
        std::fs::create_dir(&store).unwrap();
        let taken = receipts(&take(ALL, jvm.pid(), store.to_str().unwrap()).run().expect(0));
        assert_eq!(collections(), before, "JDK {version} {collector}");
        // These two walk what can be reached only.
        let expected = if ["Z", "Shenandoah"].contains(&collector) { 1000 } else { 51_000 };
        let counted = histogram(&text_of(&taken["histogram"])).0;
        assert_eq!(counted.get("Marker"), Some(&expected), "JDK {version} {collector}");
    }
}

/// A stand-in: one with attach support cannot be had.
#[test]
fn native_image_that_knows_no_threads_says_so_in_its_words() {
    let program = bed::bed().join("native-double");
    let store = tempfile::tempdir().unwrap();
    let double = default_sigquit().arg(program).arg("/dev/null").stdout(Stdio::piped()).spawn();
    let mut double = crate::harm::Guarded(double.unwrap());
    let mut line = String::new();
    BufReader::new(double.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ended = take("threads,memory", double.0.id(), store.path().to_str().unwrap()).run().expect(5);
    assert!(ended.stderr.contains("gave no threads: Unknown diagnostic command"), "{ended:?}");
    assert!(text_of(&receipts(&ended)["memory"]).contains("VmRSS:"));
}

#[test]
fn openj9_tells_its_memory_and_names_its_own_tools() {
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let process = crate::harm::openj9(dir.path());
    let ended = take("threads,memory", process.0.id(), store.path().to_str().unwrap()).run().expect(4);
    assert!(ended.stderr.contains("OpenJ9") && ended.stderr.contains("Thread.print"), "{ended:?}");
    assert!(text_of(&receipts(&ended)["memory"]).contains("VmRSS:"));
    Tool::new(&["take", "threads", "shop", "cart", "prod", "--pid", "1", "--store", "-"]).run().expect(3);
}
