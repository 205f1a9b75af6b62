//! Completions, typed into the shells themselves: a verb, a flag of a verb, a value.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::bed::cannot_run;

/// Where the build has put them.
const SCRIPTS: &str = env!("OUT_DIR");

/// What is typed, with a tab where the shell has to complete, and the words that the program gets.
const TYPED: &[(&str, &str)] = &[
    ("che\t", "check"),
    ("ins\t /tools", "install /tools"),
    ("--dry\t shop cart prod", "--dry-run shop cart prod"),
    ("list --lin\t 1h", "list --links 1h"),
    ("arm --mat\t cart", "arm --match cart"),
    ("upload --allow\t", "upload --allow-truncated"),
    ("dump --select new\t", "dump --select newest"),
    ("--redact=str\t shop", "--redact=strings shop"),
    ("list --output ht\t", "list --output html"),
    ("check --path-style fa\t", "check --path-style false"),
    ("--store-down ke\t shop", "--store-down keep shop"),
    ("watch --encryption ds\t", "watch --encryption dsse-kms"),
    ("verify --output js\t", "verify --output json"),
    ("verify some_du\t", "verify some_dump.hprof"),
    // A flag that the verb does not have.
    ("arm --al\t", "arm --al"),
    ("list --lev\t 3", "list --lev 3"),
];

/// Types the lines into a shell, and compares the words that a program of our name gets.
fn assert_completes(shell: &[&str], prepare: &str) {
    if Command::new(shell[0]).arg("--version").output().is_err() {
        return cannot_run(&format!("{} is not there; run tests/bed/install.sh", shell[0]));
    }
    let dir = tempfile::tempdir().unwrap();
    let (program, got) = (dir.path().join("jmap-dump-tool"), dir.path().join("got"));
    std::fs::write(&program, format!("#!/bin/sh\necho \"$*\" >>{}\n", got.display())).unwrap();
    std::fs::write(dir.path().join("some_dump.hprof"), "").unwrap();
    let made = Command::new("chmod").arg("755").arg(&program).status();
    assert!(made.is_ok_and(|status| status.success()), "chmod");
    let mut run = Command::new("script")
        .args(["--quiet", "--return", "--command", &shell.join(" "), "/dev/null"])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
        .envs([("SHELL", "/bin/sh"), ("TERM", "xterm"), ("LANG", "C.UTF-8")])
        .env("HOME", dir.path())
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1)");
    let lines: String = TYPED.iter().map(|(typed, _)| format!("jmap-dump-tool {typed}\r")).collect();
    let mut keys = run.stdin.take().unwrap();
    keys.write_all(format!("{prepare}\r{lines}exit\r").as_bytes()).unwrap();
    let ended = run.wait_with_output().unwrap();
    drop(keys);
    let screen = String::from_utf8_lossy(&ended.stdout).into_owned();
    let got = std::fs::read_to_string(&got).unwrap_or_else(|error| panic!("{}: {error}: {screen}", shell[0]));
    let got: Vec<_> = got.lines().map(str::trim).collect();
    let wanted: Vec<_> = TYPED.iter().map(|(_, wanted)| *wanted).collect();
    assert_eq!(got, wanted, "{}: {screen}", shell[0]);
}

#[test]
fn bash_completes_verbs_flags_and_values() {
    assert_completes(&["bash", "--norc", "--noprofile", "-i"], &format!("source {SCRIPTS}/jmap-dump-tool.bash"));
}

#[test]
fn zsh_completes_verbs_flags_and_values() {
    let prepare = format!("fpath=({SCRIPTS} $fpath); autoload -U compinit; compinit -u -D");
    assert_completes(&["zsh", "-f", "-i"], &prepare);
}

#[test]
fn fish_completes_verbs_flags_and_values() {
    assert_completes(&["fish", "--no-config", "-i"], &format!("source {SCRIPTS}/jmap-dump-tool.fish"));
}

#[test]
fn each_completion_is_there() {
    for name in ["jmap-dump-tool.bash", "_jmap-dump-tool", "jmap-dump-tool.fish"] {
        assert!(Path::new(SCRIPTS).join(name).exists(), "{name}");
    }
}
