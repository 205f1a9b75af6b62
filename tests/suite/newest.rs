//! JDK 26, 27 and 28, early access: what the matrix of the older ones does, and what is new in them.

use std::path::Path;
use std::process::Command;

use crate::common::bed;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::s3::S3Server;
use crate::common::tool::Tool;
use crate::no_disk;

const MARKERS: u64 = 1234;

#[test]
fn newest_jvms_are_dumped_whole() {
    for version in bed::NEWEST {
        for collector in ["G1", "Serial", "Z"] {
            let Some(jvm) = TestJvm::builder(version) else { continue };
            let jvm = jvm.uid(1000).jvm_arg(format!("-XX:+Use{collector}GC")).arg(format!("markers={MARKERS}"));
            let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
            let what = format!("JDK {version}, {collector}");
            for options in [&[][..], &["--all"], &["--redact"]] {
                let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(options).run().expect(0);
                assert_eq!(assert_complete(ended.stored()).of("Marker"), MARKERS, "{what} {options:?}");
            }
            let server = S3Server::start();
            let piped = no_disk::dump(jvm.pid(), &server).run().expect(0).receipt();
            let dump = server.object(piped["object"]["key"].as_str().unwrap());
            assert_eq!(assert_complete(dump).of("Marker"), MARKERS, "{what}, pipes");
            assert!(!jvm.log().contains("Full thread dump"), "{what}: {}", jvm.log());
            assert_eq!(jvm.say("ping"), "pong");
        }
    }
}

/// Flat arrays hold value objects without identity, whose identifiers a dump makes up.
const VALUES: &str = "
    public final class Values {
        value record Point(int x, int y) {}
        value record Named(String name, Point at) {}
        static Object[] held;
        public static void main(String[] args) throws Exception {
            Point[] points = new Point[20_000];
            for (int i = 0; i < points.length; i++) points[i] = new Point(i, -i);
            Named[] named = new Named[5_000];
            for (int i = 0; i < named.length; i++) named[i] = new Named(\"name \" + i, new Point(i, i));
            held = new Object[] {points, named};
            Thread thread = new Thread(() -> java.util.concurrent.locks.LockSupport.park(), \"the-name-of-a-thread\");
            thread.setDaemon(true);
            thread.start();
            Heap.main(args);
        }
    }
";

/// Compiles a class for the newest JVM, by the compiler that it brings.
pub fn compiles(name: &str, text: &str, options: &[&str], dir: &Path) -> bool {
    let source = dir.join(format!("{name}.java"));
    std::fs::write(&source, text).unwrap();
    let mut javac = Command::new(bed::home("28").join("bin/java"));
    javac.args(["-m", "jdk.compiler/com.sun.tools.javac.Main"]).args(options).arg("-cp");
    let output = javac.arg(bed::classes()).arg("-d").args([dir, &source]).output().unwrap();
    if !output.status.success() {
        bed::skip(&format!("this JDK 28 does not compile {name}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    output.status.success()
}

#[test]
fn dump_with_value_objects_is_whole() {
    let Some(jvm) = TestJvm::builder("28") else { return };
    let (classes, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !compiles("Values", VALUES, &["--enable-preview", "--source", "28"], classes.path()) {
        return;
    }
    let jvm = jvm.jvm_arg("--enable-preview").program("Values", classes.path()).arg(format!("markers={MARKERS}"));
    let jvm = jvm.start();
    for options in [&[][..], &["--all"], &["--redact"], &["--redact=all"]] {
        let ended = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).args(options).run().expect(0);
        let census = assert_complete(ended.stored());
        assert_eq!(census.of("Marker"), MARKERS, "{options:?}");
        assert!(census.of("Values$Point") >= 20_000 && census.of("Values$Named") >= 5_000, "{options:?}");
    }
    // The name of a thread that lives is found in a file, too, in whatever order its objects are.
    let plain = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0).stored();
    let redacted = Tool::new(&["upload", "a", "b", "c", "--redact", "--store", "-"]).arg(plain).run().expect(0);
    let mut raw = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&redacted.stdout[..]), &mut raw).unwrap();
    let has = |text: &[u8]| raw.windows(text.len()).any(|window| window == text);
    assert!(has(b"the-name-of-a-thread") && !has(b"name 4321"));
    assert!(!jvm.log().contains("Full thread dump"), "{}", jvm.log());
}
