//! The sources of settings, the strongest first: flags, environment, the file of `--config`, the file beside the
//! program, built-in defaults.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use super::file::{beside, parse, read_config, read_trusted};
use super::values::UsageError;
use crate::cli::{self, FILE_KEYS, Flags};
use crate::files::given_file;
use crate::files::regular_file::{self, TEXT_MAX};
use crate::store::Secret;

/// Prefix of this program's environment variables.
const ENV_PREFIX: &str = "JMAP_DUMP_";

/// Defaults that were set at build time. They never contain a secret.
const BUILT_IN: &[(&str, Option<&str>)] = &[
    ("store", option_env!("JMAP_DUMP_BUILTIN_STORE")),
    ("endpoint", option_env!("JMAP_DUMP_BUILTIN_ENDPOINT")),
    ("region", option_env!("JMAP_DUMP_BUILTIN_REGION")),
    ("path_style", option_env!("JMAP_DUMP_BUILTIN_PATH_STYLE")),
    ("account", option_env!("JMAP_DUMP_BUILTIN_ACCOUNT")),
];

/// A source of settings.
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
    /// Returns whether the user gave the setting for this run.
    pub fn is_by_hand(&self) -> bool {
        matches!(self, Self::Flag | Self::Environment)
    }

    /// Returns the strength of a source; 0 is the strongest. Flags and environment are equal, because secrets cannot be
    /// flags.
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

/// The settings of one source: keys and their texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(pub(super) BTreeMap<String, String>);

impl Values {
    pub(super) fn set(&mut self, key: &str, text: Option<&str>) {
        self.0.extend(text.map(|text| (key.to_owned(), text.to_owned())));
    }
}

/// The text of a setting, and its source.
#[derive(Debug, Clone)]
pub struct Value {
    pub text: String,
    pub origin: Origin,
}

/// All sources of settings, the strongest first.
#[derive(Debug, Clone)]
pub struct Layers(Vec<(Origin, Values)>);

impl Layers {
    /// Reads all sources.
    ///
    /// # Errors
    /// When a file cannot be read, is not trusted, or contains an invalid setting.
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

    /// Returns the flags as the only source.
    pub fn of_flags(flags: &Flags) -> Self {
        Self(vec![(Origin::Flag, Values(flags.0.clone()))])
    }

    /// Returns the value of `key` from the strongest source that has one.
    pub fn get(&self, key: &str) -> Option<Value> {
        #[cfg(test)]
        super::offered_tests::note(key);
        debug_assert!(KNOWN_KEYS.iter().any(|known| known == key), "{key} is neither a flag nor a key of files");
        let mut all = self.0.iter().filter_map(|(origin, values)| Some((origin, values.0.get(key)?)));
        all.next().map(|(origin, text)| Value { text: text.clone(), origin: origin.clone() })
    }

    /// Parses the value of `key`.
    ///
    /// # Errors
    /// When the text is not a valid value.
    pub fn parse<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, UsageError> {
        let Some(Value { text, origin }) = self.get(key) else { return Ok(None) };
        parse(text.trim()).map(Some).map_err(|why| {
            let is_empty = text.trim().is_empty();
            let why = if is_empty { "it is empty; is a variable of a script not set?".to_owned() } else { why };
            let text = text.chars().take(40).flat_map(char::escape_debug).collect();
            UsageError::Value { origin, key: key.to_owned(), text, why }
        })
    }

    /// Returns only the sources that are at least as strong as `origin`. A built-in store has no secrets, so any source
    /// may complete it.
    #[must_use]
    pub fn down_to(&self, origin: &Origin) -> Self {
        Self(self.0.iter().filter(|(other, _)| other.rank() <= origin.rank()).cloned().collect())
    }
}

impl Layers {
    /// Returns a secret: its own text, or the text of the file that `KEY_file` names. The stronger source counts.
    ///
    /// # Errors
    /// When one source has both, or the file is unreadable or empty.
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
        // An empty variable counts as not set, because a manifest cannot unset a variable.
        values.set(key, text.as_deref().filter(|text| !text.is_empty()));
    }
    values
}

/// Variables that are read without being settings, the last three by the plugin and the console's example. Without their
/// prefix.
const OTHER_VARIABLES: &[&str] = &["CONFIG", "LOG_TO", "SETTLE_SECONDS", "READY_SECONDS", "BINARY"];

/// Beginnings of other variables: those of the build and of the tests.
const OTHER_BEGINNINGS: &[&str] = &["BUILTIN_", "TEST_", "FAULT"];

/// Warns of each variable that begins like a setting and is none. Its value may be a secret, and is not shown.
pub fn warn_of_unknown_variables() {
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix(ENV_PREFIX)) else { continue };
        let key = name.to_ascii_lowercase();
        let is_known = KNOWN_KEYS.contains(&key) && name == key.to_ascii_uppercase();
        let is_other = OTHER_VARIABLES.contains(&name) || OTHER_BEGINNINGS.iter().any(|start| name.starts_with(start));
        if is_known || is_other || is_of_service(name) {
            continue;
        }
        let others = OTHER_VARIABLES.iter().map(|name| name.to_ascii_lowercase());
        let known: Vec<String> = KNOWN_KEYS.iter().cloned().chain(others).collect();
        match cli::near_key(&known, name) {
            Some(near) => {
                let near = near.to_ascii_uppercase();
                log::warn!("{ENV_PREFIX}{name} is no setting, and does nothing: did you mean {ENV_PREFIX}{near}?");
            }
            None => log::warn!("{ENV_PREFIX}{name} is no setting, and does nothing"),
        }
    }
}

/// Returns whether Kubernetes sets the variable for a Service called `jmap-dump` or `jmap-dump-…` (Kubernetes: "Service",
/// "Environment variables").
fn is_of_service(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = |rest: &str| {
        let mut parts = rest.splitn(2, '_');
        parts.next().is_some_and(is_number)
            && parts.next().is_some_and(|rest| rest.starts_with("TCP") || rest.starts_with("UDP"))
    };
    name.ends_with("SERVICE_HOST")
        || name.contains("SERVICE_PORT")
        || name == "PORT"
        || name.ends_with("_PORT")
        || name.split_once("PORT_").is_some_and(|(_, rest)| is_port(rest))
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
    fn variables_of_a_service_are_no_settings() {
        for name in ["SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR", "HUB_SERVICE_HOST", "HUB_PORT"] {
            assert!(is_of_service(name), "{name}");
        }
        assert!(!is_of_service("STROE") && !is_of_service("REPORT_TO"));
    }

    #[test]
    fn the_strongest_source_wins() {
        assert_eq!(layers().get("level").unwrap().text, "3");
        assert_eq!(layers().get("store").unwrap().origin, Origin::Config("c".into()));
    }

    #[test]
    fn weaker_source_adds_nothing_to_store_of_stronger_one() {
        let own = layers().down_to(&Origin::Config("c".into()));
        assert_eq!(own.get("access_key_id").unwrap().text, "env");
        assert_eq!(own.get("region").unwrap().text, "r");
        assert!(own.get("secret_access_key").is_none());
    }
}
