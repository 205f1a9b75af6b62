//! What a store needs to be reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::encryption::Encryption;
use super::url::StoreUrl;
use super::{SettingsError, setting_checks};

/// A value that is never printed. Serialised, it goes to the run's own guard and nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Blank space around it is dropped: files end with a newline, some with two characters of it.
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

/// All of one store; what is `None` was not said.
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
    /// WebDAV: who puts.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Google: the file of a service account's key.
    pub service_account_file: Option<String>,
    /// How the store encrypts, and by which key of its key service.
    pub encryption: Option<Encryption>,
    pub kms_key_id: Option<String>,
    /// The endpoint's host is the bucket's own domain.
    pub cname: bool,
    pub proxy: Option<String>,
    /// PEM file of the certificate authorities to trust, instead of the system's.
    pub ca_file: Option<String>,
    /// The user named the store for this run.
    pub by_hand: bool,
    /// The settings file that `--config` named, when the store stands there.
    pub config: Option<String>,
    /// Whether a vendor's environment variables and the system's proxy variables count: only when the user named
    /// the store there, too, and gave no credentials. They may be the application's.
    pub vendor_environment: bool,
    /// How long a store that fails is tried again.
    pub retry_for: Duration,
    /// How long a reader of standard output may take nothing.
    pub reader_timeout: Duration,
}

/// The default of `reader_timeout`: shorter than the two minutes by which a hook's or a console's request ends.
pub const READER_TIMEOUT: Duration = Duration::from_secs(60);

impl StoreSettings {
    /// # Errors
    /// When they contradict each other, or the store cannot do what they say.
    pub fn check(&self) -> Result<(), SettingsError> {
        setting_checks::check(self)
    }

    /// The vendor's variable that would name the store's endpoint, where these settings name none.
    pub fn vendor_endpoint(&self) -> Option<String> {
        setting_checks::vendor_endpoint(self)
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
