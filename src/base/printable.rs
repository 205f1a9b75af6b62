//! Makes other people's text safe for a terminal and a log. The text must neither control the terminal nor forge a line
//! of the log. Names of classes, arguments, paths and the answers of a JVM or a store may contain escape sequences
//! (ECMA-48, "Control Functions for Coded Character Sets").
//!
//! Code that makes one line passes the text through [`printable`]. The edge of the program passes all its output
//! through [`printable_lines`] once more. So text that a caller forgot can forge a line at most.

use std::borrow::Cow;
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

/// Returns the text in one line. Control characters are written as in JSON: `\n` or `\u001b`.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// Returns the text with its line breaks. All other control characters are written as in JSON.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n')
}

/// Returns a path in one line.
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Returns the message of an error and those of all its causes, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors already end with the text of their cause.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    printable(&text).into_owned()
}

/// Returns the words of a command line, for a message about them.
pub fn printable_words(words: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    words.map(|word| OsString::from(printable(&word.to_string_lossy()).into_owned()))
}

/// Returns whether a character controls the output: control characters (C0, DEL, C1), line and paragraph separators,
/// and invisible characters that change the order of text. Source: Unicode Standard Annex 9, "Unicode Bidirectional
/// Algorithm", and its table of default ignorable characters.
pub fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escaped(text: &str, may_pass: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_bad = |c: char| is_command(c) && !may_pass(c);
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_bad(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // A write into a `String` cannot fail.
                    let _ = write!(safe, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_commands_are_written_out() {
        assert_eq!(printable("a\x1b[31mb\r\n\t\u{9b}2J\x7f"), r"a\u001b[31mb\r\n\t\u009b2J\u007f");
        assert_eq!(printable_lines("one\ntwo\x1b]0;x\x07"), "one\ntwo\\u001b]0;x\\u0007");
        assert_eq!(printable("\u{202e}gpj\u{2028}\u{e0041}"), r"\u202egpj\u2028\udb40\udc41");
    }

    #[test]
    fn plain_text_of_any_script_stays_as_it_is() {
        let text = "Größe 大小 שלום C:\\temp \\u0041 …";
        assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "name": "a\u{9b}\u{202e}\x1b\x7fb" });
        let text = value.to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printable_lines(&text)).unwrap(), value);
    }

    proptest::proptest! {
        #[test]
        fn printable_text_contains_no_command(text in ".{0,60}") {
            proptest::prop_assert!(!printable(&text).contains(is_command));
            proptest::prop_assert!(!printable_lines(&text).contains(|c| is_command(c) && c != '\n'));
        }
    }
}
