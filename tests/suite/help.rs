//! The help: what to type first, then the flags of a verb, and no flag that the verb ignores.

use std::path::Path;
use std::process::Command;

use crate::common::bed::{cannot_run, skip};
use crate::common::pages::text;
use crate::common::tool::{Tool, binary};

/// The headings of flags, in their order. The flags of a verb itself come first, without one.
const HEADINGS: [&str; 7] =
    ["Options:", "Which JVM:", "Where to:", "Which store:", "When:", "What to leave out:", "Advanced:"];

/// Each verb, a flag of its own, and flags of other verbs that it would ignore.
const VERBS: [(&str, &str, &[&str]); 14] = [
    ("dump", "--dry-run", &["--links", "--gunzip", "--valid", "--grace", "--resume", "--path", "--no-attach"]),
    ("take", "--reason", &["--all", "--dir", "--redact", "--if", "--link", "--no-disk"]),
    ("ps", "--output", &["--store", "--pid", "--deadline", "--config", "--all"]),
    ("check", "--no-attach", &["--level", "--reader-timeout", "--if", "--link", "--with", "--reason"]),
    ("upload", "--resume", &["--pid", "--all", "--dir", "--if", "--max-pause", "--attach-timeout", "--store-down"]),
    ("watch", "--pattern", &["--reader-timeout", "--if", "--all", "--dir", "--link", "--delete"]),
    ("status", "", &["--output", "--store", "--deadline", "--config"]),
    (
        "list",
        "--links",
        &["--level", "--encryption", "--kms-key-id", "--reader-timeout", "--redact", "--disk-limit", "--gunzip"],
    ),
    ("fetch", "--to", &["--level", "--encryption", "--kms-key-id", "--reader-timeout", "--redact", "--links"]),
    ("diff", "--output", &["--level", "--encryption", "--links", "--gunzip", "--to", "--redact"]),
    ("presign", "--valid", &["--level", "--encryption", "--kms-key-id", "--reader-timeout", "--username", "--redact"]),
    ("verify", "--output", &["--deadline", "--config", "--store", "--level"]),
    ("arm", "--path", &["--all", "--dir", "--store", "--deadline", "--output", "--config"]),
    ("install", "", &["--output", "--store", "--config"]),
];

fn help(words: &[&str]) -> String {
    String::from_utf8(Tool::new(words).arg("--help").run().expect(0).stdout).unwrap()
}

#[test]
fn help_of_the_program_begins_with_three_words() {
    let help = help(&[]);
    let examples =
        help.lines().filter(|line| line.starts_with("  jmap-dump-tool --") && line.contains("shop cart prod"));
    assert_eq!(examples.count(), 3, "{help}");
    let at = |part: &str| help.find(part).unwrap_or_else(|| panic!("no '{part}': {help}"));
    assert!(at("Usage:") < at("shop cart prod") && at("shop cart prod") < at("Commands:"), "{help}");
    assert!(at("jmap-dump-tool dump --help") < at("Commands:") && at("Commands:") < at("Exit status:"), "{help}");
    let lines = help.lines().take_while(|line| !line.starts_with("Commands:")).count();
    assert!(lines < 20, "the verbs come after {lines} lines: {help}");
}

#[test]
fn help_of_a_verb_has_its_own_flags_first_and_headings() {
    for (verb, own, _) in VERBS {
        let help = help(&[verb]);
        let headings: Vec<_> = help.lines().filter(|line| HEADINGS.contains(line)).collect();
        let in_order: Vec<_> = HEADINGS.into_iter().filter(|heading| headings.contains(heading)).collect();
        assert_eq!(headings, in_order, "{verb}");
        assert_eq!(headings[0], "Options:", "{verb}");
        assert!(headings.contains(&"Advanced:"), "{verb}: {headings:?}");
        let own_flags = help.split("Options:").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        assert!(own_flags.contains(own), "{verb}: {own_flags}");
        assert!(help.lines().any(|line| line == "Examples:"), "{verb}: {help}");
        assert!(help.contains(&format!("\n  jmap-dump-tool {verb}")) || verb == "dump", "{verb}: {help}");
        let below = help.find("\"Stores\" below").map(|at| help[at..].contains("\nStores:\n"));
        assert_ne!(below, Some(false), "{verb} has no stores below");
        assert_eq!(below.is_some(), help.contains("--store "), "{verb}");
    }
    let dump = help(&["dump"]);
    for heading in HEADINGS.iter().filter(|heading| **heading != "Which store:") {
        assert!(dump.lines().any(|line| line == *heading), "dump has no {heading}");
    }
    for words in ["[possible values: lowest, newest, largest]", "[possible values: text, json]"] {
        let dump = dump.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(dump.contains(words), "no {words}: {dump}");
    }
}

#[test]
fn flag_that_a_verb_would_ignore_is_refused() {
    let mut wrong = Vec::new();
    for (verb, _, others) in VERBS {
        let help = help(&[verb]);
        for other in others {
            if help.contains(&format!("{other} ")) || help.contains(&format!("{other}[")) {
                wrong.push(format!("{verb} offers {other}"));
            }
            let ended = Tool::new(&[verb, other]).run();
            if ended.code != 2 || !ended.stderr.contains(&format!("unexpected argument '{other}'")) {
                wrong.push(format!(
                    "{verb} {other} ends with {}: {}",
                    ended.code,
                    ended.stderr.lines().next().unwrap_or("")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The page says of each flag for which verbs it is: each has a row, and no row is of a flag that no verb has.
#[test]
fn settings_page_names_the_words_that_a_flag_takes() {
    let page = text("docs/settings.md");
    let mut compared = 0;
    for (verb, ..) in VERBS {
        let help = help(&[verb]).split_whitespace().collect::<Vec<_>>().join(" ");
        for part in help.split(" --").skip(1) {
            let name = part.split([' ', '[', '=']).next().unwrap_or_default();
            let Some((_, rest)) = part.split_once("[possible values: ") else { continue };
            let row = page.lines().find(|line| line.starts_with(&format!("| `--{name}"))).expect(name);
            for word in rest.split(']').next().unwrap_or_default().split(", ") {
                assert!(row.contains(&format!("`{word}`")), "{verb} --{name} {word}: {row}");
                compared += 1;
            }
        }
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn man_page_of_each_verb_fits_eighty_columns() {
    let pages = VERBS.map(|(verb, ..)| format!("jmap-dump-tool-{verb}.1"));
    for page in pages.into_iter().chain(["jmap-dump-tool.1".to_owned()]) {
        let mut man = Command::new("man");
        man.args(["--warnings", "--local-file"]).arg(Path::new(env!("OUT_DIR")).join(&page));
        man.env("MANWIDTH", "80").env("MANPAGER", "cat").env("LANG", "C.UTF-8").env("MAN_KEEP_FORMATTING", "");
        let Ok(rendered) = man.output() else { return skip("there is no man") };
        let (text, said) = (String::from_utf8_lossy(&rendered.stdout), String::from_utf8_lossy(&rendered.stderr));
        if text.is_empty() {
            return skip(&format!("man renders nothing here: {said}"));
        }
        assert!(!said.contains("warning"), "{page}: {said}");
        let long: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{page}: {long:?}");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ADVANCED"] {
            assert!(text.lines().any(|line| line == section), "{page} has no {section}: {text}");
        }
        // An example stays one line.
        let has_examples = page == "jmap-dump-tool.1" || text.contains("EXAMPLES\n       jmap-dump-tool ");
        assert!(has_examples, "{page}: {text}");
    }
}

/// Runs the tool on a terminal of 80 columns.
fn on_terminal(words: &str, env: &[(&str, &str)]) -> Option<String> {
    let line = format!("stty cols 80 rows 24; {} {words}", binary().display());
    let run = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh"), ("TERM", "xterm-256color")])
        .envs(env.iter().copied())
        .output();
    let Ok(run) = run else {
        cannot_run("script(1) is not there");
        return None;
    };
    Some(String::from_utf8_lossy(&run.stdout).replace('\r', ""))
}

#[test]
fn help_fits_eighty_columns_and_has_colour_only_if_wanted() {
    for (verb, ..) in VERBS {
        let Some(help) = on_terminal(&format!("{verb} --help"), &[("NO_COLOR", "1")]) else { return };
        assert!(!help.contains('\x1b'), "{verb}: {help:?}");
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{verb}: {long:?}");
        // A line that clap had to break would begin at the margin.
        let examples = help.lines().skip_while(|line| *line != "Examples:");
        let broken: Vec<_> =
            examples.filter(|line| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':')).collect();
        assert!(broken.is_empty(), "{verb}: {broken:?}");
    }
    let Some(dumb) = on_terminal("--help", &[("TERM", "dumb")]) else { return };
    assert!(!dumb.contains('\x1b'), "{dumb:?}");
    let Some(colours) = on_terminal("--help", &[]) else { return };
    assert!(colours.contains('\x1b'), "{colours:?}");
}
