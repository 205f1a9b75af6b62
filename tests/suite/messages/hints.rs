//! A hint names only flags that its verb has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::messages::hints;
use crate::common::tool::Tool;
use crate::docs::VERBS;

fn flags_of(verb: &str) -> BTreeSet<String> {
    let help = String::from_utf8(Tool::new(&[verb, "--help"]).run().expect(0).stdout).unwrap();
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let long = lines.filter_map(|line| line.split_whitespace().take(2).find_map(|word| word.strip_prefix("--")));
    let end = |flag: &str| flag.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(flag.len());
    long.map(|flag| flag[..end(flag)].to_owned()).collect()
}

/// The flags that a step names as flags of `verb`: those behind another verb's name are that one's.
fn named(step: &str, verb: &str) -> Vec<(String, String)> {
    let words: Vec<_> = step.split(|c: char| c.is_whitespace() || "',()`".contains(c)).collect();
    let mut owner = verb;
    let mut flags = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if *word == "jmap-dump-tool" {
            owner = words.get(at + 1).filter(|next| VERBS.contains(next)).copied().unwrap_or("dump");
        }
        let flag = word.strip_prefix("--").map(|flag| flag.split(['=', '.', ':', ';']).next().unwrap_or_default());
        flags.extend(flag.filter(|flag| !flag.is_empty()).map(|flag| (owner.to_owned(), flag.to_owned())));
    }
    flags
}

/// Every hint of the sources, as every verb would say it. Flags of other programs belong to no verb.
#[test]
fn no_hint_names_a_flag_that_its_verb_lacks() {
    let flags: Vec<_> = VERBS.iter().map(|verb| (*verb, flags_of(verb))).collect();
    let has = |verb: &str, flag: &str| flags.iter().any(|(other, flags)| *other == verb && flags.contains(flag));
    let is_ours = |flag: &str| flags.iter().any(|(_, flags)| flags.contains(flag));
    let (mut checked, mut wrong) = (0, BTreeSet::new());
    for hint in hints() {
        for verb in VERBS {
            let fitting = jmap_dump_tool::cli::fitting(&hint.text, verb);
            for (owner, flag) in fitting.split("; ").flat_map(|step| named(step, verb)) {
                checked += 1;
                if is_ours(&flag) && !has(&owner, &flag) {
                    wrong.insert(format!("{verb}: --{flag} in: {fitting}"));
                }
            }
        }
        // A step whose flags no verb has together is told to nobody.
        for step in hint.text.split("; ") {
            let told = VERBS.iter().any(|verb| !jmap_dump_tool::cli::fitting(step, verb).is_empty());
            assert!(told || step.is_empty(), "{}: nobody is told: {step}", hint.file);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 100, "only {checked} flags were found");
}

/// What a verb's own file says beside its errors: warnings, and what `check` tells to do.
#[test]
fn no_text_of_a_verb_names_a_flag_that_it_lacks() {
    let all: BTreeSet<String> = VERBS.iter().flat_map(|verb| flags_of(verb)).collect();
    for verb in VERBS {
        let commands = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands");
        let dir = fs::read_dir(commands.join(verb)).into_iter().flatten().flatten().map(|file| file.path());
        let files: Vec<_> = dir.chain([commands.join(format!("{verb}.rs"))]).collect();
        let code: String = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
        assert!(!code.is_empty(), "{verb} has no file");
        let own = flags_of(verb);
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//") && !line.contains("var(")) {
            for (_, flag) in named(line, verb).into_iter().filter(|(owner, flag)| owner == verb && all.contains(flag)) {
                assert!(own.contains(&flag), "{verb} has no --{flag}: {line}");
            }
        }
    }
}
