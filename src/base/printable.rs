//! Text that others have written, on its way to a terminal or a log: it must command neither, and forge no line there.
//! Names of classes, arguments, paths, users, what a JVM or a store answers: whoever chose them may have put an escape
//! sequence into them (ECMA-48, "Control Functions for Coded Character Sets").
//!
//! Whatever becomes one line goes through [`printable`] where the line is made; all that leaves this process as text
//! goes through [`printable_lines`] at the edge as well, so that what was forgotten can forge a line at most.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

/// One line: what is no plain character is written as JSON writes it, `\n` or `\u001b`.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// The same for a text of lines.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n')
}

/// A path in one line.
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Words of a command line, for a message about them.
pub fn printable_words(words: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    words.map(|word| OsString::from(printable(&word.to_string_lossy()).into_owned()))
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and those that are not seen but change the order of
/// what is (Unicode Standard Annex 9, "Unicode Bidirectional Algorithm", and its table of default ignorable ones).
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
                    // A string takes whatever is written to it.
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
    fn what_commands_a_terminal_is_written_out() {
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
        fn nothing_is_left_that_commands(text in ".{0,60}") {
            proptest::prop_assert!(!printable(&text).contains(is_command));
            proptest::prop_assert!(!printable_lines(&text).contains(|c| is_command(c) && c != '\n'));
        }
    }
}
