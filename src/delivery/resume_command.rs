//! Describes a dump that lies on a disk and was not stored, with the command that stores it later.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::compress::redaction::Redaction;
use crate::files::entry::Entry;
use crate::files::regular_file::read_named;
use crate::jvm::mountinfo::{Lifetime, Mount};
use crate::kept::dump_dir::DumpDir;
use crate::object::receipt::Kept;
use crate::settings::Settings;
use crate::store::StoreSettings;

/// Longest mount table that is read, in bytes: 100,000 mounts are possible, a hundred are usual.
const MOUNTS_MAX: u64 = 16 << 20;

/// Describes the kept dump `name` in `dir`.
pub fn kept_in(dir: &DumpDir, name: &str, settings: &Settings) -> Kept {
    let path = format!("{}/{name}", dir.here);
    // If the JVM's user is another one, the journal is that user's as well, and orders nothing. So the command says
    // `--delete`.
    let words = if dir.is_of_another() { "--delete " } else { "" };
    let bytes = dir.stat_size(name).unwrap_or_default();
    kept(Path::new(&path), bytes, dir.mount.as_ref().map(Mount::lifetime), settings, words)
}

/// Describes a file that was to be uploaded. `delete` says that it was to be removed then, `truncated` that it need not
/// be whole. The name may be a link of another user by now. A link is not followed, because the printed command would
/// remove its target.
pub fn still_there(file: &Entry, settings: &Settings, delete: bool, truncated: bool) -> Kept {
    let found = file.dir().real_path().join(file.name());
    let bytes = file.followed().and_then(|file| file.metadata()).map_or(0, |meta| meta.len());
    let path = found.display().to_string();
    let mount = read_named("/proc/self/mountinfo", MOUNTS_MAX).ok().and_then(|text| Mount::of(&path, &text));
    let words = [("--delete ", delete), ("--allow-truncated ", truncated)];
    let words: String = words.into_iter().filter_map(|(word, is_given)| is_given.then_some(word)).collect();
    kept(&found, bytes, mount.as_ref().map(Mount::lifetime), settings, &words)
}

/// Describes a kept file. `words` are further flags of the command.
fn kept(path: &Path, bytes: u64, lifetime: Option<Lifetime>, settings: &Settings, words: &str) -> Kept {
    let place = &settings.place;
    // If a settings file named the store, only that file has the credentials.
    let store = match &settings.store.config {
        Some(path) => format!("--config {} ", quoted(path)),
        None if settings.store.by_hand => store_flags(settings),
        None => String::new(),
    };
    let redact = settings.redact.as_ref().map(redact_flags).unwrap_or_default();
    Kept {
        bytes,
        lifetime: lifetime.map_or_else(|| "how long it stays there is unknown".into(), |lifetime| lifetime.to_string()),
        resume: format!(
            "jmap-dump-tool upload {store}{redact}{words}{} {} {} {}",
            place.project,
            place.app,
            place.env,
            quoted_bytes(path.as_os_str().as_bytes())
        ),
        path: path.display().to_string(),
    }
}

fn redact_flags(redaction: &Redaction) -> String {
    let keep = redaction.keep_classes.join(",");
    let keep = if keep.is_empty() { keep } else { format!("--keep-class {} ", quoted(&keep)) };
    format!("--redact={} {keep}", redaction.word())
}

/// Returns the flags that name the store and its address, without credentials or paths of this machine.
pub fn address_flags(store: &StoreSettings) -> String {
    let path_style = store.path_style.map(|on| on.to_string());
    flags([
        ("--store", Some(store.url.to_string())),
        ("--endpoint", store.endpoint.clone()),
        ("--region", store.region.clone()),
        ("--path-style", path_style),
        ("--account", store.account.clone()),
    ])
}

fn flags<const N: usize>(flags: [(&str, Option<String>); N]) -> String {
    let given = flags.into_iter().filter_map(|(flag, value)| Some(format!("{flag} {} ", quoted(&value?))));
    given.collect()
}

fn store_flags(settings: &Settings) -> String {
    let store = &settings.store;
    if store.url.is_presigned() {
        // A signed URL is a secret, and may have ended. The user gives the next one by the variable again.
        return String::new();
    }
    let others = flags([
        ("--username", store.username.clone()),
        ("--encryption", store.encryption.map(|encryption| encryption.word().to_owned())),
        ("--kms-key-id", store.kms_key_id.clone()),
        ("--service-account-file", store.service_account_file.clone()),
        // A proxy with a password is given by its variable again.
        ("--proxy", store.proxy.clone().filter(|proxy| !proxy.contains('@'))),
        ("--ca-file", store.ca_file.clone()),
    ]);
    address_flags(store) + &others
}

/// Quotes a text so that a shell reads it back.
pub fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:=@%+".contains(&byte);
    if text.bytes().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Quotes bytes that need not be text (POSIX.1-2024, 2.2.4, "Dollar-Single-Quotes").
fn quoted_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => quoted(text),
        _ => {
            let escaped = |byte: u8| match byte {
                b'\\' | b'\'' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\{byte:03o}"),
            };
            format!("$'{}'", bytes.iter().copied().map(escaped).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{quoted, quoted_bytes};

    #[test]
    fn a_path_with_blanks_or_quotes_is_one_word_for_a_shell() {
        assert_eq!(quoted("/a/b-c.gz"), "/a/b-c.gz");
        assert_eq!(quoted("/a b"), "'/a b'");
        assert_eq!(quoted_bytes(b"/a\xff'b\n1"), r"$'/a\377\'b\0121'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
