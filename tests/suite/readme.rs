//! README.md and the commands of all pages: what needs no cluster is run as it is written, beside a JVM.

use crate::common::container::Container;
use crate::common::pages::{blocks, guides, prose, text};
use crate::common::tool::binary;

const README: &str = include_str!("../../README.md");

/// In one container, page after page: README.md is the first.
#[test]
fn each_command_of_the_pages_works_as_it_is_written() {
    let Some(builder) = Container::builder("17") else { return };
    let container = builder.busybox().bind_read_only(binary(), "/bin/jmap-dump-tool").start();
    let pages =
        guides().into_iter().flat_map(|page| blocks(&text(&page), "sh").into_iter().map(move |c| (page.clone(), c)));
    let commands: Vec<_> = pages.filter(|(_, command)| !command.starts_with("make ")).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for (page, command) in commands {
        let ended = container.command(&["/bin/busybox", "sh", "-c", &command]).env("PATH", "/bin").cwd("/tmp").output();
        assert_eq!(ended.code, 0, "{page}: {command}: {ended:?}");
    }
    assert_eq!(container.say("ping"), "pong");
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
fn readme_fits_in_170_lines_and_begins_with_a_command() {
    let lines = README.lines().count();
    assert!(lines <= 170, "{lines} lines");
    let first = README.lines().position(|line| line == "```sh").expect("a command");
    assert!(first < 25, "the first command is in line {}", first + 2);
}

#[test]
fn readme_has_a_sentence_for_each_exit_status() {
    for status in 0..=9 {
        assert!(README.contains(&format!("| {status} |")), "exit status {status} is not in the README");
    }
}

/// Three ways to a dump, each with its warning, before its command.
#[test]
fn readme_warns_of_the_pause_in_each_way() {
    let night = README.split("## At 3 a.m.").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let ways: Vec<_> = night.split("\n**With ").skip(1).collect();
    assert_eq!(ways.len(), 3);
    for way in ways {
        let before = way.split("```").next().unwrap_or_default();
        assert!(before.contains("s per GB") && before.contains("liveness probe"), "{way}");
        assert!(way.contains("check"), "{way}");
    }
}

#[test]
fn readme_has_no_sentence_above_25_words() {
    let long: Vec<_> = sentences(README).into_iter().filter(|sentence| sentence.split(' ').count() > 25).collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// Of paragraphs, list items and cells of tables.
fn sentences(page: &str) -> Vec<String> {
    let mut units = vec![String::new()];
    for line in prose(page) {
        let line = line.trim_start_matches("> ").trim();
        if line.is_empty() || line.starts_with(['-', '|', '#', '!']) {
            units.push(String::new());
        }
        if let Some(unit) = units.last_mut() {
            unit.push_str(line.trim_start_matches(['-', '#', ' ']));
            unit.push(' ');
        }
    }
    let cells = units.iter().flat_map(|unit| unit.split(" | ").chain([]));
    let split = cells.flat_map(|cell| cell.split_inclusive([':', '.', '?', '!']).fold(Vec::new(), joined));
    split.map(|sentence| sentence.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|s| !s.is_empty()).collect()
}

/// A mark ends a sentence only before a blank.
fn joined(mut sentences: Vec<String>, piece: &str) -> Vec<String> {
    match sentences.last_mut() {
        Some(last) if !piece.starts_with(' ') => last.push_str(piece),
        _ => sentences.push(piece.to_owned()),
    }
    sentences
}

/// `docs/shapes.md` has a row for each shape that is tested, and none besides.
#[test]
fn the_table_of_shapes_is_the_one_that_is_tested() {
    let table = include_str!("../../docs/shapes.md");
    for shape in crate::shapes::names() {
        assert!(table.contains(&format!("| {shape} |")), "'{shape}' has no row in docs/shapes.md");
    }
}
