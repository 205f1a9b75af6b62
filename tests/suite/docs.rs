//! The pages of docs/: their links, their tables against the program, and what they say that one can type.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::common::messages::{self, Message, fixed_part};
use crate::common::pages::{anchors, guides, links, names, target_of, text, whole_blocks};
use crate::common::tool::Tool;

pub const VERBS: &[&str] = &[
    "dump", "take", "ps", "check", "upload", "watch", "status", "list", "fetch", "diff", "presign", "verify", "arm",
    "install",
];

#[test]
fn each_link_of_a_page_leads_somewhere() {
    let mut broken = Vec::new();
    let mut followed = 0;
    for name in names() {
        for link in links(&text(&name)) {
            let Some((file, anchor)) = target_of(&name, &link) else { continue };
            followed += 1;
            if !leads_somewhere(&file, anchor.as_deref()) {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "links to nothing:\n{}", broken.join("\n"));
    assert!(followed > 100, "only {followed} links were found");
}

fn leads_somewhere(file: &std::path::Path, anchor: Option<&str>) -> bool {
    let Some(anchor) = anchor else { return file.exists() };
    fs::read_to_string(file).is_ok_and(|page| anchors(&page).iter().any(|other| other == anchor))
}

#[test]
fn index_names_each_page_of_docs() {
    let index = links(&text("docs/README.md"));
    for name in names().iter().filter_map(|name| name.strip_prefix("docs/")).filter(|name| *name != "README.md") {
        assert!(index.iter().any(|link| link == name), "docs/README.md does not link {name}");
    }
}

/// A flag of the program, as `--help` describes it.
type Flags = BTreeMap<String, String>;

/// The flags of all verbs, with what the help says of them.
fn flags_of_the_program() -> Flags {
    let mut flags = Flags::new();
    for verb in VERBS {
        let help = Tool::new(&[verb, "--help"]).run().expect(0);
        let mut described = None;
        for line in String::from_utf8(help.stdout).unwrap().lines() {
            if let Some(flag) = flag_of(line) {
                described = Some(flag.clone());
                flags.insert(flag, String::new());
            }
            if let Some(text) = described.as_ref().and_then(|flag| flags.get_mut(flag)) {
                text.push_str(line.trim());
                text.push(' ');
            }
        }
    }
    flags.remove("help");
    flags.remove("version");
    flags
}

/// The flag that a line of the help is about, without its hyphens.
fn flag_of(line: &str) -> Option<String> {
    let line = line.trim_start();
    let words = line.split_whitespace().take(if line.starts_with('-') { 2 } else { 0 });
    let long = words.filter_map(|word| word.strip_prefix("--")).next()?;
    let end = long.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(long.len());
    Some(long[..end].to_owned())
}

/// A row of the tables in docs/settings.md.
#[derive(Debug)]
struct Row {
    flag: Option<String>,
    variable: Option<String>,
    key: Option<String>,
    default: String,
}

fn rows() -> Vec<Row> {
    let page = text("docs/settings.md").replace('`', "");
    let lines = page.lines().filter(|line| line.starts_with("| --") || line.starts_with("| none | JMAP_"));
    let rows = lines.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        let said = |at: usize| (cells[at] != "none").then(|| cells[at].to_owned());
        Row { flag: flag_of(cells[0]), variable: said(1), key: said(2), default: cells[3].to_owned() }
    });
    rows.collect()
}

#[test]
fn settings_page_has_each_flag_and_no_other() {
    let program: BTreeSet<_> = flags_of_the_program().into_keys().collect();
    let page: BTreeSet<_> = rows().into_iter().filter_map(|row| row.flag).collect();
    assert_same(&page, &program);
}

#[track_caller]
fn assert_same(page: &BTreeSet<String>, program: &BTreeSet<String>) {
    let (only_there, only_here): (Vec<_>, Vec<_>) =
        (program.difference(page).collect(), page.difference(program).collect());
    assert!(
        only_there.is_empty() && only_here.is_empty(),
        "docs/settings.md lacks {only_there:?}, and has {only_here:?}, which the program does not know"
    );
}

#[test]
fn settings_page_has_each_verb_and_no_other() {
    let page = text("docs/settings.md");
    let table = page.split("## Verbs").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the verbs");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let page: Vec<_> = rows.filter_map(|row| row.split([' ', '`']).next()).collect();
    let help = String::from_utf8(Tool::new(&["--help"]).run().expect(0).stdout).unwrap();
    let mut described = help.lines().filter_map(|line| line.split_whitespace().next()).collect::<BTreeSet<_>>();
    described.retain(|word| VERBS.contains(word));
    assert_eq!(page, VERBS);
    assert_eq!(described.len(), VERBS.len(), "{help}");
}

/// The program lists all keys that it knows when it meets one that it does not know.
#[test]
fn settings_page_has_each_key_and_its_variable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    fs::write(&file, "no_such_key = 1\n").unwrap();
    let said = Tool::new(&["shop", "cart", "prod", "--config", file.to_str().unwrap()]).run().expect(2).stderr;
    let known = said.lines().find_map(|line| line.split_once("known are ")).expect("the keys").1;
    let known: BTreeSet<_> = known.split(", ").map(str::to_owned).collect();
    let rows = rows();
    let page: BTreeSet<_> = rows.iter().filter_map(|row| row.key.clone()).collect();
    assert_same(&page, &known);
    for row in rows.iter().filter(|row| row.key.is_some()) {
        let key = row.key.clone().unwrap_or_default();
        assert_eq!(row.variable, Some(format!("JMAP_DUMP_{}", key.to_uppercase())), "{row:?}");
        assert!(row.flag.as_ref().is_none_or(|flag| flag.replace('-', "_") == key), "{row:?}");
    }
}

#[test]
fn settings_page_tells_the_defaults_of_the_help() {
    let program = flags_of_the_program();
    let rows = rows();
    let mut compared = 0;
    for (flag, help) in &program {
        let Some(default) = help.split_once("[default: ").and_then(|(_, rest)| rest.split(']').next()) else {
            continue;
        };
        let row = rows.iter().find(|row| row.flag.as_ref() == Some(flag)).expect(flag);
        if !default.trim().contains(' ') {
            assert_eq!(row.default, default.trim(), "--{flag}");
            compared += 1;
        }
    }
    assert!(compared > 8, "only {compared} defaults were found");
}

/// A page as it reads: without the marks of its code, each blank as one.
fn as_read(page: &str) -> String {
    let plain = page.replace('`', "").replace("\\|", "|");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn missing(messages: &[Message], words: usize) -> Vec<String> {
    let page = as_read(&text("docs/troubleshooting.md"));
    let parts = messages.iter().filter_map(|message| Some((message, fixed_part(&message.text, words)?)));
    let missing = parts.filter(|(_, part)| !page.contains(part.as_str()));
    missing.map(|(message, part)| format!("{}: {part}", message.file)).collect()
}

#[test]
fn troubleshooting_has_each_error_of_the_sources() {
    let errors = messages::errors();
    assert!(errors.len() > 120, "only {} errors were found", errors.len());
    let missing = missing(&errors, 2);
    assert!(missing.is_empty(), "no entry in docs/troubleshooting.md:\n{}", missing.join("\n"));
}

#[test]
fn troubleshooting_has_each_hint_of_the_sources() {
    let hints = messages::hints();
    assert!(hints.len() > 100, "only {} hints were found", hints.len());
    let missing = missing(&hints, 3);
    assert!(missing.is_empty(), "no entry in docs/troubleshooting.md:\n{}", missing.join("\n"));
}

#[test]
fn fixed_part_of_a_message_is_its_longest() {
    let part = |text| fixed_part(text, 2);
    assert_eq!(part("pid {pid} ended during its dump").as_deref(), Some("ended during its dump"));
    assert_eq!(part("{0}, and not all is stored").as_deref(), Some("and not all is stored"));
    assert_eq!(part("{path}: {what}"), None);
}

/// Each flag of ours in a command or manifest of a page.
#[test]
fn each_flag_in_a_command_of_a_page_is_one_of_the_program() {
    let program = flags_of_the_program();
    let mut checked = 0;
    for name in guides() {
        let text = text(&name);
        let blocks = ["sh", "console", "yaml"].map(|language| whole_blocks(&text, language)).concat();
        for command in blocks.iter().flat_map(|block| commands(block)) {
            let words = command.split([' ', ',', ']', '"']).filter(|word| word.starts_with("--") && word.len() > 2);
            for flag in words.filter_map(flag_of) {
                assert!(program.contains_key(&flag) || flag == "version", "{name}: no flag --{flag}: {command}");
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "only {checked} flags were found");
}

/// What follows the tool's name, to the end of the command. The plugin's flags are another test's.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace(",\n", ", ");
    let lines = joined.lines().filter(|line| !line.contains("kubectl jmap-dump") && !line.contains("sh -c"));
    let commands = lines.filter_map(|line| line.split_once("/jmap-dump-tool").or(line.split_once("jmap-dump-tool ")));
    let ends = ["| ", "> ", "< ", ")\n", "$("];
    commands
        .map(|(_, rest)| ends.iter().fold(rest, |rest, end| rest.split(end).next().unwrap_or(rest)).into())
        .collect()
}

#[test]
fn each_yaml_and_json_block_of_a_page_can_be_read() {
    let mut read = 0;
    for name in guides() {
        let text = text(&name);
        for block in whole_blocks(&text, "yaml") {
            let value: Result<serde_json::Value, _> = serde_saphyr::from_str(&block);
            assert!(value.is_ok(), "{name}: {value:?}: {block}");
            read += 1;
        }
        for block in whole_blocks(&text, "json") {
            let value: Result<serde_json::Value, _> = serde_json::from_str(&block);
            assert!(value.is_ok(), "{name}: {value:?}: {block}");
            read += 1;
        }
    }
    assert!(read > 8, "only {read} blocks were found");
}

#[test]
fn faq_answers_fifteen_questions() {
    let page = text("docs/faq.md");
    let questions = page.lines().filter(|line| line.starts_with("## ") && line.ends_with('?')).count();
    assert!(questions >= 15, "{questions}");
}
