//! Every shape of container that people meet, on JDK 8, 17 and 25: what happens there, and that nothing is left.
//! `docs/shapes.md` tells the same as a table; a row without a test, or a test without a row, fails here.

use std::time::Duration;

use crate::common::bed::home;
use crate::common::container::builder::Builder;
use crate::common::container::exec::{Exec, Output};
use crate::common::container::{Container, JAVA_HOME};
use crate::common::tool::binary;
use crate::containers::{INSIDE, census_of, files_but_the_socket};

const VERSIONS: [&str; 3] = ["8", "17", "25"];
const MARKERS: u64 = 99;

/// The JVM's launcher by another name; it finds its libraries by its own path.
const RENAMED: &str = "shop-server";

/// What happens.
enum Expected {
    Dump,
    /// Exit status, a part of the message, a part of the next step.
    Refused(i32, &'static str, &'static str),
}
use Expected::{Dump, Refused};

struct Shape {
    /// The row of the table.
    name: &'static str,
    container: fn(Builder) -> Builder,
    exec: for<'a> fn(Exec<'a>) -> Exec<'a>,
    args: &'static [&'static str],
    expected: Expected,
}

impl Shape {
    const fn new(name: &'static str, container: fn(Builder) -> Builder, expected: Expected) -> Self {
        Self { name, container, exec: |exec| exec, args: &[], expected }
    }
}

fn user(builder: Builder) -> Builder {
    builder.uid(1000).gid(1000)
}

const YAML: &str = "volumeMounts";

fn shapes() -> Vec<Shape> {
    vec![
        Shape::new("JVM is PID 1", |b| b, Dump),
        Shape::new("JVM under a shell", Builder::under_shell, Dump),
        Shape::new(
            "renamed launcher",
            |b| {
                let mut line = b.java_command();
                line[0] = format!("{JAVA_HOME}/bin/{RENAMED}");
                b.entry(&line.iter().map(String::as_str).collect::<Vec<_>>())
            },
            Dump,
        ),
        Shape::new(
            "100 kB command line",
            |b| b.jvm_arg(LONG.get_or_init(|| format!("-Dlong={}", "x".repeat(100_000)))),
            Dump,
        ),
        Shape::new("no perf data (-XX:-UsePerfData)", |b| b.jvm_arg("-XX:-UsePerfData"), Dump),
        Shape::new("no perf data (-XX:+PerfDisableSharedMem)", |b| b.jvm_arg("-XX:+PerfDisableSharedMem"), Dump),
        Shape::new("Serial", |b| b.jvm_arg("-XX:+UseSerialGC"), Dump),
        Shape::new("Parallel", |b| b.jvm_arg("-XX:+UseParallelGC"), Dump),
        Shape::new("G1", |b| b.jvm_arg("-XX:+UseG1GC"), Dump),
        // JDK 8 does not know these, and takes its own default.
        Shape::new("ZGC", |b| b.jvm_arg("-XX:+IgnoreUnrecognizedVMOptions").jvm_arg("-XX:+UseZGC"), Dump),
        Shape::new(
            "Shenandoah",
            |b| b.jvm_arg("-XX:+IgnoreUnrecognizedVMOptions").jvm_arg("-XX:+UseShenandoahGC"),
            Dump,
        ),
        Shape::new("-Xrs", |b| b.jvm_arg("-Xrs"), Dump),
        Shape::new("-Djava.io.tmpdir elsewhere", |b| b.jvm_arg("-Djava.io.tmpdir=/elsewhere"), Dump),
        Shape::new("JVM uid 1000, exec as 1000", user, Dump),
        Shape { exec: |e| e.uid(0).gid(0), ..Shape::new("JVM uid 1000, exec as root", user, Dump) },
        Shape::new(
            "uid 1000, no capabilities, no-new-privileges, seccomp, read-only root, /tmp and /dumps of 16 MB",
            |b| {
                user(b)
                    .drop_caps()
                    .no_new_privs()
                    .seccomp_default()
                    .read_only_root()
                    .tmpfs("/tmp", "16m")
                    .tmpfs("/dumps", "16m")
            },
            Dump,
        ),
        Shape::new("random uid without passwd entry", |b| b.uid(1_000_650_000).gid(0).passwd_entry(false), Dump),
        Shape::new("user namespace", Builder::user_namespace, Dump),
        Shape {
            exec: |e| e.uid(2000).gid(2000),
            ..Shape::new(
                "JVM uid 1000, exec as 2000",
                user,
                Refused(4, "runs as uid 1000 gid 1000, this tool as uid 2000", "runAsUser: 1000"),
            )
        },
        Shape {
            exec: |e| e.uid(1000).gid(1000),
            ..Shape::new(
                "JVM root, exec as 1000",
                |b| b,
                Refused(4, "runs as uid 0 gid 0, this tool as uid 1000", "run the tool as uid 0"),
            )
        },
        Shape {
            exec: |e| e.uid(1000).gid(1000),
            ..Shape::new(
                "JVM 1000:0, exec as 1000:1000",
                |b| b.uid(1000).gid(0),
                Refused(4, "runs as uid 1000 gid 0, this tool as uid 1000 gid 1000", "runAsGroup: 0"),
            )
        },
        Shape {
            exec: |e| e.uid(0).gid(0).drop_caps(),
            ..Shape::new(
                "JVM uid 1000, exec as root without SETUID",
                user,
                Refused(4, "runs as uid 1000 gid 1000, this tool as uid 0", "capabilities SETUID and SETGID"),
            )
        },
        Shape {
            exec: |e| e.uid(0).gid(0).caps(&["CAP_SETUID", "CAP_SETGID"]),
            ..Shape::new("JVM uid 1000, exec as root with SETUID and SETGID alone", user, Dump)
        },
        Shape {
            exec: |e| e.uid(0).gid(0).caps(&["CAP_SETUID", "CAP_SETGID"]),
            ..Shape::new("JVM 2000:3000, exec as root with SETUID and SETGID alone", |b| b.uid(2000).gid(3000), Dump)
        },
        Shape::new("no /tmp on a writable root", |b| b.no_tmp(), Dump),
        Shape::new(
            "read-only root, no /tmp",
            |b| b.no_tmp().read_only_root(),
            Refused(4, "Read-only file system", YAML),
        ),
        Shape::new(
            "read-only root, read-only /tmp",
            Builder::read_only_root,
            Refused(4, "Read-only file system", YAML),
        ),
        Shape {
            args: &["--dir", "/dumps"],
            ..Shape::new("/dumps too small", |b| b.tmpfs("/dumps", "128k"), Refused(6, "needs at least", "--force"))
        },
        Shape {
            args: &["--dir", "/dumps", "--force"],
            ..Shape::new("/dumps full (ENOSPC)", |b| b.tmpfs("/dumps", "128k"), Refused(5, "No space left", "--dir"))
        },
        Shape {
            args: &["--dir", "/nowhere"],
            ..Shape::new("dump directory missing", |b| b, Refused(6, "No such file or directory", "emptyDir"))
        },
        Shape {
            args: &["--dir", "/opt"],
            ..Shape::new("dump directory not writable for the JVM", user, Refused(6, "Permission denied", "emptyDir"))
        },
        Shape::new(
            "-XX:+DisableAttachMechanism",
            |b| b.jvm_arg("-XX:+DisableAttachMechanism"),
            Refused(4, "attaching switched off", "HeapDumpOnOutOfMemoryError"),
        ),
        Shape::new(
            "-Xrs -XX:+DisableAttachMechanism",
            |b| b.under_shell().jvm_arg("-Xrs").jvm_arg("-XX:+DisableAttachMechanism"),
            Refused(4, "attaching switched off", "HeapDumpOnOutOfMemoryError"),
        ),
        Shape::new(
            "-Xrs -XX:+DisableAttachMechanism -XX:-UsePerfData",
            |b| b.under_shell().jvm_arg("-Xrs").jvm_arg("-XX:+DisableAttachMechanism").jvm_arg("-XX:-UsePerfData"),
            Refused(4, "attaching switched off", "HeapDumpOnOutOfMemoryError"),
        ),
        Shape::new(
            "-Xrs -XX:-UsePerfData, and JAVA_TOOL_OPTIONS with -XX:+DisableAttachMechanism",
            |b| {
                let options = "-XX:+DisableAttachMechanism";
                b.under_shell().jvm_arg("-Xrs").jvm_arg("-XX:-UsePerfData").env("JAVA_TOOL_OPTIONS", options)
            },
            Refused(4, "attaching switched off", "HeapDumpOnOutOfMemoryError"),
        ),
    ]
}

static LONG: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// The rows of the table.
pub fn names() -> Vec<&'static str> {
    shapes().into_iter().map(|shape| shape.name).collect()
}

#[test]
fn each_shape_ends_as_the_table_says_and_nothing_is_left() {
    let failed: Vec<String> = VERSIONS
        .into_iter()
        .flat_map(|version| shapes().into_iter().map(move |shape| (version, shape)))
        .filter(|(version, shape)| std::panic::catch_unwind(|| try_shape(version, shape)).is_err())
        .map(|(version, shape)| format!("JDK {version}: {}", shape.name))
        .collect();
    assert!(failed.is_empty(), "{} failed, see above:\n{}", failed.len(), failed.join("\n"));
}

fn try_shape(version: &str, shape: &Shape) {
    let Some(builder) = Container::builder(version) else { return };
    let launcher = format!("{JAVA_HOME}/bin/{RENAMED}");
    let builder = builder.bind_read_only(home(version).join("bin/java"), &launcher).bind_read_only(binary(), INSIDE);
    let mut container = (shape.container)(builder.arg(&format!("markers={MARKERS}"))).start();
    if shape.name == "renamed launcher" {
        container.ready();
    }
    let has_tmp = container.path("/tmp").exists();
    let before = files_but_the_socket(&container);
    let command = [&[INSIDE, "--store", "-", "shop", "cart", "prod"], shape.args].concat();
    let run = || (shape.exec)(container.command(&command)).output();
    let ended = run();
    judge(shape, &ended, run);
    assert_eq!(files_but_the_socket(&container), before);
    // JDK 8 could not be attached to again if its socket went away, so its /tmp stays, and the run says so.
    let keeps_tmp = version == "8" && !has_tmp && ended.code == 0;
    assert_eq!(container.path("/tmp").exists(), has_tmp || keeps_tmp);
    assert_eq!(ended.stderr.contains("/tmp was made"), keeps_tmp, "{}", ended.stderr);
    assert!(!container.log().contains("Full thread dump"), "{}", container.log());
    assert_eq!(container.say("ping"), "pong");
}

/// How long a refusal may take.
const AT_ONCE: Duration = Duration::from_millis(1000);

#[track_caller]
fn judge(shape: &Shape, ended: &Output, again: impl Fn() -> Output) {
    match shape.expected {
        Dump => {
            assert_eq!(ended.code, 0, "{ended:?}");
            assert_eq!(census_of(&ended.stdout).of("Marker"), MARKERS);
        }
        Refused(code, message, next) => {
            assert_eq!(ended.code, code, "{ended:?}");
            assert!(ended.stderr.contains(message), "'{message}' is missing: {}", ended.stderr);
            assert!(ended.stderr.contains(next), "'{next}' is missing: {}", ended.stderr);
            // A dump that fails takes as long as the JVM tries; one that may still be starting is waited for.
            if code != 5 && !message.contains("does not catch") {
                let took = fastest(ended, again);
                assert!(took < AT_ONCE, "refused after {took:?}");
            }
        }
    }
}

/// Other tests run beside: of a refusal that was slow and two more, the fastest counts.
#[track_caller]
fn fastest(ended: &Output, again: impl Fn() -> Output) -> Duration {
    let tries = if ended.took < AT_ONCE { 0 } else { 2 };
    let more = (0..tries).map(|_| {
        let other = again();
        assert_eq!(other.code, ended.code, "{other:?}");
        other.took
    });
    more.fold(ended.took, Duration::min)
}
