//! Builds object_store's client from the settings of a remote store.

use std::sync::Arc;
use std::time::Duration;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::ClientOptions;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::multipart::MultipartStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use super::client::{Connector, ExtraHeader};
use super::s3_client::{obs_endpoint, oss_endpoint, s3, s3_dialect};
use crate::store::credentials::{Environment, azure, google};
use crate::store::encryption::{self};
use crate::store::read::link::SignedBy;
use crate::store::settings::{Secret, StoreSettings};
use crate::store::url::{Bucket, Vendor, path_of};
use crate::store::{SettingsError, StoreError};

/// The operations that an upload, a listing and a link need.
pub trait Backend: ObjectStore + MultipartStore + Signer {}
impl<T: ObjectStore + MultipartStore + Signer> Backend for T {}

/// A client of a store, and the signer of its links.
pub struct Built {
    pub store: Arc<dyn Backend>,
    pub signed_by: SignedBy,
}

/// Builds the client of a remote store. `retry_for` bounds the tries of one request. Each try has the same signature,
/// so the time must be less than five minutes.
///
/// # Errors
/// When the settings are incomplete.
pub fn build(settings: &StoreSettings, part_size: u64, retry_for: Duration) -> Result<Arc<dyn Backend>, StoreError> {
    Ok(build_by(settings, Connector::new(settings, part_size)?, retry_for)?.store)
}

/// Builds a client with this connector, and the signer of its links.
///
/// # Errors
/// As [`build`].
pub fn build_by(settings: &StoreSettings, connector: Connector, retry_for: Duration) -> Result<Built, StoreError> {
    let connector = connector.with_headers(encryption::headers(settings)?);
    let retry = retry_of(retry_for);
    let Some(Bucket { vendor, name, .. }) = settings.url.bucket() else { return Err(SettingsError::NotRemote.into()) };
    match vendor {
        Vendor::S3 => s3(settings, name, connector, retry),
        Vendor::Oss => s3_dialect(settings, name, &oss_endpoint(settings)?, connector, retry),
        Vendor::Obs => s3_dialect(settings, name, &obs_endpoint(settings)?, connector, retry),
        Vendor::Gs => gs(settings, name, connector, retry),
        Vendor::Az => az(settings, name, connector, retry),
    }
}

fn retry_of(retry_for: Duration) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        // A pause that began in time must not outlast the slack of those who wait, or they would not hear the cause.
        max_backoff: (retry_for / 5).min(Duration::from_secs(10)),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: 20, retry_timeout: retry_for.min(Duration::from_secs(120)) }
}

fn gs(settings: &StoreSettings, bucket: &str, connector: Connector, retry: RetryConfig) -> Result<Built, StoreError> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in vendor_environment(settings).beginning_with("GOOGLE_") {
        if let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let client = connector.client();
    let builder = builder.with_bucket_name(bucket).with_http_connector(connector).with_retry(retry);
    let mut builder = google::with_credentials(builder, settings, client)?;
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    let store = builder.build().map_err(|source| SettingsError::Client { source: source.into() })?;
    let google = Some(Arc::clone(store.signing_credentials()));
    Ok(Built { store: Arc::new(store), signed_by: SignedBy { lease: None, google } })
}

/// Returns the vendor's variables without the blanks around their values: object_store would put them into a URL.
fn vendor_environment(settings: &StoreSettings) -> Environment {
    if settings.vendor_environment { Environment::of_process() } else { Environment::default() }
}

fn az(
    settings: &StoreSettings,
    container: &str,
    connector: Connector,
    retry: RetryConfig,
) -> Result<Built, StoreError> {
    let environment = vendor_environment(settings);
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in environment.beginning_with("AZURE_") {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = environment.get("IDENTITY_ENDPOINT") {
        builder = builder.with_msi_endpoint(endpoint);
    }
    let mut builder =
        builder.with_container_name(container).with_http_connector(connector).with_retry(retry).with_allow_http(true);
    if let Some(account) = &settings.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &settings.account_key {
        builder = builder.with_access_key(key.reveal());
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let builder = azure::with_credentials(builder)?;
    let store = builder.build().map_err(|source| SettingsError::Client { source: source.into() })?;
    Ok(Built { store: Arc::new(store), signed_by: SignedBy::default() })
}

/// Returns the header with user and password for each request (RFC 7617).
fn basic(settings: &StoreSettings) -> Result<Vec<ExtraHeader>, StoreError> {
    let Some(user) = &settings.username else { return Ok(Vec::new()) };
    let password = settings.password.as_ref().map(Secret::reveal);
    let request = reqwest::Client::new().get("http://localhost").basic_auth(user, password).build();
    let request = request.map_err(|source| SettingsError::Client { source: source.into() })?;
    let value = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    Ok(value.and_then(|value| ExtraHeader::new("authorization", value, false)).into_iter().collect())
}

/// Builds a client that reads from WebDAV.
///
/// # Errors
/// When the settings are incomplete.
pub fn dav(
    settings: &StoreSettings,
    connector: Connector,
    retry_for: Duration,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let base = settings.url.dav_base().ok_or(SettingsError::NotRemote)?;
    let connector = connector.with_headers(basic(settings)?);
    let host = base.strip_suffix(path_of(base)).unwrap_or(base);
    let builder = HttpBuilder::new().with_url(host).with_http_connector(connector).with_retry(retry_of(retry_for));
    let options = ClientOptions::new().with_allow_http(true);
    let store = builder.with_client_options(options).build();
    Ok(Arc::new(store.map_err(|source| SettingsError::Client { source: source.into() })?))
}
