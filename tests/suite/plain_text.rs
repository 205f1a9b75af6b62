//! What others can write commands no terminal and forges no line: names, arguments, paths, answers.

use std::path::Path;

use crate::common::bed;
use crate::common::hostile_jvm::HostileJvm;
use crate::common::hostile_store::{HostileStore, Reply};
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::tool::{Ended, Tool};

/// Colour, a line of its own, a carriage return, C1's "clear", a title, the other direction.
const EVIL: &str = "e\x1b[31mvil\nFORGED: all is well\r\u{9b}2J\x1b]0;title\x07\u{202e}\x7f";

/// All that the tool says, in lines. At trace level the log tells a lot.
#[track_caller]
fn assert_plain(what: &str, ended: &Ended, dump_on_stdout: bool) {
    let stdout = String::from_utf8_lossy(&ended.stdout).into_owned();
    let texts = [("stderr", ended.stderr.clone()), ("stdout", stdout)];
    for (stream, text) in texts.iter().take(if dump_on_stdout { 1 } else { 2 }) {
        let bad = text.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(bad, None, "{what}, {stream}: {text:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("FORGED")), "{what}, {stream}: {text}");
    }
}

/// A JVM that is called so, for it keeps no hsperfdata.
fn evil_jvm(dir: &Path) -> Option<TestJvm> {
    let jvm = TestJvm::builder("17")?;
    let launcher = dir.join(EVIL);
    std::os::unix::fs::symlink(bed::home("17").join("bin/java"), &launcher).unwrap();
    Some(jvm.java(launcher).jvm_arg("-XX:-UsePerfData").arg("markers=11").start())
}

#[test]
fn name_of_a_jvm_commands_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let Some(jvm) = evil_jvm(dir.path()) else { return };
    let pid = jvm.pid().to_string();
    for (words, code) in [
        (&["ps"][..], 0),
        (&["ps", "--output", "json"], 0),
        (&["check", "--pid", &pid], 0),
        (&["check", "--pid", &pid, "--output", "json"], 0),
        (&["a", "b", "c", "--store", "-", "--match", "nothing\x1b[31m\nFORGED"], 3),
        (&["arm", "--pid", &pid, "--path", "/tmp"], 0),
        (&["arm", "--pid", &pid, "--path", "/tmp/\x1b[31m\nFORGED"], 6),
    ] {
        let ended = Tool::new(words).run().expect(code);
        assert_plain(&format!("{words:?}"), &ended, false);
        if code == 0 {
            assert!(String::from_utf8_lossy(&ended.stdout).contains(r"e\u001b[31mvil\n"), "{words:?}: {ended:?}");
        }
    }
    // Log, receipt and the log's copy, with the name of a directory as well.
    let (store, log) = (dir.path().join(format!("store{EVIL}")), dir.path().join("log"));
    for output in ["text", "json"] {
        let line = ["a", "b", "c", "-vv", "--pid", &pid, "--output", output, "--store", store.to_str().unwrap()];
        let ended = Tool::new(&line).args(&["--log-to", log.to_str().unwrap()]).run().expect(0);
        assert_plain(output, &ended, false);
        if output == "json" {
            assert_eq!(assert_complete(ended.stored()).of("Marker"), 11);
        }
    }
    let copied = Ended { code: 0, stdout: Vec::new(), stderr: std::fs::read_to_string(&log).unwrap() };
    assert!(copied.stderr.contains("stored "), "{}", copied.stderr);
    assert_plain("--log-to", &copied, false);
}

#[test]
fn words_of_a_jvm_command_no_terminal() {
    let jvm = HostileJvm::start("escapes", "-overwrite", "100");
    let ended = Tool::dump(jvm.pid(), "-").args(&["--force", "-v"]).run().expect(5);
    assert_plain("the JVM's answer", &ended, true);
    assert!(ended.stderr.contains(r"no \u001b[31mroom"), "{}", ended.stderr);
}

#[test]
fn words_of_a_store_command_no_terminal() {
    let body = format!("<Error><Code>Access{EVIL}</Code><Message>{EVIL}</Message></Error>");
    for status in [400, 403, 404, 500] {
        let body = body.clone();
        let server = HostileStore::start(move |_| {
            let headers = "ETag: \"\x1b[31m\"\r\nLocation: http://x/\x1b[31m\r\n".to_owned();
            Reply::Whole(status, headers, body.as_bytes().to_vec())
        });
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.txt.gz");
        std::fs::write(&file, "x").unwrap();
        for words in [&["list", "shop"][..], &["fetch", "shop/a.gz"], &["check", "--no-attach", "a", "b", "c"]] {
            let tool =
                Tool::new(words).args(&["--store", "s3://dumps/p", "--region", "r", "--endpoint", &server.url()]);
            let tool = tool.args(&["--deadline", "5s"]).env("JMAP_DUMP_ACCESS_KEY_ID", "k");
            let ended = tool.env("JMAP_DUMP_SECRET_ACCESS_KEY", "secretsecretsecret").run();
            assert_ne!(ended.code, 0, "{words:?}");
            assert_plain(&format!("{status} {words:?}"), &ended, false);
        }
    }
}

/// Names of files, words of the command line, values of settings.
#[test]
fn names_of_files_and_words_command_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, present) = (dir.path().join(format!("missing{EVIL}")), dir.path().join(format!("{EVIL}.hprof")));
    // The header of a dump and its end record.
    let whole = b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0\0";
    std::fs::write(&present, whole).unwrap();
    let (missing, present, store) = (missing.to_str().unwrap(), present.to_str().unwrap(), dir.path().join("store"));
    let store = store.to_str().unwrap();
    for words in [
        &["verify", missing][..],
        &["verify", present],
        &["upload", "a", "b", "c", "--store", store, "-v", missing],
        &["upload", "a", "b", "c", "--store", store, "-v", "--output", "text", present],
        &["upload", "a", "b", "c", "--store", missing, "-v", "--output", "text", present],
        &["upload", "--resume", missing],
        &["list", "--store", missing, "a"],
        &["fetch", "--store", missing, "a/b.gz"],
        &["status", missing],
        &["a", "b", EVIL, "--store", "-"],
        &["a", "b", "c", EVIL],
        &["ps", EVIL],
        &[EVIL],
        &["a", "b", "c", "--store", "-", "--config", missing],
        &["a", "b", "c", "--store", "-", "--deadline", EVIL],
        &["a", "b", "c", "--store", "-", "--if", EVIL],
        &["list", "--store", EVIL, "a"],
        &["a", "b", "c", "--store", "-", "--pid", EVIL],
        &["watch", "a", "b", "c", present, "--store", store],
        &["install", missing],
    ] {
        let ended = Tool::new(words).run();
        assert_plain(&format!("{words:?}"), &ended, false);
    }
    let listed = Tool::new(&["list", "--store", store, "a"]).run().expect(0);
    assert_plain("list", &listed, false);
}

/// A watched directory's files, and the name of a stage that lasts.
#[test]
fn names_of_watched_files_command_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("{EVIL}.hprof");
    let store = dir.path().join("store");
    let watched = dir.path().join("in");
    std::fs::create_dir(&watched).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        watched.join(&name),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let words = ["watch", "a", "b", "c", watched.to_str().unwrap(), "--store", store.to_str().unwrap(), "-v"];
    let run = Tool::new(&words).spawn();
    std::fs::write(
        watched.join(format!("2{name}")),
        b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0\0",
    )
    .unwrap();
    crate::common::waiting::wait_until("the dump is stored", || store.join("a").exists());
    run.signal(rustix::process::Signal::TERM);
    let ended = run.wait();
    assert!(ended.stderr.contains("vil"), "{ended:?}");
    assert_plain("watch", &ended, false);
}
