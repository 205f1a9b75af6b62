//! The stage that a run names is what really happens.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::bed::cannot_run;
use crate::common::jvm::TestJvm;
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::tool::{binary, seconds_of};

/// A terminal gets four bars a second.
const BAR_EVERY: f64 = 0.25;

const PAUSED: &str = "the JVM stands still and dumps";

/// The stages that a run names on a terminal, one for each bar, and its receipt.
fn stages(words: &[&str], reader: &str) -> Option<(Vec<String>, String)> {
    let dir = tempfile::tempdir().unwrap();
    let receipt = dir.path().join("receipt");
    let line = format!("{} shop cart prod --output json {} {reader}", binary().display(), words.join(" "));
    let line = line.replace("RECEIPT", receipt.to_str().unwrap());
    let run = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_clear()
        .envs([
            ("PATH", "/usr/bin:/bin"),
            ("SHELL", "/bin/sh"),
            ("JMAP_DUMP_ACCESS_KEY_ID", KEY),
            ("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET),
        ])
        .stdin(Stdio::null())
        .output();
    let Ok(run) = run else {
        cannot_run("script(1) is not there");
        return None;
    };
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{said}");
    let bars = said.split("\r\x1b[K").filter_map(|bar| Some(bar.split_once(": ")?.0.to_owned()));
    let bars: Vec<String> = bars.filter(|name| !name.contains('\n')).collect();
    Some((bars, std::fs::read_to_string(&receipt).unwrap_or_default()))
}

fn in_order(stages: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = stages.iter().map(String::as_str).collect();
    names.dedup();
    names
}

fn jvm(mb: u32) -> Option<TestJvm> {
    Some(TestJvm::builder("17")?.arg(format!("mb={mb}")).start())
}

#[track_caller]
fn assert_pause_is_told(bars: &[String], receipt: &str, paused: &str) {
    let receipt: serde_json::Value = serde_json::from_str(receipt).unwrap();
    let told = bars.iter().filter(|name| name.starts_with("the JVM")).count() as f64 * BAR_EVERY;
    let dump = seconds_of(&receipt, "dump");
    assert!(told <= dump + 2.0 * BAR_EVERY, "'{paused}' for {told} s, and the JVM stood still for {dump} s: {bars:?}");
}

#[test]
fn stage_is_compressing_and_uploading_when_the_jvm_goes_on() {
    let (Some(jvm), server) = (jvm(120), S3Server::start()) else { return };
    // The last parts are on their way when all is compressed.
    server.stall(Duration::from_millis(1500));
    let (pid, store, flags) = (jvm.pid().to_string(), format!("s3://{BUCKET}/heaps"), server.flags());
    let words = ["--all", "--level", "6", "--pid", &pid, "--store", &store];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let Some((bars, receipt)) = stages(&[&words[..], &flags].concat(), ">RECEIPT") else { return };
    let names = in_order(&bars);
    let at =
        |name: &str| names.iter().position(|other| *other == name).unwrap_or_else(|| panic!("no {name}: {names:?}"));
    assert!(at("compressing") < at("uploading"), "{names:?}");
    assert!(names[at("compressing")..].iter().all(|name| !name.starts_with("the JVM")), "{names:?}");
    assert_pause_is_told(&bars, &receipt, PAUSED);
}

#[test]
fn stage_is_writing_when_the_reader_of_the_dump_is_slow() {
    let Some(jvm) = jvm(20) else { return };
    let pid = jvm.pid().to_string();
    let words = ["--all", "--level", "1", "--pid", &pid, "--store", "-"];
    let Some((bars, _)) = stages(&words, "| (sleep 1; cat >/dev/null)") else { return };
    let names = in_order(&bars);
    assert!(names.contains(&"writing to standard output"), "{names:?}");
    assert!(names.iter().all(|name| !name.contains("upload") && !name.contains("is dumping")), "{names:?}");
}

#[test]
fn stage_of_a_streamed_dump_is_uploading_when_the_jvm_goes_on() {
    let (Some(jvm), server) = (jvm(40), S3Server::start()) else { return };
    if !Path::new("/usr/bin/script").exists() {
        return cannot_run("script(1) is not there");
    }
    server.stall(Duration::from_millis(900));
    let (pid, store, flags) = (jvm.pid().to_string(), format!("s3://{BUCKET}/heaps"), server.flags());
    let words = ["--all", "--no-disk", "--pid", &pid, "--store", &store];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let Some((bars, receipt)) = stages(&[&words[..], &flags].concat(), ">RECEIPT") else { return };
    assert!(in_order(&bars).contains(&"uploading"), "{bars:?}");
    assert_pause_is_told(&bars, &receipt, "the JVM stands still and dumps into the store");
}
