//! The settings of a store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::encryption::Encryption;
use super::url::StoreUrl;
use super::{SettingsError, setting_checks, vendor_variables};

/// A value that is never printed. It is serialised only for the run's own guard.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Removes the blanks and newlines around the text: files end with a newline.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// All settings of one store. `None` means not set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreSettings {
    pub url: StoreUrl,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// `https://host/bucket/key` instead of `https://bucket.host/key`.
    pub path_style: Option<bool>,
    pub access_key_id: Option<Secret>,
    pub secret_access_key: Option<Secret>,
    pub session_token: Option<Secret>,
    /// Azure: the storage account and its key.
    pub account: Option<String>,
    pub account_key: Option<Secret>,
    /// WebDAV: the user who stores the objects.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Google: the key file of a service account.
    pub service_account_file: Option<String>,
    /// The encryption on the side of the store, and the id of its key in the key service.
    pub encryption: Option<Encryption>,
    pub kms_key_id: Option<String>,
    /// True if the endpoint's host is the bucket's own domain.
    pub cname: bool,
    pub proxy: Option<String>,
    /// PEM file of the certificate authorities to trust, instead of the system's.
    pub ca_file: Option<String>,
    /// True if the user named the store for this run.
    pub by_hand: bool,
    /// The settings file of `--config`, if it names the store.
    pub config: Option<String>,
    /// True if a vendor's variables and the system's proxy variables count. They may belong to the application. So they
    /// count only if the user named the store for this run and gave no credentials.
    pub vendor_environment: bool,
    /// Longest time for which a failing store is tried again.
    pub retry_for: Duration,
    /// Longest time for which a reader of standard output may accept nothing.
    pub reader_timeout: Duration,
}

/// Default of `reader_timeout`. Shorter than the two minutes after which the request of a hook or a console ends.
pub const READER_TIMEOUT: Duration = Duration::from_secs(60);

impl StoreSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// When they contradict each other, or the store does not support them.
    pub fn check(&self) -> Result<(), SettingsError> {
        setting_checks::check(self)
    }

    /// The vendor's variable that would name the store's endpoint, where these settings name none.
    pub fn vendor_endpoint(&self) -> Option<String> {
        vendor_variables::vendor_endpoint(self)
    }

    /// A store without any credentials.
    pub fn of(url: StoreUrl) -> Self {
        Self {
            url,
            endpoint: None,
            region: None,
            path_style: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            account: None,
            account_key: None,
            username: None,
            password: None,
            service_account_file: None,
            encryption: None,
            kms_key_id: None,
            cname: false,
            proxy: None,
            ca_file: None,
            by_hand: false,
            config: None,
            vendor_environment: false,
            retry_for: Duration::from_secs(180),
            reader_timeout: READER_TIMEOUT,
        }
    }
}
