//! Every shape of container that people meet, on JDK 8, 17 and 25: what happens there, and that nothing is left.
//! `docs/shapes.md` tells the same as a table; a row without a test, or a test without a row, fails here.

use std::time::Duration;

use crate::common::container::Container;
use crate::common::container::builder::Builder;
use crate::common::container::exec::{Exec, Output};
use crate::common::tool::binary;
use crate::containers::{INSIDE, census_of, files_but_the_socket};

const VERSIONS: [&str; 3] = ["8", "17", "25"];
const MARKERS: u64 = 99;

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
                line[0] = "/opt/java/openjdk/bin/shop-server".into();
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
            ..Shape::new("/dumps too small", |b| b.tmpfs("/dumps", "512k"), Refused(6, "needs at least", "--force"))
        },
        Shape {
            args: &["--dir", "/dumps", "--force"],
            ..Shape::new("/dumps full (ENOSPC)", |b| b.tmpfs("/dumps", "512k"), Refused(5, "No space left", "--dir"))
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
            Refused(4, "does not catch SIGQUIT", "StartAttachListener"),
        ),
    ]
}

static LONG: std::sync::OnceLock<String> = std::sync::OnceLock::new();

#[test]
fn each_shape_ends_as_the_table_says_and_nothing_is_left() {
    for version in VERSIONS {
        for shape in shapes() {
            let Some(builder) = Container::builder(version) else { continue };
            let container = (shape.container)(builder).arg(&format!("markers={MARKERS}"));
            let container = prepare(container, &shape);
            let what = format!("JDK {version}, {}", shape.name);
            let before = files_but_the_socket(&container);
            let command = [&[INSIDE, "--store", "-", "shop", "cart", "prod"], shape.args].concat();
            let ended = (shape.exec)(container.command(&command)).output();
            judge(&shape, &ended, &what);
            assert_eq!(files_but_the_socket(&container), before, "{what}");
            assert!(!container.log().contains("Full thread dump"), "{what}: {}", container.log());
            assert_eq!(container.say("ping"), "pong", "{what}");
        }
    }
}

fn prepare(builder: Builder, shape: &Shape) -> Container {
    let builder = builder.bind_read_only(binary(), INSIDE);
    if shape.name == "renamed launcher" {
        // The launcher finds its libraries by its own path, so the copy lies beside the original.
        let home = crate::common::container::JAVA_HOME;
        assert!(home.starts_with("/opt/java"), "{home}");
    }
    builder.start()
}

#[track_caller]
fn judge(shape: &Shape, ended: &Output, what: &str) {
    match shape.expected {
        Dump => {
            assert_eq!(ended.code, 0, "{what}: {ended:?}");
            assert_eq!(census_of(&ended.stdout).of("Marker"), MARKERS, "{what}");
        }
        Refused(code, message, next) => {
            assert_eq!(ended.code, code, "{what}: {ended:?}");
            assert!(ended.stderr.contains(message), "{what}: '{message}' is missing: {}", ended.stderr);
            assert!(ended.stderr.contains(next), "{what}: '{next}' is missing: {}", ended.stderr);
            // A dump that fails takes as long as the JVM tries.
            if code != 5 {
                assert!(ended.took < Duration::from_millis(1000), "{what}: refused after {:?}", ended.took);
            }
        }
    }
}
