//! Settings of `presign`.

use std::time::Duration;

use super::layers::Layers;
use super::store::store_to_write;
use super::values::link_time;
use super::{Output, UsageError, deadline, output, place, policy_without_redaction};
use crate::cli::{Flags, PresignArgs};
use crate::object::key::Place;
use crate::store::StoreSettings;

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
        let (place, store) = (place(&args.place)?, store_to_write(&layers, &policy_without_redaction(&layers)?)?);
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
