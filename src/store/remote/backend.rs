//! Builds object_store's client from the settings of a remote store.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::ClientOptions;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::multipart::MultipartStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use super::client::{Connector, ExtraHeader};
use crate::store::credentials::{Ends, Environment, aliyun, aws, azure, google};
use crate::store::encryption::{self, encrypted};
use crate::store::read::link::SignedBy;
use crate::store::settings::{Secret, StoreSettings};
use crate::store::url::{Bucket, Vendor, path_of};
use crate::store::{SettingsError, StoreError, setting_checks};

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

fn s3(settings: &StoreSettings, bucket: &str, connector: Connector, retry: RetryConfig) -> Result<Built, StoreError> {
    // Over TLS the payload is not signed: TLS already protects it, and a second hash costs time (AWS: "Signature
    // calculations", UNSIGNED-PAYLOAD).
    let by_tls = settings.endpoint.as_deref().is_none_or(|endpoint| endpoint.starts_with("https://"));
    let client = connector.client();
    let builder = s3_builder(settings, bucket, connector, retry).with_unsigned_payload(by_tls);
    let (builder, lease) = aws::with_credentials(builder, settings, client)?;
    let mut builder = encrypted(builder, settings)?;
    if let Some(endpoint) = &settings.endpoint {
        let path_style = settings.path_style.unwrap_or(!settings.cname);
        builder = if settings.cname {
            builder.with_endpoint(endpoint).with_virtual_hosted_style_request(true)
        } else if path_style {
            builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false)
        } else {
            builder.with_endpoint(with_bucket(endpoint, bucket)?).with_virtual_hosted_style_request(true)
        };
    } else if get(&builder, AmazonS3ConfigKey::Region).is_none() && get(&builder, AmazonS3ConfigKey::Endpoint).is_none()
    {
        return Err(SettingsError::Region { scheme: "s3", example: "us-east-1" }.into());
    }
    finish_s3(builder, lease)
}

fn get(builder: &AmazonS3Builder, key: AmazonS3ConfigKey) -> Option<String> {
    builder.get_config_value(&key).filter(|text| !text.is_empty())
}

/// Builds the client of a store that is compatible with S3 and wants the bucket in the host name. object_store does not
/// put it there.
fn s3_dialect(
    settings: &StoreSettings,
    bucket: &str,
    endpoint: &str,
    connector: Connector,
    retry: RetryConfig,
) -> Result<Built, StoreError> {
    // No other source can give a key: object_store would ask Amazon's metadata service.
    let keyless = match (&settings.access_key_id, settings.url.vendor()) {
        (Some(_), _) => None,
        (None, Some(Vendor::Oss)) if settings.vendor_environment => {
            let found = aliyun::credentials(&Environment::of_process(), connector.client())?;
            Some(found.ok_or(SettingsError::NoCredentials)?)
        }
        (None, _) => return Err(SettingsError::NoCredentials.into()),
    };
    let mut builder = s3_builder(settings, bucket, connector, retry).with_conditional_put(S3ConditionalPut::Disabled);
    let mut lease = None;
    if let Some((credentials, ends)) = keyless {
        (builder, lease) = (builder.with_credentials(credentials), ends);
    }
    let virtual_hosted = settings.cname || !settings.path_style.unwrap_or(false);
    let add_bucket = virtual_hosted && !settings.cname;
    let endpoint = if add_bucket { with_bucket(endpoint, bucket)? } else { endpoint.to_owned() };
    let builder = encrypted(builder, settings)?;
    finish_s3(builder.with_endpoint(endpoint).with_virtual_hosted_style_request(virtual_hosted), lease)
}

fn s3_builder(settings: &StoreSettings, bucket: &str, connector: Connector, retry: RetryConfig) -> AmazonS3Builder {
    let aws = settings.url.vendor() == Some(Vendor::S3);
    let builder = AmazonS3Builder::new();
    let builder = if aws && settings.vendor_environment { with_aws_environment(builder, settings) } else { builder };
    let mut builder =
        builder.with_bucket_name(bucket).with_http_connector(connector).with_retry(retry).with_allow_http(true);
    if let Some(region) = region_of(settings) {
        builder = builder.with_region(region);
    }
    if let (Some(id), Some(secret)) = (&settings.access_key_id, &settings.secret_access_key) {
        builder = builder.with_access_key_id(id.reveal()).with_secret_access_key(secret.reveal());
    }
    if let Some(token) = &settings.session_token {
        builder = builder.with_token(token.reveal());
    }
    builder
}

/// Adds the variables of AWS's own tools. If the user named an endpoint, those of endpoints are left out: object_store
/// would prefer AWS_ENDPOINT_URL_S3.
fn with_aws_environment(builder: AmazonS3Builder, settings: &StoreSettings) -> AmazonS3Builder {
    let environment = Environment::of_process();
    let all = environment.beginning_with("AWS_");
    let wanted = all.filter(|(name, _)| {
        settings.endpoint.is_none() || *name == "AWS_ENDPOINT_URL_STS" || !name.starts_with("AWS_ENDPOINT")
    });
    wanted.fold(builder, |builder, (name, value)| match name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
        Ok(key) => builder.with_config(key, value),
        Err(_) => builder,
    })
}

/// Returns the region for the signature. The names of OSS's and OBS's endpoints contain it.
fn region_of(settings: &StoreSettings) -> Option<String> {
    let given = settings.region.as_deref();
    let of_endpoint = |from: &str| {
        let (_, rest) = settings.endpoint.as_deref()?.split_once(from)?;
        rest.split('.').next().map(|region| region.trim_end_matches("-internal").to_owned())
    };
    match settings.url.vendor() {
        Some(Vendor::Oss) => {
            given.map(|region| region.trim_start_matches("oss-").to_owned()).or_else(|| of_endpoint("oss-"))
        }
        Some(Vendor::Obs) => given.map(str::to_owned).or_else(|| of_endpoint("obs.")),
        Some(Vendor::S3 | Vendor::Gs | Vendor::Az) | None => given.map(str::to_owned),
    }
}

fn finish_s3(builder: AmazonS3Builder, lease: Option<Arc<dyn Ends>>) -> Result<Built, StoreError> {
    let store = builder.build().map_err(|source| SettingsError::Client { source: source.into() })?;
    Ok(Built { store: Arc::new(store), signed_by: SignedBy { lease, google: None } })
}

/// Returns the S3-compatible endpoint of a region (Alibaba Cloud: "Use AWS SDKs to access OSS",
/// `s3.oss-REGION.aliyuncs.com`).
fn oss_endpoint(settings: &StoreSettings) -> Result<String, StoreError> {
    if let Some(endpoint) = &settings.endpoint {
        return Ok(endpoint.clone());
    }
    let region = settings.region.as_deref().ok_or(SettingsError::Region { scheme: "oss", example: "cn-hangzhou" })?;
    Ok(format!("https://s3.oss-{}.aliyuncs.com", region.trim_start_matches("oss-")))
}

/// Returns the endpoint of a region (Huawei Cloud: "Regions and Endpoints", `obs.REGION.myhuaweicloud.com`).
fn obs_endpoint(settings: &StoreSettings) -> Result<String, StoreError> {
    if let Some(endpoint) = &settings.endpoint {
        return Ok(endpoint.clone());
    }
    let region = settings.region.as_deref().ok_or(SettingsError::Region { scheme: "obs", example: "cn-north-4" })?;
    Ok(format!("https://obs.{region}.myhuaweicloud.com"))
}

/// Returns the endpoint with the bucket before its host, unless it is already there.
fn with_bucket(endpoint: &str, bucket: &str) -> Result<String, StoreError> {
    let endpoint = endpoint.trim_end_matches('/');
    setting_checks::endpoint("endpoint", endpoint)?;
    match endpoint.split_once("://") {
        Some((scheme, host)) if !host.starts_with(&format!("{bucket}.")) => {
            let whole = format!("{scheme}://{bucket}.{host}");
            // Some names of buckets cannot be a part of a host.
            setting_checks::endpoint("the endpoint with the bucket", &whole)?;
            Ok(whole)
        }
        _ => Ok(endpoint.to_owned()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::url::StoreUrl;

    #[test]
    fn the_bucket_is_put_before_the_host_once() {
        assert_eq!(with_bucket("https://obs.x.com/", "b").unwrap(), "https://b.obs.x.com");
        assert_eq!(with_bucket("https://b.obs.x.com", "b").unwrap(), "https://b.obs.x.com");
        assert!(with_bucket("obs.x.com", "b").is_err());
    }

    #[test]
    fn oss_and_obs_endpoints_come_from_the_region() {
        let mut settings = StoreSettings::of(StoreUrl::parse("oss://b").unwrap());
        assert!(oss_endpoint(&settings).is_err());
        settings.region = Some("oss-cn-hangzhou".into());
        assert_eq!(oss_endpoint(&settings).unwrap(), "https://s3.oss-cn-hangzhou.aliyuncs.com");
        assert_eq!(region_of(&settings).as_deref(), Some("cn-hangzhou"));
        settings.region = None;
        settings.endpoint = Some("https://oss-cn-beijing-internal.aliyuncs.com".into());
        assert_eq!(region_of(&settings).as_deref(), Some("cn-beijing"));
        settings.endpoint = None;
        settings.region = Some("cn-north-4".into());
        assert_eq!(obs_endpoint(&settings).unwrap(), "https://obs.cn-north-4.myhuaweicloud.com");
    }
}
