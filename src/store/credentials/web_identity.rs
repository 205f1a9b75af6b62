//! A role by the token of a web identity, as EKS gives it to a service account (AWS STS API Reference:
//! "AssumeRoleWithWebIdentity"). object_store can ask the same service, but does not tell when the credentials end.

use chrono::{DateTime, Utc};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use reqwest::Client;
use serde::Deserialize;

use super::error::TokenError;
use super::exchange::{FORM, ask_bytes, form, token_file};
use super::refreshed::{Lease, TokenSource};

/// Version of the interface.
const VERSION: &str = "2011-06-15";

/// Lifetime of the credentials in seconds: the interface's own default.
const SECONDS: &str = "3600";

/// The region if none is set, as in object_store.
const REGION: &str = "us-east-1";

/// A role, and the token with which it is assumed.
#[derive(Debug)]
pub struct WebIdentitySource {
    role_arn: String,
    token_file: String,
    session_name: String,
    sts: String,
    client: Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    assume_role_with_web_identity_result: Assumed,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: DateTime<Utc>,
}

impl WebIdentitySource {
    /// Returns the role in the builder's configuration; `None` if there is none.
    pub fn of(builder: &AmazonS3Builder, client: Client) -> Option<Self> {
        let get = |key: AmazonS3ConfigKey| builder.get_config_value(&key).filter(|text| !text.is_empty());
        let region = get(AmazonS3ConfigKey::Region).unwrap_or_else(|| REGION.to_owned());
        Some(Self {
            role_arn: get(AmazonS3ConfigKey::RoleArn)?,
            token_file: get(AmazonS3ConfigKey::WebIdentityTokenFile)?,
            session_name: get(AmazonS3ConfigKey::RoleSessionName).unwrap_or_else(|| "jmap-dump-tool".to_owned()),
            sts: get(AmazonS3ConfigKey::StsEndpoint).unwrap_or_else(|| sts_of(&region)),
            client,
        })
    }
}

/// Returns the URL of STS. China has a domain of its own (AWS: "AWS STS Regions and endpoints", and "Endpoints and ARNs
/// for AWS in China").
fn sts_of(region: &str) -> String {
    let partition = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://sts.{region}.amazonaws.com{partition}")
}

impl TokenSource for WebIdentitySource {
    type Credential = AwsCredential;
    const STORE: &'static str = "S3";

    async fn fetch(&self) -> Result<Lease<AwsCredential>, TokenError> {
        let token = token_file(&self.token_file)?;
        let body = form(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", VERSION),
            ("DurationSeconds", SECONDS),
            ("RoleArn", &self.role_arn),
            ("RoleSessionName", &self.session_name),
            ("WebIdentityToken", token.reveal()),
        ]);
        let request = || self.client.post(&self.sts).header("Content-Type", FORM).body(body.clone());
        let bytes = ask_bytes(&self.sts, &token, request).await?;
        // The message of the parser may contain a part of the answer.
        let answer: Answer = quick_xml::de::from_reader(&*bytes)
            .map_err(|_| TokenError::Answer { url: self.sts.split('?').next().unwrap_or_default().to_owned() })?;
        let credentials = answer.assume_role_with_web_identity_result.credentials;
        let credential = AwsCredential {
            key_id: credentials.access_key_id,
            secret_key: credentials.secret_access_key,
            token: Some(credentials.session_token),
        };
        Ok(Lease::until(credential, credentials.expiration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sts_in_china_has_a_domain_of_its_own() {
        assert_eq!(sts_of("cn-north-1"), "https://sts.cn-north-1.amazonaws.com.cn");
        assert_eq!(sts_of("eu-west-1"), "https://sts.eu-west-1.amazonaws.com");
    }
}
