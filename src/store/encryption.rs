//! Encryption on the side of the store: with the store's own keys, or with a key of a key service. Without a setting,
//! the bucket decides.

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use serde::{Deserialize, Serialize};

use super::SettingsError;
use super::remote::client::ExtraHeader;
use super::settings::StoreSettings;
use super::url::Vendor;

/// The owner of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// A key of the store.
    Store,
    /// A key of the key service.
    Kms,
    /// Amazon's double encryption with a key of the key service.
    DoubleKms,
}

impl Encryption {
    /// Returns the word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Store => "sse",
            Self::Kms => "sse-kms",
            Self::DoubleKms => "dsse-kms",
        }
    }
}

/// Adds the encryption to the client of S3, or of OBS, whose own clients send the same headers (AWS: "Specifying
/// server-side encryption"; huaweicloud-sdk-go-obs, `const.go`).
///
/// # Errors
/// When the settings contradict each other.
pub fn encrypted(builder: AmazonS3Builder, settings: &StoreSettings) -> Result<AmazonS3Builder, SettingsError> {
    let key = || settings.kms_key_id.clone().unwrap_or_default();
    Ok(match check(settings)? {
        None => builder,
        // The headers of OSS have other names.
        Some(_) if settings.url.vendor() == Some(Vendor::Oss) => builder,
        Some(Encryption::Store) => by_name(builder, "AES256")?,
        Some(Encryption::Kms) if settings.kms_key_id.is_none() => by_name(builder, "aws:kms")?,
        Some(Encryption::Kms) => builder.with_sse_kms_encryption(key()),
        Some(Encryption::DoubleKms) => builder.with_dsse_kms_encryption(key()),
    })
}

/// Sets the value of the header directly, without a key.
fn by_name(builder: AmazonS3Builder, value: &str) -> Result<AmazonS3Builder, SettingsError> {
    let key: Result<AmazonS3ConfigKey, _> = "aws_server_side_encryption".parse();
    Ok(builder.with_config(key.map_err(|source| SettingsError::Client { source: Box::new(source) })?, value))
}

/// Returns the headers for stores whose client does not support encryption. They belong on requests that create an
/// object, and on no part (Alibaba Cloud: "Server-side encryption"; Google: "XML API reference headers").
///
/// # Errors
/// When the settings contradict each other.
pub fn headers(settings: &StoreSettings) -> Result<Vec<ExtraHeader>, SettingsError> {
    let Some(encryption) = check(settings)? else { return Ok(Vec::new()) };
    let key = settings.kms_key_id.as_deref();
    let Some(vendor) = settings.url.vendor() else { return Ok(Vec::new()) };
    let pairs = match (vendor, encryption, key) {
        (Vendor::Oss, Encryption::Store, _) => vec![("x-oss-server-side-encryption", "AES256")],
        (Vendor::Oss, Encryption::Kms, None) => vec![("x-oss-server-side-encryption", "KMS")],
        (Vendor::Oss, Encryption::Kms, Some(key)) => {
            vec![("x-oss-server-side-encryption", "KMS"), ("x-oss-server-side-encryption-key-id", key)]
        }
        (Vendor::Gs, Encryption::Kms, Some(key)) => vec![("x-goog-encryption-kms-key-name", key)],
        // The client sends the headers ([`encrypted`]), or `check` has refused the setting.
        (Vendor::S3 | Vendor::Obs | Vendor::Az, _, _)
        | (Vendor::Oss, Encryption::DoubleKms, _)
        | (Vendor::Gs, _, _) => Vec::new(),
    };
    let headers = pairs.into_iter().map(|(name, value)| ExtraHeader::new(name, value, true));
    headers
        .collect::<Option<_>>()
        .ok_or(SettingsError::Encryption("kms_key_id holds characters that no key's name has"))
}

/// Returns the encryption that the settings demand.
///
/// # Errors
/// When the store does not support it.
pub fn check(settings: &StoreSettings) -> Result<Option<Encryption>, SettingsError> {
    let wanted = settings.encryption.or(settings.kms_key_id.as_ref().map(|_| Encryption::Kms));
    let has_key = settings.kms_key_id.is_some();
    let why = match (settings.url.vendor(), wanted) {
        (_, None) => return Ok(None),
        (_, Some(Encryption::Store)) if has_key => "sse has no kms_key_id; sse-kms has",
        (Some(Vendor::Oss | Vendor::Obs), Some(Encryption::DoubleKms)) => "dsse-kms is Amazon's alone",
        (Some(Vendor::S3 | Vendor::Oss | Vendor::Obs), Some(_)) => return Ok(wanted),
        (Some(Vendor::Gs), Some(Encryption::Kms)) if has_key => return Ok(wanted),
        (Some(Vendor::Gs), Some(_)) => "Google encrypts by itself; for a key of yours give sse-kms and kms_key_id",
        (Some(Vendor::Az), Some(_)) => "Azure encrypts by itself; set a default encryption scope on the container",
        (None, Some(_)) => "this store does not encrypt",
    };
    Err(SettingsError::Encryption(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::url::StoreUrl;

    fn settings(url: &str, encryption: Option<Encryption>, key: Option<&str>) -> StoreSettings {
        let url = StoreUrl::parse(url).unwrap();
        StoreSettings { encryption, kms_key_id: key.map(str::to_owned), ..StoreSettings::of(url) }
    }

    #[test]
    fn unsupported_encryption_is_refused_and_not_left_out() {
        for (url, encryption, key) in [
            ("az://c", Some(Encryption::Kms), Some("k")),
            ("/d", Some(Encryption::Store), None),
            ("gs://b", Some(Encryption::Kms), None),
            ("s3://b", Some(Encryption::Store), Some("k")),
            ("oss://b", Some(Encryption::DoubleKms), None),
        ] {
            assert!(headers(&settings(url, encryption, key)).is_err(), "{url}");
        }
        let obs = settings("obs://b", Some(Encryption::DoubleKms), None);
        assert!(encrypted(AmazonS3Builder::new(), &obs).is_err());
    }

    #[test]
    fn a_key_alone_means_the_key_service() {
        assert_eq!(headers(&settings("oss://b", None, Some("k"))).unwrap().len(), 2);
        assert_eq!(headers(&settings("gs://b", None, Some("k"))).unwrap().len(), 1);
        assert_eq!(headers(&settings("s3://b", None, Some("k"))).unwrap().len(), 0);
        assert!(headers(&settings("oss://b", None, Some("k\n"))).is_err());
    }
}
