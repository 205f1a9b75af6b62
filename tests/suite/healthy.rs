//! `watch --when` beside healthy JVMs: no dump, no attach, and what the watcher costs. `make endurance` watches them for an
//! hour in time-lapse: `JMAP_DUMP_TEST_HEALTHY` is the number of seconds, and 60 s of `--for` shrink with the hour.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::bed::skip;
use crate::common::container::Container;
use crate::common::container::exec::Running;
use crate::common::jvm::TestJvm;
use crate::common::shape::files_in;
use crate::common::tool::binary;
use crate::containers::INSIDE;
use crate::watch::{Pod, Watcher};

/// Most anonymous memory of a watcher, and most of a processor that it takes.
const MEMORY_MAX: u64 = 12 << 20;
const PROCESSOR_MAX: f64 = 0.002;

const HOUR: f64 = 3600.0;

/// The container that is full all the time: its JVM gets no heap dump, and lives.
const FULL: &str = "container that stays 92 % full";

/// Kernel: `USER_HZ`, the unit of the times in `/proc/PID/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// The collectors, each with 60 MB of garbage a second beside 110 MB that live, and then other healthy JVMs.
const PLAIN: [Plain; 10] = [
    Plain { what: "garbage, Serial", version: "8", jvm: "-Xmx400m -XX:+UseSerialGC", args: "mb=90", says: "churn 60" },
    Plain {
        what: "garbage, Parallel",
        version: "17",
        jvm: "-Xmx400m -XX:+UseParallelGC",
        args: "mb=90",
        says: "churn 60",
    },
    Plain { what: "garbage, G1", version: "21", jvm: "-Xmx400m -XX:+UseG1GC", args: "mb=90", says: "churn 60" },
    Plain { what: "garbage, ZGC", version: "25", jvm: "-Xmx400m -XX:+UseZGC", args: "mb=90", says: "churn 60" },
    Plain {
        what: "garbage, Shenandoah",
        version: "25",
        jvm: "-Xmx400m -XX:+UseShenandoahGC",
        args: "mb=90",
        says: "churn 60",
    },
    Plain { what: "garbage, G1 of JDK 8", version: "8", jvm: "-Xmx400m -XX:+UseG1GC", args: "mb=90", says: "churn 60" },
    Plain {
        what: "old generation fills before each collection",
        version: "17",
        jvm: "-Xmx200m -Xmn8m -XX:+UseSerialGC",
        args: "mb=60",
        says: "churn 20",
    },
    Plain {
        what: "four fifths of the old generation live",
        version: "21",
        jvm: "-Xmx300m -Xmn60m -XX:+UseParallelGC",
        args: "mb=225",
        says: "churn 10",
    },
    Plain { what: "idle", version: "17", jvm: "-Xmx400m", args: "mb=90", says: "ping" },
    Plain { what: "no counters", version: "11", jvm: "-Xmx200m -XX:-UsePerfData", args: "mb=60", says: "churn 60" },
];

struct Plain {
    what: &'static str,
    version: &'static str,
    jvm: &'static str,
    args: &'static str,
    says: &'static str,
}

/// A JVM, its watcher and its store.
enum Application {
    Plain { jvm: TestJvm, pod: Pod, watcher: Watcher },
    Contained { container: Container, store: tempfile::TempDir, watcher: Running },
}

impl Application {
    fn plain(plain: &Plain, mark: usize, flags: &[&str]) -> Option<Self> {
        let mark = format!("markers={}", 4800 + mark);
        let jvm = TestJvm::builder(plain.version)?;
        let jvm = plain.jvm.split(' ').fold(jvm, |jvm, arg| jvm.jvm_arg(arg));
        let jvm = jvm.arg(plain.args).arg(&mark).start();
        jvm.say(plain.says);
        let pod = Pod::new();
        let watcher = Watcher::start(pod.tool(&["--match", &mark]).args(flags));
        Some(Self::Plain { jvm, pod, watcher })
    }

    /// The watcher is a second process of the container.
    fn contained(limit_mb: u64, jvm: &str, flags: &[&str]) -> Option<Self> {
        let (container, store) = (Container::builder("17")?, tempfile::tempdir().unwrap());
        let container = jvm.split(' ').fold(container.memory_limit(limit_mb << 20), |jvm, arg| jvm.jvm_arg(arg));
        let container = container.arg("mb=90").bind(store.path(), "/store").start();
        container.copy_in(binary(), INSIDE);
        let words = [INSIDE, "watch", "shop", "cart", "prod", "/tmp", "--store", "/store"];
        let watcher = container.command(&[&words[..], flags].concat()).time_limit(2 * duration()).spawn();
        Some(Self::Contained { container, store, watcher })
    }

    fn is_alive(&self) -> bool {
        match self {
            Self::Plain { jvm, .. } => jvm.is_alive(),
            Self::Contained { container, .. } => container.is_alive(),
        }
    }

    fn watcher(&mut self) -> u32 {
        match self {
            Self::Plain { watcher, .. } => watcher.pid(),
            Self::Contained { watcher, .. } => watcher.pid(),
        }
    }

    fn has_attach_socket(&self) -> bool {
        match self {
            Self::Plain { jvm, .. } => Path::new(&format!("/tmp/.java_pid{}", jvm.pid())).exists(),
            Self::Contained { container, .. } => container.path("/tmp/.java_pid1").exists(),
        }
    }

    /// All that the store got, claims and receipts too.
    fn objects(&self) -> Vec<String> {
        match self {
            Self::Plain { pod, .. } => pod.server.objects(),
            Self::Contained { store, .. } => files_in(store.path()).into_iter().collect(),
        }
    }

    fn last_automatic(&self) -> String {
        match self {
            Self::Plain { pod, .. } => pod.status()["last_automatic"].to_string(),
            Self::Contained { .. } => String::new(),
        }
    }

    /// Fills the container by direct buffers to this percentage.
    fn fill_to(&self, percent: u64) {
        let Self::Contained { container, .. } = self else { return };
        let number = |name: &str| -> Option<u64> {
            let read = |dir: &str| std::fs::read_to_string(container.path(&format!("/sys/fs/cgroup/{dir}{name}"))).ok();
            read("memory/").or_else(|| read(""))?.trim().parse().ok()
        };
        let either =
            |first: &str, second: &str| number(first).or_else(|| number(second)).expect("a file of the cgroup");
        let limit = either("memory.limit_in_bytes", "memory.max");
        while either("memory.usage_in_bytes", "memory.current") * 100 < limit * percent {
            container.say("direct 2");
        }
    }
}

/// What a watcher has taken so far.
#[derive(Debug, Clone, Copy)]
struct Price {
    at: Instant,
    processor_seconds: f64,
    anonymous: u64,
}

impl Price {
    fn of(pid: u32) -> Self {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("the watcher lives");
        let (stat, status) = (read("stat"), read("status"));
        // utime and stime are the fields 14 and 15 (proc(5)); the name may have spaces.
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = [11, 12].iter().map(|field| fields[*field].parse::<f64>().unwrap()).sum();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        let anonymous = anonymous.and_then(|kib| kib.trim().parse::<u64>().ok()).expect("RssAnon") << 10;
        Self { at: Instant::now(), processor_seconds: ticks / TICKS_PER_SECOND, anonymous }
    }
}

fn duration() -> Duration {
    Duration::from_secs(std::env::var("JMAP_DUMP_TEST_HEALTHY").ok().and_then(|text| text.parse().ok()).unwrap_or(0))
}

#[test]
fn healthy_jvms_are_left_alone_for_an_hour() {
    let duration = duration();
    if duration.is_zero() {
        return skip("an hour in time-lapse; make endurance runs it");
    }
    let lapse = duration.as_secs_f64() / HOUR;
    let (held_for, period) = (format!("{:.0}s", 60.0 * lapse), format!("heap+10%/{:.0}s", 300.0 * lapse));
    let flags = ["--when", "heap>85%", "--when", &period, "--for", &held_for];
    let full_flags = [&flags[..], &["--when", "memory>90%"]].concat();
    let plain = PLAIN.iter().enumerate().map(|(mark, plain)| {
        (format!("JDK {} {}", plain.version, plain.what), Application::plain(plain, mark, &flags))
    });
    let share = "-Xmx600m -XX:+UseG1GC";
    let full = "-Xms600m -Xmx600m -XX:+AlwaysPreTouch -XX:MaxDirectMemorySize=400m";
    let contained = [
        ("heap of 75 % of its container".to_owned(), Application::contained(800, share, &flags)),
        (FULL.to_owned(), Application::contained(1000, full, &full_flags)),
    ];
    let applications = plain.chain(contained).filter_map(|(what, application)| Some((what, application?)));
    let mut applications: Vec<_> = applications.collect();
    for (what, application) in &applications {
        if let Application::Contained { container, .. } = application {
            container.say("churn 60");
        }
        if what == FULL {
            application.fill_to(92);
        }
    }
    // Searches and first looks are not the price of watching.
    std::thread::sleep(Duration::from_secs(5));
    let begun: Vec<_> = applications.iter_mut().map(|(_, application)| Price::of(application.watcher())).collect();
    let mut most = vec![0; begun.len()];
    let end = Instant::now() + duration;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_secs(2));
        for ((_, application), most) in applications.iter_mut().zip(&mut most) {
            *most = Price::of(application.watcher()).anonymous.max(*most);
        }
    }
    let mut faults = Vec::new();
    for (index, (what, application)) in applications.iter_mut().enumerate() {
        let (price, objects) = (Price::of(application.watcher()), application.objects());
        let seconds = price.at.duration_since(begun[index].at).as_secs_f64();
        let processor = (price.processor_seconds - begun[index].processor_seconds) / seconds;
        let (alive, attached, memory) = (application.is_alive(), application.has_attach_socket(), most[index]);
        eprintln!(
            "HEALTHY {what}: {seconds:.0} s, watcher {:.3} % of a processor and {:.1} MiB, alive {alive}, attached \
             {attached}, {} objects",
            processor * 100.0,
            memory as f64 / f64::from(1 << 20),
            objects.len()
        );
        let is_full = what == FULL;
        let dumps = objects.iter().filter(|key| key.ends_with(".hprof.gz")).count();
        let artefacts = objects.iter().filter(|key| key.ends_with(".txt.gz")).count();
        let is_well = alive && dumps == 0 && attached == is_full && artefacts == if is_full { 3 } else { 0 };
        // The full one is asked for artefacts, which are dearer.
        let is_cheap = is_full || processor < PROCESSOR_MAX && memory < MEMORY_MAX;
        if !is_well || !is_cheap || !is_full && !objects.is_empty() {
            faults.push(format!("{what}: {objects:?} {}", application.last_automatic()));
        }
    }
    assert!(faults.is_empty(), "{faults:?}");
}
