//! Whatever is wrong is told with its exit status and a next step, before a JVM is touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::common::jvm::TestJvm;
use crate::common::tool::{Tool, binary, install};

/// What is wrong, the words, the exit status, a part of the message, a part of the next step.
type Case<'a> = (&'a str, Vec<&'a str>, i32, &'a str, &'a str);

#[test]
fn each_bad_input_has_its_exit_status_and_a_next_step() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, dir) = (jvm.start(), tempfile::tempdir().unwrap());
    let pid = jvm.pid().to_string();
    let sleeper = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let sleeping = sleeper.id().to_string();
    let _sleeper = Killed(sleeper);
    let long = "x".repeat(10_000);
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (garbage, misspelt, absent) = (path("garbage.toml"), path("misspelt.toml"), path("absent"));
    fs::write(&garbage, [0xff, 0xfe, 0, 1, 2]).unwrap();
    fs::write(&misspelt, "stroe = \"/x\"").unwrap();
    let store = path("store");
    let with = |more: &[&'static str]| [&["shop", "cart", "prod", "--store", "/tmp/none"], more].concat();
    let named = |project| vec![project, "cart", "prod", "--store", "-"];
    let names = "use letters, digits";
    let cases: Vec<Case> = vec![
        ("a slash in a name", named("a/b"), 2, "project 'a/b' holds", names),
        ("a name that climbs", named(".."), 2, "begins with a dot", names),
        ("an empty name", named(""), 2, "is empty", names),
        ("a name of 10 kB", named(&long), 2, "longer than 128 bytes", names),
        ("a name with a line end", named("a\nb"), 2, "holds something other", names),
        ("two words only", vec!["shop", "cart"], 2, "required arguments", "--help"),
        ("no words", vec![], 2, "Usage", "Exit status"),
        ("an unknown flag", with(&["--frobnicate"]), 2, "--frobnicate", "--help"),
        ("no store", vec!["shop", "cart", "prod"], 2, "no store is named", "JMAP_DUMP_STORE="),
        ("an unknown scheme", vec!["a", "b", "c", "--store", "ftp://x/y"], 2, "unknown store scheme", "s3://BUCKET"),
        ("no bucket", vec!["a", "b", "c", "--store", "s3:///x"], 2, "names no bucket", "s3://BUCKET"),
        ("a level out of range", with(&["--level", "12"]), 2, "not a gzip level from 1 to 9", "--help"),
        ("a level that is no number", with(&["--level", "fast"]), 2, "level = 'fast'", "--help"),
        ("a time without a unit", with(&["--deadline", "25"]), 2, "a time needs a unit", "--help"),
        ("a relative directory", with(&["--dir", "dumps"]), 2, "not an absolute path", "--help"),
        ("an unknown choice", with(&["--select", "best"]), 2, "lowest, newest, largest", "--help"),
        ("neither dumped nor skipped", with(&["--if-unknown", "ask"]), 2, "dump, skip", "--help"),
        ("half a key", with(&[]), 2, "go together", "same place"),
        ("a settings file that is not there", vec!["a", "b", "c", "--config", &absent], 2, "cannot read", "is there"),
        ("a settings file of garbage", vec!["a", "b", "c", "--config", &garbage], 2, "cannot read", "name a text file"),
        ("a misspelt key", vec!["a", "b", "c", "--config", &misspelt], 2, "unknown key 'stroe'", "correct the file"),
        ("a process number below one", with(&["--pid", "-4"]), 2, "", "--help"),
        ("a process that is no JVM", vec!["a", "b", "c", "--store", "-", "--pid", &sleeping], 3, "not a JVM", "--pid"),
        ("no such process", vec!["a", "b", "c", "--store", "-", "--pid", "4000000"], 3, "no such process", "--pid"),
        ("no JVM that matches", vec!["a", "b", "c", "--store", "-", "--match", "zzz"], 3, "no JVM matches", "--pid"),
        (
            "a store directory that cannot be made",
            vec!["a", "b", "c", "--pid", &pid, "--store", "/proc/nothing"],
            9,
            "/proc/nothing",
            "make the directory writable",
        ),
        (
            "no directory for the dump",
            vec!["a", "b", "c", "--pid", &pid, "--store", &store, "--dir", "/proc/nothing"],
            6,
            "no directory for the dump",
            "emptyDir",
        ),
        ("a file to verify that is not there", vec!["verify", &absent], 2, "cannot read", "is there"),
        ("a file to verify that is no dump", vec!["verify", &misspelt], 5, "is no heap dump", "name a heap dump"),
        (
            "a file to upload that is not there",
            vec!["upload", "a", "b", "c", &absent, "--store", "-"],
            2,
            "cannot read",
            "",
        ),
    ];
    for (what, words, code, message, next) in cases {
        let mut tool = Tool::new(&words);
        if what == "half a key" {
            tool = tool.env("JMAP_DUMP_ACCESS_KEY_ID", "x");
        }
        let ended = tool.run();
        assert_eq!(ended.code, code, "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains(message), "{what}: '{message}' is missing in: {}", ended.stderr);
        assert!(ended.stderr.contains(next), "{what}: '{next}' is missing in: {}", ended.stderr);
        assert!(ended.stderr.len() < 4000, "{what}: {} bytes of message", ended.stderr.len());
    }
    assert_eq!(jvm.say("ping"), "pong");
    assert!(!jvm.log().contains("Full thread dump"));
}

#[test]
fn this_process_itself_is_refused_by_its_number() {
    // A number is known before the start only through a shell that becomes the tool.
    let script = format!("exec {} a b c --store - --pid $$", binary().display());
    let ended = Tool::of("/bin/sh".as_ref(), &["-c", &script]).run().expect(3);
    assert!(ended.stderr.contains("this tool itself"), "{}", ended.stderr);
}

#[test]
fn settings_file_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("jmap-dump-tool");
    let file = dir.path().join("jmap-dump-tool.toml");
    install(binary(), &program);
    fs::write(&file, "store = \"/tmp\"").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let ended = Tool::of(&program, &["a", "b", "c"]).run().expect(2);
    assert!(ended.stderr.contains("others may write") && ended.stderr.contains("chmod go-w"), "{}", ended.stderr);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
    let ended = Tool::of(&program, &["a", "b", "c"]).run().expect(2);
    assert!(ended.stderr.contains("belongs to uid 12345"), "{}", ended.stderr);
}

/// A child that ends with its test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
