//! Settings of `fetch`.

use std::path::PathBuf;
use std::time::Duration;

use super::layers::Layers;
use super::store::store;
use super::values::boolean;
use super::{Output, UsageError, deadline, output, policy_without_redaction};
use crate::cli::{FetchArgs, Flags};
use crate::store::StoreSettings;

#[derive(Debug, Clone)]
pub struct FetchSettings {
    pub store: StoreSettings,
    pub deadline: Duration,
    pub output: Output,
    pub keys: Vec<String>,
    pub to: PathBuf,
    pub gunzip: bool,
}

impl FetchSettings {
    /// Returns the settings of `fetch`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_fetch(args: &FetchArgs, flags: &Flags) -> Result<Self, UsageError> {
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let store = store(&layers, &policy_without_redaction(&layers)?)?;
        let prefix = store.url.of_key("");
        let keys = args.keys.iter().map(|key| key.strip_prefix(&prefix).unwrap_or(key).trim_matches('/').to_owned());
        let keys: Vec<String> = keys.collect();
        if let Some(other) = keys.iter().find(|key| key.contains("://")) {
            // The query of a signed URL is a secret.
            let shown = other.split('?').next().unwrap_or_default();
            let shown = shown.chars().take(200).flat_map(char::escape_debug).collect();
            return Err(UsageError::KeyOfOther { shown, store: store.url.to_string() });
        }
        if let Some(bad) = keys.iter().find(|key| key.split('/').any(|part| part.is_empty() || part == "..")) {
            return Err(UsageError::Key(bad.chars().take(80).flat_map(char::escape_debug).collect()));
        }
        let gunzip = layers.parse("gunzip", boolean)?.unwrap_or(false);
        let to = args.to.clone().unwrap_or_else(|| ".".into()).into();
        Ok(Self { store, deadline: deadline(&layers)?, output: output(&layers)?, keys, to, gunzip })
    }
}
