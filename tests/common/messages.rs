//! The messages of the program, read from its sources: the texts of its errors and of their hints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::pages::root;

/// A text in the sources, and where it stands.
#[derive(Debug)]
pub struct Message {
    pub file: String,
    pub text: String,
}

/// The text of each `#[error("…")]`.
pub fn errors() -> Vec<Message> {
    from_sources(|code| {
        let after = code.split("#[error(").skip(1).map(str::trim_start);
        after.filter(|rest| rest.starts_with('"')).filter_map(|rest| strings(rest).into_iter().next()).collect()
    })
}

/// Each text in the body of a function whose name has `hint` in it, and of the constants that stand there.
pub fn hints() -> Vec<Message> {
    let constants = constants();
    from_sources(|code| {
        let functions = code.split("fn ").skip(1);
        let named = functions.filter(|rest| rest.split(['(', '<']).next().is_some_and(|name| name.contains("hint")));
        let texts = named.map(body).flat_map(|body| {
            let words = body.split(|c: char| !c.is_ascii_uppercase() && c != '_');
            let named = words.filter_map(|word| constants.get(word).cloned()).collect();
            [strings(body), named].concat()
        });
        texts.collect()
    })
}

/// All constants of the sources that are texts, by their names.
fn constants() -> BTreeMap<String, String> {
    let mut constants = BTreeMap::new();
    for path in rust_files(&root().join("src")) {
        let code = code_of(&path);
        let texts = code.split("const ").skip(1).filter_map(|rest| rest.split_once(": &str ="));
        constants.extend(texts.filter_map(|(name, rest)| Some((name.to_owned(), strings(rest).into_iter().next()?))));
    }
    constants
}

/// The longest part of a text that is the same in each message, if it has so many words.
pub fn fixed_part(text: &str, words: usize) -> Option<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '{' if depth == 0 => {
                parts.push(String::new());
                depth = 1;
            }
            '{' => depth = 0,
            '}' => depth = 0,
            _ if depth == 0 => parts.last_mut()?.push(c),
            _ => {}
        }
    }
    let parts = parts.iter().map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let longest = parts.max_by_key(String::len)?;
    let longest = longest.trim_matches([';', ',', ':', '\'', ' ', '(', ')']);
    (longest.split(' ').count() >= words).then(|| longest.to_owned())
}

fn from_sources(find: impl Fn(&str) -> Vec<String>) -> Vec<Message> {
    let mut found = Vec::new();
    for path in rust_files(&root().join("src")) {
        let code = code_of(&path);
        let file = path.strip_prefix(root()).unwrap().display().to_string();
        found.extend(find(&code).into_iter().map(|text| Message { file: file.clone(), text }));
    }
    found
}

/// A source file without its tests.
fn code_of(path: &Path) -> String {
    let code = fs::read_to_string(path).unwrap();
    code.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// From the first brace to the one that closes it, or to the end.
fn body(function: &str) -> &str {
    let start = function.find('{').unwrap_or(function.len());
    let (mut depth, mut in_text, mut escaped) = (0, false, false);
    for (at, c) in function.char_indices().skip_while(|(at, _)| *at < start) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            '{' if !in_text => depth += 1,
            '}' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 && !in_text {
            return &function[start..=at];
        }
    }
    &function[start..]
}

/// The string literals of Rust code, with their escapes resolved.
fn strings(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    chars.push('\n');
    let mut chars = chars.chars().peekable();
    while chars.by_ref().any(|c| c == '"') {
        let mut text = String::new();
        while let Some(c) = chars.next().filter(|c| *c != '"') {
            match (c, chars.peek()) {
                ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                ('\\', Some('n')) => {
                    chars.next();
                    text.push('\n');
                }
                ('\\', _) => text.extend(chars.next()),
                _ => text.push(c),
            }
        }
        found.push(text);
    }
    found
}
