//! Every command of the README that needs no cluster, run as it is written, beside a JVM; and what it promises.

use crate::common::container::Container;
use crate::common::tool::binary;

const README: &str = include_str!("../../README.md");

/// The lines of the fenced blocks of one language.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(opened) if !inside => inside = opened == language,
            Some(_) => inside = false,
            None if inside => lines.push(line.to_owned()),
            None => {}
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    lines
}

#[test]
fn each_command_of_the_readme_works_as_it_is_written() {
    let Some(builder) = Container::builder("17") else { return };
    let container = builder.busybox().bind_read_only(binary(), "/bin/jmap-dump-tool").start();
    let commands = blocks(README, "sh");
    assert!(commands.len() > 5, "{commands:?}");
    for command in commands.iter().filter(|command| !command.starts_with("make ")) {
        let ended = container.command(&["/bin/busybox", "sh", "-c", command]).env("PATH", "/bin").cwd("/tmp").output();
        assert_eq!(ended.code, 0, "{command}: {ended:?}");
    }
    assert_eq!(container.say("ping"), "pong");
}

/// The other edition has the same commands.
#[test]
fn the_chinese_readme_has_the_commands_of_the_english_one() {
    let chinese = include_str!("../../README.zh-CN.md");
    assert_eq!(blocks(chinese, "sh"), blocks(README, "sh"));
    let english = [blocks(README, "console"), blocks(README, "yaml")].concat();
    for line in [blocks(chinese, "console"), blocks(chinese, "yaml")].concat() {
        assert!(english.contains(&line), "{line}");
    }
    for status in 0..=9 {
        assert!(chinese.contains(&format!("| {status} |")), "exit status {status}");
    }
}

/// `make demo` installs, builds and then runs this; `make test` runs this test.
#[test]
fn the_demo_shows_a_receipt_and_a_listing() {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo.sh");
    let ended = std::process::Command::new(demo).arg(binary()).output().unwrap();
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{ended:?}");
    for part in ["stored /", ".hprof.gz", ".json", ": whole"] {
        assert!(text.contains(part), "'{part}' is missing: {text}");
    }
    assert!(README.contains("make demo") && README.contains("make test"));
}

#[test]
fn the_readme_tells_every_exit_status_and_every_flag() {
    for status in 0..=9 {
        assert!(README.contains(&format!("| {status} |")), "exit status {status} is not in the README");
    }
    let help = ["dump", "upload", "watch", "list", "fetch", "presign"].map(|command| {
        let help = crate::common::tool::Tool::new(&[command, "--help"]).run().expect(0);
        String::from_utf8_lossy(&help.stdout).into_owned()
    });
    let help = help.concat();
    let flags = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 3);
    let name = |flag: &'_ str| flag.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(flag.len());
    for flag in flags.map(|flag| &flag[..name(flag)]) {
        if !["--help", "--version", "--verbose"].contains(&flag) {
            assert!(README.contains(flag), "{flag} is not in the README");
        }
    }
}

/// `docs/shapes.md` has a row for each shape that is tested, and none besides.
#[test]
fn the_table_of_shapes_is_the_one_that_is_tested() {
    let table = include_str!("../../docs/shapes.md");
    for shape in crate::shapes::names() {
        assert!(table.contains(&format!("| {shape} |")), "'{shape}' has no row in docs/shapes.md");
    }
}
