//! `watch --when` beside JVMs that leak until the kernel kills them, or an OutOfMemoryError ends them. `make endurance`
//! makes twenty of them: `JMAP_DUMP_TEST_LEAKS` is their number, and
//! `JMAP_DUMP_TEST_LEAK_FIRST` the first one. Each line tells what the store had at the end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::common::bed;
use crate::common::container::builder::Builder;
use crate::common::container::{Container, JAVA_HOME};
use crate::common::hprof_check::try_census;
use crate::common::s3::{BUCKET, S3Server};
use crate::common::tool::binary;
use crate::containers::INSIDE;

/// Runs at the same time: each takes a processor while it dumps.
const AT_A_TIME: usize = 2;

const HEAP_MB: u64 = 2048;
const MB_PER_SECOND: u32 = 50;
const STORE_BYTES_PER_SECOND: usize = 20_000_000;

/// As docs/before-the-kernel-kills.md has them. `--for` has its default.
const CONDITIONS: &str = "heap>85%,heap+10%/5m,memory>90%";

const VERSIONS: [&str; 4] = ["8", "17", "21", "25"];

/// Longer than any leak here, with its dump.
const PATIENCE: Duration = Duration::from_secs(400);

/// A JVM that is killed with less than this share of what it leaked alone was killed by the watcher. When a collector
/// moves its objects, the memory of a JVM grows by up to 500 MB at once, so that two JVMs alone end 10 % apart.
const EARLY_PERCENT: u64 = 80;

/// What a sidecar may need after the JVM has ended, for the upload.
const LATE: Duration = Duration::from_secs(90);

/// A JVM that leaks, and how it ends.
#[derive(Debug, Clone, Copy)]
struct Leak {
    version: &'static str,
    /// `None` for the JVM's own choice.
    collector: Option<&'static str>,
    /// Of the container, in percent of the largest heap. At 100 the kernel kills; at 130 there is an OutOfMemoryError.
    limit: u64,
    /// MB at once.
    step: u32,
    sidecar: bool,
}

impl Leak {
    fn number(index: usize) -> Self {
        let version = VERSIONS[index % VERSIONS.len()];
        let own = Self { version, collector: None, limit: 100, step: 1, sidecar: false };
        let rare =
            ["-XX:+UseG1GC", "-XX:+UseParallelGC", "-XX:+UseZGC", "-XX:+UseShenandoahGC"][index % VERSIONS.len()];
        match index / VERSIONS.len() % 5 {
            0 => own,
            1 => Self { step: 100, sidecar: true, ..own },
            2 => Self { limit: 130, sidecar: true, ..own },
            3 => Self { collector: Some("-XX:+UseSerialGC"), ..own },
            _ => Self { collector: Some(rare), limit: 130, step: 100, ..own },
        }
    }

    /// A container with the JVM as its only process, or in the process namespace of `pause`.
    fn start(&self, pause: Option<&Container>) -> Option<Container> {
        let heap = format!("-Xmx{HEAP_MB}m");
        let mut line = vec![format!("{JAVA_HOME}/bin/java"), heap, "-XX:+ExitOnOutOfMemoryError".into()];
        line.extend(self.collector.map(str::to_owned));
        line.extend(["-cp", "/classes", "Leak"].map(str::to_owned));
        line.extend([MB_PER_SECOND.to_string(), self.step.to_string()]);
        let builder = Container::builder(self.version)?.memory_limit((HEAP_MB << 20) * self.limit / 100);
        let builder = builder.bind_read_only(bed::classes(), "/classes");
        let builder = pause.into_iter().fold(builder, Builder::share_pid_ns_of);
        let mut container = builder.entry(&line.iter().map(String::as_str).collect::<Vec<_>>()).start();
        container.ready();
        Some(container)
    }
}

/// What was at the end of a leak.
struct End {
    leaked_mb: u64,
    seconds: f64,
}

/// Waits until the JVM has ended.
fn end_of(jvm: &Container, begun: Instant) -> Result<End, String> {
    while jvm.is_alive() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("the JVM lives after {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = jvm.log();
    let leaked_mb = log.lines().rev().find_map(|line| line.strip_prefix("LEAKED ")?.parse().ok());
    Ok(End { leaked_mb: leaked_mb.unwrap_or(0), seconds: begun.elapsed().as_secs_f64() })
}

/// What the store has.
struct Stored {
    /// Receipts by the kind of their object: `hprof`, `threads`, …
    receipts: BTreeMap<String, Value>,
    /// Seconds between the end of the JVM and the dump; negative if the dump was first.
    dump_after: Option<f64>,
}

impl Stored {
    fn of(server: &S3Server, end: SystemTime) -> Result<Self, String> {
        let keys = server.objects();
        let mut stored = Self { receipts: BTreeMap::new(), dump_after: None };
        for key in keys.iter().filter(|key| key.ends_with(".gz")) {
            let stem = key.trim_end_matches(".gz").trim_end_matches(".hprof");
            let Ok(receipt) = std::fs::read(server.object(&format!("{stem}.json"))) else { continue };
            let receipt = serde_json::from_slice(&receipt).map_err(|error| format!("{stem}.json: {error}"))?;
            let path = server.object(key);
            let kind = if key.ends_with(".hprof.gz") {
                let census = try_census(&path)?;
                if !census.ended || census.of("Kept") == 0 {
                    return Err(format!("{key} is not whole: {census:?}"));
                }
                let at =
                    std::fs::metadata(&path).and_then(|meta| meta.modified()).map_err(|error| error.to_string())?;
                stored.dump_after = Some(match at.duration_since(end) {
                    Ok(after) => after.as_secs_f64(),
                    Err(before) => -before.duration().as_secs_f64(),
                });
                "hprof"
            } else {
                stem.trim_end_matches(".txt").rsplit('_').next().unwrap_or(stem)
            };
            stored.receipts.insert(kind.to_owned(), receipt);
        }
        Ok(stored)
    }

    fn has_artefacts(&self) -> bool {
        ["threads", "histogram", "memory"].iter().all(|kind| self.reason(kind).is_some())
    }

    fn reason(&self, kind: &str) -> Option<&str> {
        self.receipts.get(kind)?["reason"].as_str()
    }

    fn told(&self) -> String {
        let dump = match self.dump_after {
            Some(after) => {
                format!("dump {:.0} s {} the end", after.abs(), if after < 0.0 { "before" } else { "after" })
            }
            None => "no dump".into(),
        };
        let kinds: Vec<_> = self.receipts.keys().filter(|kind| *kind != "hprof").map(String::as_str).collect();
        let reason = self.reason("hprof").or(self.reason("threads")).unwrap_or("nothing was stored");
        format!("{dump}, {} ({reason})", if kinds.is_empty() { "no artefacts".into() } else { kinds.join(" ") })
    }
}

/// Runs a leak without the watcher, and with it. Returns the line to print, and whether something was stored.
fn run(leak: Leak) -> Result<(String, bool), String> {
    let skipped = || "it cannot be run here".to_owned();
    let pause = || Some(Container::builder(leak.version)?.idle().start());
    let control = {
        let pause = if leak.sidecar { Some(pause().ok_or_else(skipped)?) } else { None };
        let jvm = leak.start(pause.as_ref()).ok_or_else(skipped)?;
        end_of(&jvm, Instant::now())?
    };
    let server = S3Server::start();
    server.throttle(STORE_BYTES_PER_SECOND);
    let pause = if leak.sidecar { Some(pause().ok_or_else(skipped)?) } else { None };
    let jvm = leak.start(pause.as_ref()).ok_or_else(skipped)?;
    let begun = Instant::now();
    let place = match &pause {
        Some(pause) => {
            let builder = Container::builder(leak.version).ok_or_else(skipped)?;
            Some(builder.share_pid_ns_of(pause).idle().start())
        }
        None => None,
    };
    let place = place.as_ref().unwrap_or(&jvm);
    place.copy_in(binary(), INSIDE);
    let store = format!("s3://{BUCKET}");
    let words = [INSIDE, "watch", "shop", "cart", "prod", "/tmp", "--store", &store, "--when", CONDITIONS, "-v"];
    let flags = server.flags();
    let words = [&words[..], &flags.iter().map(String::as_str).collect::<Vec<_>>()].concat();
    let mut watcher = place.command(&words).with_key().time_limit(2 * PATIENCE).spawn();
    let end = end_of(&jvm, begun)?;
    let ended = SystemTime::now();
    if leak.sidecar {
        let begun = Instant::now();
        let stored = || server.objects().iter().any(|key| key.ends_with(".hprof.gz"));
        let is_at_it = || !server.unfinished_uploads().is_empty() || begun.elapsed() < Duration::from_secs(10);
        while watcher.is_alive() && !stored() && is_at_it() && begun.elapsed() < LATE {
            std::thread::sleep(Duration::from_millis(200));
        }
        // The receipt comes after the object.
        std::thread::sleep(Duration::from_secs(2));
        watcher.kill();
    }
    let told = watcher.wait().stderr;
    let stored = Stored::of(&server, ended)?;
    let (is_stored, text) = (stored.dump_after.is_some() || stored.has_artefacts(), stored.told());
    let Leak { version, collector, limit, step, sidecar } = leak;
    let line = format!(
        "JDK {version} {}, limit {limit} %, steps of {step} MB, {}: alone {} MB in {:.0} s, watched {} MB in {:.0} s; {text}",
        collector.unwrap_or("own collector"),
        if sidecar { "sidecar" } else { "inside" },
        control.leaked_mb,
        control.seconds,
        end.leaked_mb,
        end.seconds,
    );
    if end.leaked_mb * 100 < control.leaked_mb * EARLY_PERCENT {
        return Err(format!("{line}: it was killed early; {told}"));
    }
    Ok((if is_stored { line } else { format!("{line}; {told}") }, is_stored))
}

#[test]
fn leaks_are_stored_before_their_containers_end() {
    let number = |name: &str| -> Option<usize> { std::env::var(name).ok()?.parse().ok() };
    let Some(count) = number("JMAP_DUMP_TEST_LEAKS") else {
        return bed::skip("twenty leaks take half an hour; make endurance runs them");
    };
    let first = number("JMAP_DUMP_TEST_LEAK_FIRST").unwrap_or(0);
    assert!(bed::classes().join("Leak.class").exists(), "run tests/bed/install.sh");
    let (queue, results) = (Mutex::new(first..first + count), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(index) = queue.lock().unwrap().next() else { break };
                    let result = run(Leak::number(index));
                    eprintln!(
                        "LEAK {index}: {}",
                        result.as_ref().map_or_else(|why| format!("FAILED: {why}"), |(line, _)| line.clone())
                    );
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let stored = results.iter().filter(|result| matches!(result, Ok((_, true)))).count();
    let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    eprintln!("LEAKS: {stored} of {count} stored, {} killed early or failed", failed.len());
    assert!(failed.is_empty(), "{failed:?}");
    assert!(stored * 10 >= count * 9, "{stored} of {count}");
}
