//! The pages that people read: README.md, docs/, and what stands beside them.

use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a page, by its path from the root of the repository.
#[track_caller]
pub fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Where the pages of docs/ lie that are also in Chinese.
pub const CHINESE: &str = "docs/zh-CN/";

/// The paths of all pages, from the root of the repository; README.md is the first.
pub fn names() -> Vec<String> {
    let mut names = ["", "docs/", CHINESE, "deploy/"].map(in_directory).concat();
    names.sort_by_key(|name| (name != "README.md", name.clone()));
    names
}

/// README.md and the English pages of docs/: what a user reads, and so what has to work as it is written.
pub fn guides() -> Vec<String> {
    let mut names = names();
    names.retain(|name| name == "README.md" || (name.starts_with("docs/") && !name.starts_with(CHINESE)));
    names
}

fn in_directory(dir: &str) -> Vec<String> {
    let files = fs::read_dir(root().join(dir)).expect("a directory of pages").flatten();
    let names = files.map(|file| format!("{dir}{}", file.file_name().to_string_lossy()));
    names.filter(|name| name.ends_with(".md")).collect()
}

/// The lines of the fenced blocks of one language.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut lines = whole_blocks(text, language).join("\n").lines().map(str::to_owned).collect::<Vec<_>>();
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// Each fenced block of one language.
pub fn whole_blocks(text: &str, language: &str) -> Vec<String> {
    fenced(text).into_iter().filter(|(other, _)| other == language).map(|(_, block)| block).collect()
}

/// Each fenced block, with its language.
pub fn fenced(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// A heading, and what follows it up to the next heading.
pub struct Section {
    pub level: usize,
    pub text: String,
}

/// The sections of a page. The first one is what stands before the first heading.
pub fn sections(text: &str) -> Vec<Section> {
    let mut sections = vec![Section { level: 0, text: String::new() }];
    let mut inside = false;
    for line in text.lines() {
        inside ^= line.starts_with("```");
        if !inside && line.starts_with('#') {
            let level = line.chars().take_while(|c| *c == '#').count();
            sections.push(Section { level, text: String::new() });
        }
        if let Some(section) = sections.last_mut() {
            section.text.push_str(line);
            section.text.push('\n');
        }
    }
    sections
}

/// The lines outside of fenced blocks.
pub fn prose(text: &str) -> Vec<&str> {
    let mut inside = false;
    let outside = |line: &&str| {
        let is_fence = line.starts_with("```");
        inside ^= is_fence;
        !inside && !is_fence
    };
    text.lines().filter(outside).collect()
}

/// What the links of a page point to.
pub fn links(text: &str) -> Vec<String> {
    let prose = prose(text).join("\n");
    let behind = prose.split("](").skip(1);
    behind.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of a page's headings, as GitHub makes them: small letters, hyphens for spaces, no punctuation.
pub fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    let mut anchors: Vec<String> = Vec::new();
    for heading in headings.map(|line| line.trim_start_matches('#').trim()) {
        let anchor = anchor_of(heading);
        let again = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(if again == 0 { anchor } else { format!("{anchor}-{again}") });
    }
    anchors
}

fn anchor_of(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

/// The file that a link of the page `from` points to, and the anchor in it. `None` for what lies on the network.
pub fn target_of(from: &str, link: &str) -> Option<(PathBuf, Option<String>)> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    let page = root().join(from);
    let file = if path.is_empty() { page } else { page.parent().unwrap_or(root()).join(path) };
    Some((file, anchor))
}
