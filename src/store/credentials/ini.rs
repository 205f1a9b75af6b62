//! Parses AWS's shared files. No I/O (AWS SDKs and Tools Reference Guide: "Shared config and credentials files", format
//! of the config file).

use std::collections::BTreeMap;

/// Sections with their keys. If a key is there twice, the last one counts.
pub type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// Parses the text. A line that makes no sense is skipped, as AWS's tools do.
pub fn parse(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut current: Option<String> = None;
    for line in text.trim_start_matches('\u{feff}').lines() {
        // An indented line belongs to the value above it, which is a list of settings of one service.
        if line.starts_with([' ', '\t', '#', ';']) || line.trim().is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            current = rest.split(']').next().map(one_space);
            if let Some(name) = &current {
                sections.entry(name.clone()).or_default();
            }
        } else if let (Some(name), Some((key, value))) = (&current, line.split_once('=')) {
            let keys = sections.entry(name.clone()).or_default();
            keys.insert(key.trim().to_ascii_lowercase(), without_comment(value).trim().to_owned());
        }
    }
    sections
}

/// Returns the name with single blanks: `profile   x` and `profile x` are the same section.
fn one_space(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Removes a comment after a value. A blank must precede it, because keys may contain '#'.
fn without_comment(value: &str) -> &str {
    let begins = |mark: &str| value.find(mark);
    let at = [" #", "\t#", " ;", "\t;"].into_iter().filter_map(begins).min();
    at.map_or(value, |at| &value[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keys_and_comments_are_told_apart() {
        let text = "\u{feff}# comment\r\nkey = before any section\r\n[default]\r\nRegion = eu-west-1 # near\r\n\
                    aws_secret_access_key=a#b;c=d/e\r\ns3 =\r\n  max_concurrent_requests = 20\r\n\r\n\
                    [profile  dev]\nregion= us-east-1\nregion =us-east-2\nnonsense\n";
        let sections = parse(text);
        assert_eq!(sections["default"]["region"], "eu-west-1");
        assert_eq!(sections["default"]["aws_secret_access_key"], "a#b;c=d/e");
        assert_eq!(sections["default"]["s3"], "");
        assert!(!sections["default"].contains_key("max_concurrent_requests"));
        assert_eq!(sections["profile dev"]["region"], "us-east-2");
        assert_eq!(sections.len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
