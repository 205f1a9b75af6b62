//! Settings of `presign`.

use std::time::Duration;

use super::layers::Layers;
use super::values::link_time;
use super::{Settings, UsageError, place};
use crate::cli::{Flags, PresignArgs};

#[derive(Debug, Clone)]
pub struct PresignSettings {
    pub common: Settings,
    /// Lifetime of the URL.
    pub valid: Duration,
}

impl PresignSettings {
    /// Returns the settings of `presign`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_presign(args: &PresignArgs, flags: &Flags) -> Result<Self, UsageError> {
        let layers = Layers::read(flags, args.common.config.as_deref())?;
        let common = Settings::read(place(&args.place)?, &layers)?;
        // A signed URL cannot demand encryption, so the store would ignore these settings. They count even if they come
        // from a file that other commands share.
        if common.store.encryption.is_some() || common.store.kms_key_id.is_some() {
            return Err(UsageError::SignedEncryption);
        }
        Ok(Self { common, valid: layers.parse("valid", link_time)?.unwrap_or(Duration::from_secs(3600)) })
    }
}
