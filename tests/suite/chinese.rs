//! The pages that are also in Chinese: each follows its English page, section by section.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::pages::{CHINESE, Section, anchors, fenced, links, names, prose, root, sections, target_of, text};

/// English page, Chinese page.
const PAGES: &[(&str, &str)] = &[
    ("README.md", "README.zh-CN.md"),
    ("docs/stores.md", "docs/zh-CN/stores.md"),
    ("docs/console.md", "docs/zh-CN/console.md"),
];

/// A section of the English page, and the same one in Chinese.
struct Pair {
    name: String,
    english: (&'static str, Section),
    chinese: (&'static str, Section),
}

/// The sections that are translated. A section that only links its English one is left out.
fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (english, chinese) in PAGES {
        for (ours, theirs) in sections(&text(english)).into_iter().zip(sections(&text(chinese))) {
            let heading = ours.text.lines().next().unwrap_or_default();
            let name = format!("{chinese}, {heading}");
            if !is_left_out(english, &ours, chinese, &theirs) {
                pairs.push(Pair { name, english: (english, ours), chinese: (chinese, theirs) });
            }
        }
    }
    pairs
}

fn is_left_out(english: &str, ours: &Section, chinese: &str, theirs: &Section) -> bool {
    let own = anchors(&ours.text).into_iter().next();
    let english = root().join(english).canonicalize().expect(english);
    let mut targets = links(&theirs.text).into_iter().filter_map(|link| target_of(chinese, &link));
    own.is_some()
        && targets.any(|(file, anchor)| file.canonicalize().is_ok_and(|file| file == english) && anchor == own)
}

#[test]
fn each_chinese_page_has_its_english_page() {
    let known: Vec<_> = PAGES.iter().map(|(_, chinese)| *chinese).collect();
    for name in names().iter().filter(|name| name.starts_with(CHINESE) || name.contains("zh-CN")) {
        assert!(known.contains(&name.as_str()), "{name} is compared with no English page");
    }
}

/// The other tests take the sections by their number.
#[test]
fn chinese_page_has_the_headings_of_its_english_page() {
    for (english, chinese) in PAGES {
        let levels = |name: &str| sections(&text(name)).iter().map(|section| section.level).collect::<Vec<_>>();
        assert_eq!(levels(english), levels(chinese), "levels of the headings of {english} and of {chinese}");
    }
    assert!(pairs().len() > 20, "only {} sections are translated", pairs().len());
}

#[test]
fn chinese_section_has_the_blocks_of_its_english_one() {
    let mut compared = 0;
    for Pair { name, english, chinese } in pairs() {
        let blocks = |section: &Section| fenced(&section.text).into_iter().map(without_comments).collect::<Vec<_>>();
        let (ours, theirs) = (blocks(&english.1), blocks(&chinese.1));
        assert_eq!(ours, theirs, "{name}");
        compared += ours.len();
    }
    assert!(compared > 12, "only {compared} blocks were compared");
}

/// A block in which comments may be translated.
fn without_comments((language, block): (String, String)) -> (String, String) {
    if language == "text" {
        return (language, block);
    }
    let lines = block.lines().map(|line| line.split_once("  # ").map_or(line, |(code, _)| code).trim_end());
    let code = lines.filter(|line| !line.trim_start().starts_with("# ")).collect::<Vec<_>>().join("\n");
    (language, code)
}

#[test]
fn chinese_section_has_the_code_of_its_english_one() {
    compare("words in code", |_, section| code_words(&section.text));
}

#[test]
fn chinese_section_has_the_numbers_of_its_english_one() {
    compare("numbers", |_, section| numbers(&section.text));
}

#[test]
fn chinese_section_has_the_links_of_its_english_one() {
    compare("links", |page, section| {
        links(&section.text).iter().map(|link| english_target(page, link)).collect::<BTreeSet<_>>()
    });
}

#[test]
fn chinese_section_has_the_rows_of_its_english_one() {
    compare("rows and list items", |_, section| {
        let lines = prose(&section.text);
        let count = |mark: &str| lines.iter().filter(|line| line.starts_with(mark)).count();
        BTreeSet::from([format!("{} rows", count("| ")), format!("{} items", count("- "))])
    });
}

#[track_caller]
fn compare(what: &str, of: impl Fn(&str, &Section) -> BTreeSet<String>) {
    let (mut compared, mut different) = (0, Vec::new());
    for Pair { name, english, chinese } in pairs() {
        let (ours, theirs) = (of(english.0, &english.1), of(chinese.0, &chinese.1));
        let (only_ours, only_theirs): (Vec<_>, Vec<_>) =
            (ours.difference(&theirs).collect(), theirs.difference(&ours).collect());
        if ours != theirs {
            different.push(format!("{name}: only in English {only_ours:?}, only in Chinese {only_theirs:?}"));
        }
        compared += ours.len();
    }
    assert!(different.is_empty(), "{what}:\n{}", different.join("\n"));
    assert!(compared > 20, "only {compared} {what} were compared");
}

/// What stands between backquotes outside of blocks.
fn code_words(section: &str) -> BTreeSet<String> {
    prose(section).iter().flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The numbers outside of code and of the targets of links.
fn numbers(section: &str) -> BTreeSet<String> {
    let plain: String = prose(section).join("\n").split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let shown = plain.split("](").enumerate().map(|(at, piece)| match piece.split_once(')') {
        Some((_, rest)) if at > 0 => rest,
        _ => piece,
    });
    let shown = shown.collect::<Vec<_>>().join(" ");
    shown.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Where a link leads, named by the English page and the number of its heading.
fn english_target(page: &str, link: &str) -> String {
    let Some((file, anchor)) = target_of(page, link) else { return link.to_owned() };
    let file = file.canonicalize().unwrap_or(file);
    let at = anchor.and_then(|anchor| anchors(&read(&file)).iter().position(|other| *other == anchor));
    let translated = |name: &str| root().join(name).canonicalize().is_ok_and(|other| other == file);
    let english = PAGES.iter().find(|(_, chinese)| translated(chinese)).map(|(english, _)| root().join(english));
    named(&english.unwrap_or(file), at)
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn named(file: &Path, heading: Option<usize>) -> String {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
    let name = file.strip_prefix(root().canonicalize().unwrap_or_default()).unwrap_or(&file).display().to_string();
    heading.map_or(name.clone(), |heading| format!("{name}, heading {heading}"))
}
