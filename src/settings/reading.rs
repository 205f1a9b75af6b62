//! Settings of `list`, `fetch` and `presign`.

use std::path::PathBuf;
use std::time::Duration;

use super::layers::Layers;
use super::store::{store, store_to_write};
use super::values::{boolean, choice, link_time};
use super::{Output, UsageError, deadline, output, place};
use crate::cli::{FetchArgs, Flags, ListArgs, PresignArgs};
use crate::object::key::Place;
use crate::store::StoreSettings;

/// The form of a listing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Text,
    Json,
    Html,
}

#[derive(Debug, Clone)]
pub struct ListSettings {
    pub store: StoreSettings,
    pub deadline: Duration,
    /// `project`, `project/app` or `project/app/env`.
    pub under: String,
    pub form: Form,
    /// Lifetime of the links; `None` for no links.
    pub links: Option<Duration>,
}

#[derive(Debug, Clone)]
pub struct FetchSettings {
    pub store: StoreSettings,
    pub deadline: Duration,
    pub output: Output,
    pub keys: Vec<String>,
    pub to: PathBuf,
    pub gunzip: bool,
}

#[derive(Debug, Clone)]
pub struct PresignSettings {
    pub place: Place,
    pub store: StoreSettings,
    pub deadline: Duration,
    pub output: Output,
    /// Lifetime of the URL.
    pub valid: Duration,
}

impl PresignSettings {
    /// Returns the settings of `presign`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_presign(args: &PresignArgs, flags: &Flags) -> Result<Self, UsageError> {
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let (place, store) = (place(&args.place)?, store_to_write(&layers)?);
        if !store.url.can_sign() {
            return Err(UsageError::NoSigner { store: store.url.to_string() });
        }
        // A signed URL cannot demand encryption, so the store would ignore these settings. They come from a file or a
        // variable that other commands share.
        if store.encryption.is_some() || store.kms_key_id.is_some() {
            return Err(UsageError::SignedEncryption);
        }
        Ok(Self {
            place,
            store,
            deadline: deadline(&layers)?,
            output: output(&layers)?,
            valid: layers.parse("valid", link_time)?.unwrap_or(Duration::from_secs(3600)),
        })
    }
}

impl ListSettings {
    /// Returns the settings of `list`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_list(args: &ListArgs, flags: &Flags) -> Result<Self, UsageError> {
        let names = [Some(&args.project), args.app.as_ref(), args.env.as_ref()];
        let names: Vec<&str> = names.into_iter().flatten().map(String::as_str).collect();
        let part = |index: usize| names.get(index).copied().unwrap_or("any");
        Place::new(part(0), part(1), part(2))?;
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let links = layers.parse("links", link_time)?;
        let forms = [("text", Form::Text), ("json", Form::Json), ("html", Form::Html)];
        let form = layers.parse("output", |text| choice(text, &forms))?.unwrap_or_default();
        Ok(Self { store: store(&layers)?, deadline: deadline(&layers)?, under: names.join("/"), form, links })
    }
}

impl FetchSettings {
    /// Returns the settings of `fetch`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_fetch(args: &FetchArgs, flags: &Flags) -> Result<Self, UsageError> {
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let store = store(&layers)?;
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
