//! Where settings come from, the strongest first: flags, environment, the file given by `--config`, the file
//! beside the program, built-in defaults.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use super::file::{beside, parse, read_config, read_trusted};
use super::values::UsageError;
use crate::cli::{self, Flags};
use crate::files::given_file;
use crate::files::regular_file::{self, TEXT_MAX};
use crate::store::Secret;

/// What begins the name of each environment variable of ours.
const ENV_PREFIX: &str = "JMAP_DUMP_";

/// Keys that are no flags: secrets, the files that hold one, and what belongs to one store only.
const FILE_KEYS: &[&str] = &[
    "access_key_id",
    "access_key_id_file",
    "secret_access_key",
    "secret_access_key_file",
    "session_token",
    "session_token_file",
    "account_key",
    "account_key_file",
    "password",
    "password_file",
    "cname",
];

/// Defaults that were built in: never a secret.
const BUILT_IN: &[(&str, Option<&str>)] = &[
    ("store", option_env!("JMAP_DUMP_BUILTIN_STORE")),
    ("endpoint", option_env!("JMAP_DUMP_BUILTIN_ENDPOINT")),
    ("region", option_env!("JMAP_DUMP_BUILTIN_REGION")),
    ("path_style", option_env!("JMAP_DUMP_BUILTIN_PATH_STYLE")),
    ("account", option_env!("JMAP_DUMP_BUILTIN_ACCOUNT")),
];

/// One source of settings; the order is their strength.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Environment,
    /// The file that `--config` names.
    Config(String),
    /// The file beside the program.
    Beside(String),
    BuiltIn,
}

impl Origin {
    /// The user said it for this run.
    pub fn is_by_hand(&self) -> bool {
        matches!(self, Self::Flag | Self::Environment)
    }

    /// Flags and environment are one: secrets cannot be flags.
    fn rank(&self) -> u8 {
        match self {
            Self::Flag | Self::Environment => 0,
            Self::Config(_) => 1,
            Self::Beside(_) => 2,
            Self::BuiltIn => 3,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("on the command line"),
            Self::Environment => f.write_str("in the environment"),
            Self::Config(path) | Self::Beside(path) => write!(f, "in {path}"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// Keys and their texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(pub(super) BTreeMap<String, String>);

impl Values {
    pub(super) fn set(&mut self, key: &str, text: Option<&str>) {
        self.0.extend(text.map(|text| (key.to_owned(), text.to_owned())));
    }
}

/// A setting and where it was said.
#[derive(Debug, Clone)]
pub struct Value {
    pub text: String,
    pub origin: Origin,
}

/// All sources.
#[derive(Debug, Clone)]
pub struct Layers(Vec<(Origin, Values)>);

impl Layers {
    /// # Errors
    /// When a file cannot be read, is not to be trusted, or says what makes no sense.
    pub fn read(flags: &Flags, config: Option<&str>) -> Result<Self, UsageError> {
        let mut layers = vec![(Origin::Flag, Values(flags.0.clone())), (Origin::Environment, environment())];
        let by_environment = || std::env::var(format!("{ENV_PREFIX}CONFIG")).ok().filter(|path| !path.is_empty());
        let named = config.map(str::to_owned).or_else(by_environment);
        if let Some(path) = named {
            let text = read_config(&path).map_err(|source| UsageError::ConfigRead { path: path.clone(), source })?;
            layers.push((Origin::Config(path.clone()), parse(&text, &path)?));
        }
        if let Some(path) = beside() {
            let shown = path.display().to_string();
            if let Some(text) = read_trusted(&path, &shown)? {
                layers.push((Origin::Beside(shown.clone()), parse(&text, &shown)?));
            }
        }
        let mut built_in = Values::default();
        for (key, text) in BUILT_IN {
            built_in.set(key, *text);
        }
        layers.push((Origin::BuiltIn, built_in));
        Ok(Self(layers))
    }

    /// Flags alone.
    pub fn of_flags(flags: &Flags) -> Self {
        Self(vec![(Origin::Flag, Values(flags.0.clone()))])
    }

    /// The strongest source that says anything about `key`.
    pub fn get(&self, key: &str) -> Option<Value> {
        debug_assert!(KNOWN_KEYS.iter().any(|known| known == key), "{key} is neither a flag nor a key of files");
        let mut all = self.0.iter().filter_map(|(origin, values)| Some((origin, values.0.get(key)?)));
        all.next().map(|(origin, text)| Value { text: text.clone(), origin: origin.clone() })
    }

    /// # Errors
    /// When the text has no value.
    pub fn parse<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, UsageError> {
        let Some(Value { text, origin }) = self.get(key) else { return Ok(None) };
        parse(text.trim()).map(Some).map_err(|why| {
            let text = text.chars().take(40).flat_map(char::escape_debug).collect();
            UsageError::Value { origin, key: key.to_owned(), text, why }
        })
    }

    /// Only the sources that are at least as strong as `origin`. Built-in defaults hold no secrets, so whatever
    /// completes a built-in store may come from anywhere.
    #[must_use]
    pub fn down_to(&self, origin: &Origin) -> Self {
        Self(self.0.iter().filter(|(other, _)| other.rank() <= origin.rank()).cloned().collect())
    }
}

impl Layers {
    /// A secret: its text, or that of the file which `KEY_file` names. The stronger source counts.
    ///
    /// # Errors
    /// When one source says both, or the file gives nothing.
    pub fn secret(&self, key: &str) -> Result<Option<Secret>, UsageError> {
        let twin = format!("{key}_file");
        match (self.get(key), self.get(&twin)) {
            (None, None) => Ok(None),
            (Some(value), None) => Ok(Some(Secret::new(&value.text))),
            (None, Some(file)) => secret_of(file, twin).map(Some),
            (Some(value), Some(file)) => match value.origin.rank().cmp(&file.origin.rank()) {
                Ordering::Less => Ok(Some(Secret::new(&value.text))),
                Ordering::Greater => secret_of(file, twin).map(Some),
                Ordering::Equal => Err(UsageError::SecretTwice { origin: file.origin, key: twin }),
            },
        }
    }

    /// As if nobody had said anything about `key`.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        let without = |(origin, values): &(Origin, Values)| {
            let others = values.0.iter().filter(|(other, _)| *other != key);
            (origin.clone(), Values(others.map(|(key, text)| (key.clone(), text.clone())).collect()))
        };
        Self(self.0.iter().map(without).collect())
    }
}

fn secret_of(file: Value, key: String) -> Result<Secret, UsageError> {
    let path = file.text.trim().to_owned();
    let read = given_file::read(Path::new(&path), TEXT_MAX).and_then(regular_file::text);
    let text = read.map_err(|source| UsageError::File { path: path.clone(), source })?;
    if text.trim().is_empty() {
        let why = "the file is empty".to_owned();
        return Err(UsageError::Value { origin: file.origin, key, text: path, why });
    }
    Ok(Secret::new(&text))
}

pub(super) static KNOWN_KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut keys = cli::keys();
    keys.extend(FILE_KEYS.iter().map(|key| (*key).to_owned()));
    keys
});

fn environment() -> Values {
    let mut values = Values::default();
    for key in KNOWN_KEYS.iter() {
        let text = std::env::var(format!("{ENV_PREFIX}{}", key.to_ascii_uppercase())).ok();
        // An empty variable is one that was not set: manifests cannot unset them.
        values.set(key, text.as_deref().filter(|text| !text.is_empty()));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        let values = |pairs: &[(&str, &str)]| {
            let mut values = Values::default();
            pairs.iter().for_each(|(key, text)| values.set(key, Some(text)));
            values
        };
        Layers(vec![
            (Origin::Flag, values(&[("level", "3")])),
            (Origin::Environment, values(&[("level", "4"), ("access_key_id", "env")])),
            (Origin::Config("c".into()), values(&[("store", "s3://c"), ("region", "r")])),
            (Origin::Beside("b".into()), values(&[("store", "s3://b"), ("secret_access_key", "beside")])),
        ])
    }

    #[test]
    fn the_strongest_source_wins() {
        assert_eq!(layers().get("level").unwrap().text, "3");
        assert_eq!(layers().get("store").unwrap().origin, Origin::Config("c".into()));
    }

    #[test]
    fn a_weaker_source_adds_nothing_to_the_store_that_a_stronger_one_named() {
        let own = layers().down_to(&Origin::Config("c".into()));
        assert_eq!(own.get("access_key_id").unwrap().text, "env");
        assert_eq!(own.get("region").unwrap().text, "r");
        assert!(own.get("secret_access_key").is_none());
    }
}
