//! Builds the client of a store that speaks S3: Amazon's own, or a store that wants the bucket in the host name.

use std::sync::Arc;

use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};

use super::backend::Built;
use super::client::Connector;
use crate::store::credentials::{Ends, Environment, aliyun, aws};
use crate::store::encryption::encrypted;
use crate::store::read::link::SignedBy;
use crate::store::settings::StoreSettings;
use crate::store::url::Vendor;
use crate::store::{SettingsError, StoreError, setting_checks};

pub(super) fn s3(
    settings: &StoreSettings,
    bucket: &str,
    connector: Connector,
    retry: RetryConfig,
) -> Result<Built, StoreError> {
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
pub(super) fn s3_dialect(
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
pub(super) fn oss_endpoint(settings: &StoreSettings) -> Result<String, StoreError> {
    if let Some(endpoint) = &settings.endpoint {
        return Ok(endpoint.clone());
    }
    let region = settings.region.as_deref().ok_or(SettingsError::Region { scheme: "oss", example: "cn-hangzhou" })?;
    Ok(format!("https://s3.oss-{}.aliyuncs.com", region.trim_start_matches("oss-")))
}

/// Returns the endpoint of a region (Huawei Cloud: "Regions and Endpoints", `obs.REGION.myhuaweicloud.com`).
pub(super) fn obs_endpoint(settings: &StoreSettings) -> Result<String, StoreError> {
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
