//! Parses the text of one setting. No I/O.

use std::io::ErrorKind;
use std::time::Duration;

use super::layers::Origin;
use crate::base::printable::{is_command, printable};
use crate::compress::gzip::LEVELS;
use crate::files::regular_file::NotRegular;
use crate::heap_dump::DiskLimits;
use crate::hprof::element_of;
use crate::object::key::NameError;
use crate::store::url::StoreUrlError;
use crate::store::{CredentialsError, LINK_MAX, SettingsError, StoreError};

/// Longest time of a setting. It also keeps clock arithmetic from overflowing.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The settings cannot work.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the policy of {by}, built into this program, refuses it: {what}")]
    Policy { what: String, by: String },
    #[error("JMAP_DUMP_BUILTIN_{key} = '{text}', built into this program: {why}")]
    BuiltIn { key: &'static str, text: String, why: String },
    #[error("notify is no address that begins with http:// or https://")]
    NotifyAddress,
    #[error("no store is named")]
    NoStore,
    #[error("{origin}: {source}")]
    Store { origin: Origin, source: StoreUrlError },
    #[error("the dump would go to a terminal")]
    Terminal,
    #[error("{what} was closed when this program was started")]
    Closed { what: &'static str },
    #[error("standard output is only open for reading")]
    ReadOnly,
    #[error(transparent)]
    StoreSettings(#[from] SettingsError),
    #[error("access_key_id and secret_access_key go together, and one is missing")]
    HalfAKey,
    #[error("{origin}: {key} = '{text}': {why}")]
    Value { origin: Origin, key: String, text: String, why: String },
    #[error(transparent)]
    Credentials(CredentialsError),
    #[error("{origin}: {key} and the secret itself are both given")]
    SecretTwice { origin: Origin, key: String },
    #[error("--no-disk streams to a store that takes parts, which a directory and standard output are not")]
    NoDiskStore,
    #[error("upload takes PROJECT APP ENV and files, or --resume DIR")]
    UploadWords,
    #[error("'{0}' is no key of an object")]
    Key(String),
    #[error("{shown} does not lie in the store {store}")]
    KeyOfOther { shown: String, store: String },
    #[error(transparent)]
    NoObject(StoreError),
    #[error("{store} signs no URLs: only s3, oss, obs, gs and az can sign")]
    NoSigner { store: String },
    #[error("{path} is no status file of a watcher")]
    Status { path: String },
    #[error("the file '{0}' comes last, behind PROJECT APP ENV")]
    FileFirst(String),
    #[error("{0} has no receipt")]
    NoReceipt(String),
    #[error("a receipt lists no classes")]
    NoClasses,
    #[error("watch stores in a store, and standard output is none")]
    WatchStore,
    #[error("cannot take dumps out of {path}")]
    WatchDir { path: String, source: std::io::Error },
    #[error("--no-disk has nothing to keep when the store is down")]
    NoDiskKeep,
    #[error("--keep-class says what stays readable, and nothing is redacted")]
    KeepClassAlone,
    #[error("standard input is read once: --keep-class cannot find there what a class holds")]
    KeepClassStdin,
    #[error("a signed URL says nothing of encryption: whoever uses it would store as the bucket says")]
    SignedEncryption,
    #[error("a signed URL takes one dump, and this may be several")]
    OneObject,
    #[error("'{0}' is no list of what 'take' can take")]
    Kinds(String),
    #[error("a signed URL is for a heap dump, and 'take' stores other objects")]
    TakeSigned,
    #[error("--no-disk and --keep-class contradict each other: what a class holds is found in a dump on a disk")]
    NoDiskKeepClass,
    #[error("the directory '{0}' is not an absolute path")]
    Dir(String),
    #[error("{path}: unknown key '{key}'; known are {known}")]
    UnknownKey { path: String, key: String, known: String },
    #[error("{path} is no settings file: {why}")]
    ConfigSyntax { path: String, why: String },
    #[error("cannot read the settings file {path}")]
    ConfigRead { path: String, source: std::io::Error },
    #[error("the settings file {path} is not trusted: {why}")]
    ConfigTrust { path: String, why: String },
    #[error("cannot read {path}")]
    File { path: String, source: std::io::Error },
}

impl UsageError {
    pub fn hint(&self) -> String {
        match self {
            Self::NoStore => "name one:\n  --store s3://BUCKET/PREFIX            on the command line\n  \
                              JMAP_DUMP_STORE=s3://BUCKET/PREFIX    in the environment\n  \
                              store = \"s3://BUCKET/PREFIX\"          in jmap-dump-tool.toml beside the program"
                .into(),
            Self::Policy { by, .. } => {
                format!("keep to it, or ask {} for another build: nothing else changes it", printable(by))
            }
            Self::BuiltIn { .. } => "build this program again with another value".into(),
            Self::Name(_) => "use letters, digits, '.', '_' and '-', 1 to 128 bytes, not beginning with '.'".into(),
            Self::Store { source, .. } => source.hint().into(),
            Self::NoDiskStore => {
                "leave --no-disk away: the dump is spooled where it will stay; --dir names where the JVM writes".into()
            }
            Self::UploadWords => {
                "for example: upload shop cart prod /dumps/java_pid1.hprof; for a project of that name type: dump upload APP ENV"
                    .into()
            }
            Self::FileFirst(_) => "for example: upload shop cart prod /dumps/java_pid1.hprof".into(),
            Self::NoReceipt(_) => "take a key that 'list' shows, or a file with a receipt, such as ./a.json".into(),
            Self::NoClasses => "take the receipts of two heap dumps that were read to their ends".into(),
            Self::Key(_) => "take one that 'list' shows".into(),
            Self::KeyOfOther { .. } => {
                "name its store with --store; a signed URL needs no tool: curl -o dump.hprof.gz 'URL'".into()
            }
            Self::NoObject(error) => error.hint().into(),
            Self::NoSigner { .. } => "name such a bucket with --store".into(),
            Self::Status { .. } => "name the file that 'watch' writes: DIR/jmap-dump-tool/status.json".into(),
            Self::WatchStore => "name another one with --store".into(),
            Self::WatchDir { path, source } if source.kind() == ErrorKind::NotFound => {
                format!("mount the volume of the JVM's dumps at {}, or make that directory", printable(path))
            }
            Self::WatchDir { source, .. } if source.kind() == ErrorKind::NotADirectory => {
                "name the directory in which the JVM writes its dumps".into()
            }
            Self::WatchDir { path, .. } => {
                format!("let this user list {} and write there: the JVM's uid, or fsGroup", printable(path))
            }
            Self::KeepClassAlone => "give --redact as well".into(),
            Self::KeepClassStdin => "write the dump to a file first, or leave --keep-class away".into(),
            Self::SignedEncryption => "make it the bucket's default, and leave encryption and kms_key_id away: \
                                       a store named by --store takes none of them from a file"
                .into(),
            Self::OneObject => "name a store with a key, or one file at a time".into(),
            Self::Kinds(_) => "name threads, histogram, memory or info, or several with ',' between: \
                               take threads,info PROJECT APP ENV"
                .into(),
            Self::TakeSigned => "name a store with a key, or --store - for standard output".into(),
            Self::NoDiskKeepClass => "leave --no-disk or --keep-class away".into(),
            Self::NoDiskKeep => "leave --no-disk or --store-down keep away".into(),
            Self::Terminal => "send it to a file: --store - PROJECT APP ENV > dump.hprof.gz".into(),
            Self::Closed { what: "standard input" } => "open it: upload … - < dump.hprof, or name the file".into(),
            Self::Closed { .. } | Self::ReadOnly => {
                "open it for writing: --store - PROJECT APP ENV > dump.hprof.gz, or name another store".into()
            }
            Self::StoreSettings(error) => error.hint().into(),
            Self::Credentials(error) => error.hint().into(),
            Self::NotifyAddress => "give all of it: JMAP_DUMP_NOTIFY=https://HOST/PATH".into(),
            Self::SecretTwice { .. } => "give one of them".into(),
            Self::HalfAKey => "give both in the same place, the environment or the settings file".into(),
            Self::Value { .. } | Self::Dir(_) => "correct it, or leave it out; --help tells what is possible".into(),
            Self::UnknownKey { .. } | Self::ConfigSyntax { .. } => {
                "correct the file: lines such as store = \"s3://BUCKET\"".into()
            }
            Self::ConfigRead { path, source } | Self::File { path, source } => unread_hint(path, source),
            Self::ConfigTrust { path, .. } => {
                let path = printable(path);
                format!("chown root {path} && chmod go-w {path}")
            }
        }
    }
}

/// Returns the next step for a file that cannot be read.
fn unread_hint(path: &str, source: &std::io::Error) -> String {
    let shown = printable(path);
    match source.kind() {
        _ if path.contains("://") => {
            "a file is needed here, and this is a URL: get the object first: jmap-dump-tool fetch KEY".to_owned()
        }
        ErrorKind::PermissionDenied => format!("run this as a user who may read {shown}"),
        ErrorKind::NotADirectory => format!("name a directory: {shown} is a file, or lies behind one"),
        ErrorKind::IsADirectory => format!("name a file: {shown} is a directory"),
        _ if NotRegular::of(source).is_some_and(NotRegular::is_dir) => format!("name a file: {shown} is a directory"),
        ErrorKind::InvalidData => format!("name a text file: {shown} is none"),
        _ => format!("check that {shown} is there and readable"),
    }
}

/// Longest name of a requester in bytes. A receipt shows it in one line.
const REQUESTER_MAX: usize = 256;

/// Checks the name of a requester. The receipt repeats it to people, so it is short and holds no control characters.
pub(super) fn requester(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("no text at all".into())
    } else if text.len() > REQUESTER_MAX {
        Err(format!("longer than {REQUESTER_MAX} bytes"))
    } else if text.contains(is_command) {
        Err("it holds control characters".into())
    } else {
        Ok(text.to_owned())
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("neither true nor false".into()),
    }
}

/// Parses `3/day`.
pub(super) fn at_most_per_day(text: &str) -> Result<usize, String> {
    let number = text.strip_suffix("/day").and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| "not of the form N/day, such as 3/day".to_owned())
}

pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| *name == text);
    let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.map(|(_, value)| *value).ok_or_else(|| format!("none of {}", names()))
}

pub(super) fn level(text: &str) -> Result<u32, String> {
    let level = text.parse().ok().filter(|level| LEVELS.contains(level));
    level.ok_or_else(|| format!("not a gzip level from {} to {}", LEVELS.start(), LEVELS.end()))
}

pub(super) fn pid(text: &str) -> Result<i32, String> {
    text.parse().ok().filter(|pid| *pid > 0).ok_or_else(|| "not a process number".into())
}

pub(super) fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "not a number from 1 on".into())
}

pub(super) fn patterns(text: &str) -> Result<Vec<glob::Pattern>, String> {
    text.split(',').map(|pattern| glob::Pattern::new(pattern.trim()).map_err(|error| error.to_string())).collect()
}

/// Parses patterns of class names, and whole names of primitive arrays. `byte[]` and `char[]` are refused: they contain
/// all strings, so nothing would be redacted.
pub(super) fn kept_classes(text: &str) -> Result<Vec<String>, String> {
    let one = |name: &str| match name {
        "byte[]" | "char[]" => Err(format!("{name} holds the strings: name the classes that refer to them")),
        name if element_of(name).is_some() => Ok(name.to_owned()),
        name => glob::Pattern::new(name).map(|_| name.to_owned()).map_err(|error| error.to_string()),
    };
    text.split(',').map(|name| one(name.trim())).collect()
}

/// Parses bytes, or a number with a unit of Kubernetes (Kubernetes: "Resource units", memory).
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err("its unit is none of k, M, G, Ki, Mi, Gi, Ti".into()),
    };
    let number: Option<u64> = digits.parse().ok();
    number.and_then(|number| number.checked_mul(factor)).ok_or_else(|| "not a size such as 2Gi".into())
}

/// Parses `SIZE` for the container, `DIR=SIZE` for a directory, or several with ',' between.
pub(super) fn disk_limits(text: &str) -> Result<DiskLimits, String> {
    let mut limits = DiskLimits::default();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.rsplit_once('=') {
            Some((dir, limit)) if dir.starts_with('/') => limits.dirs.push((dir.to_owned(), size(limit)?)),
            Some((dir, _)) => return Err(format!("{dir} does not begin with /")),
            None if limits.container.is_some() => return Err("there are two sizes without a directory".into()),
            None => limits.container = Some(size(part)?),
        }
    }
    Ok(limits)
}

/// Parses the lifetime of a link. Stores sign no link for longer than 7 days.
pub(super) fn link_time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time > LINK_MAX { Err("links end after 7 days".into()) } else { Ok(time) })
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("no time at all".into()),
        Ok(time) if time > LONGEST => Err("longer than a week".into()),
        Ok(time) => Ok(time),
        Err(_) if text.parse::<u32>().is_ok() => Err(format!("a time needs a unit: {text}s, {text}m or {text}h")),
        Err(_) => Err("not a time such as 25s, 10m or 1h30m".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(level("0").is_err() && level("10").is_err() && level("x").is_err());
        assert!(pid("0").is_err() && pid("-1").is_err());
        assert!(duration("0s").is_err() && duration("9999999h").is_err() && duration("25").is_err());
        assert_eq!(size("2Gi"), Ok(2 << 30));
        let both = disk_limits("6Gi, /dumps=5Gi,/tmp=64Mi").unwrap();
        assert_eq!((both.container, both.of_dir("/dumps/a")), (Some(6 << 30), Some(("/dumps", 5 << 30))));
        assert!(disk_limits("dumps=5Gi").is_err() && disk_limits("/dumps=").is_err() && disk_limits("1,2").is_err());
        assert!(size("2Q").is_err() && size("many").is_err() && size("99999999999Ti").is_err());
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
    }
}
