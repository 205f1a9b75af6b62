//! Settings files: TOML with one plain value or list for each key.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::layers::{KNOWN_KEYS, Values};
use super::values::UsageError;
use crate::cli::separator;
use crate::files::given_file;
use crate::files::regular_file::{self, TEXT_MAX};

/// The settings file beside the program.
pub const FILE_NAME: &str = "jmap-dump-tool.toml";

pub(super) fn beside() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join(FILE_NAME))
}

pub(super) fn read_config(path: &str) -> io::Result<String> {
    let bytes =
        if path == "-" { given_file::read_stdin(TEXT_MAX) } else { given_file::read(Path::new(path), TEXT_MAX) };
    regular_file::text(bytes?)
}

/// Reads the settings file beside the program. It must be safe from other users, because it decides where dumps go.
pub(super) fn read_trusted(path: &Path, shown: &str) -> Result<Option<String>, UsageError> {
    let error = |source| UsageError::ConfigRead { path: shown.to_owned(), source };
    let file = match regular_file::open_named(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(error)?,
    };
    let meta = file.metadata().map_err(error)?;
    let ours = rustix::process::geteuid().as_raw();
    let why = if meta.uid() != 0 && meta.uid() != ours {
        Some(format!("it belongs to uid {}, neither root nor this user ({ours})", meta.uid()))
    } else if meta.mode() & 0o022 != 0 {
        Some(format!("others may write to it (mode {:o})", meta.mode() & 0o777))
    } else {
        None
    };
    match why {
        Some(why) => Err(UsageError::ConfigTrust { path: shown.to_owned(), why }),
        None => regular_file::read_bounded(file, TEXT_MAX).and_then(regular_file::text).map(Some).map_err(error),
    }
}

pub(super) fn parse(text: &str, path: &str) -> Result<Values, UsageError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| UsageError::ConfigSyntax {
        path: path.to_owned(),
        // The wrong line may contain a secret, so the message has only its number and the reason.
        why: format!("{}{}", error.message(), error.span().map(|span| line_of(text, span.start)).unwrap_or_default()),
    })?;
    let mut values = Values::default();
    for (key, value) in table {
        if !KNOWN_KEYS.contains(&key) {
            let known = KNOWN_KEYS.join(", ");
            return Err(UsageError::UnknownKey { path: path.to_owned(), key: key.chars().take(40).collect(), known });
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            toml::Value::Array(list) => {
                list.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(separator(&key))
            }
            _ => {
                return Err(UsageError::ConfigSyntax {
                    path: path.to_owned(),
                    why: format!("{key} is no plain value"),
                });
            }
        };
        values.set(&key, Some(&text));
    }
    Ok(values)
}

fn line_of(text: &str, at: usize) -> String {
    format!(" in line {}", text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_file_is_refused_without_showing_its_text() {
        assert!(matches!(parse("stroe = 's3://b'", "f"), Err(UsageError::UnknownKey { .. })));
        let error = parse("secret_access_key = hunter2\n", "f").unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn windows_line_ends_are_no_part_of_a_value() {
        let values = parse("store = \"s3://b\"\r\nsecret_access_key = \"x\\r\\n\"\r\n", "f").unwrap();
        assert_eq!(values.0["store"], "s3://b");
    }
}
