//! Credentials of Aliyun OSS: a key in the variables of Alibaba Cloud's own tools, or a role of a service account
//! (RRSA). STS exchanges the service account's token for the role.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use object_store::StaticCredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use reqwest::Client;
use serde::Deserialize;

use super::environment::Environment;
use super::error::{CredentialsError, TokenError};
use super::exchange::{FORM, ask, form, token_file};
use super::refreshed::{Ends, Lease, Refreshed, TokenSource};

/// The operation of STS, and the version of its interface. The request is not signed: the token proves the identity
/// (Alibaba Cloud: "AssumeRoleWithOIDC", `help/en/ram/developer-reference/api-sts-2015-04-01-assumerolewithoidc`).
const ACTION: &str = "AssumeRoleWithOIDC";
const VERSION: &str = "2015-04-01";

/// Lifetime of the credentials in seconds: the interface's own default (the same page, DurationSeconds).
const SECONDS: &str = "3600";

/// A role that a service account may take.
#[derive(Debug)]
struct RoleSource {
    role_arn: String,
    provider_arn: String,
    token_file: String,
    session_name: String,
    sts: String,
    client: Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: DateTime<Utc>,
}

/// A provider of credentials. The second value tells when they end, if they end.
pub type Found = (AwsCredentialProvider, Option<Arc<dyn Ends>>);

/// Returns the credentials in Alibaba Cloud's variables: a key, or else a role. `None` if the variables have neither.
///
/// # Errors
/// When a key or a role is incomplete.
pub fn credentials(environment: &Environment, client: Client) -> Result<Option<Found>, CredentialsError> {
    if let Some(id) = environment.get("ALIBABA_CLOUD_ACCESS_KEY_ID") {
        let secret = need(environment, "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")?;
        let token = environment.get("ALIBABA_CLOUD_SECURITY_TOKEN").map(str::to_owned);
        let credential = AwsCredential { key_id: id.to_owned(), secret_key: secret, token };
        return Ok(Some((Arc::new(StaticCredentialProvider::new(credential)), None)));
    }
    let Some(source) = RoleSource::of(environment, client)? else { return Ok(None) };
    log::debug!("credentials of {} by the token in {}", source.role_arn, source.token_file);
    let refreshed = Arc::new(Refreshed::new(source));
    Ok(Some((refreshed.clone(), Some(refreshed))))
}

fn need(environment: &Environment, given: &'static str, name: &'static str) -> Result<String, CredentialsError> {
    environment.get(name).map(str::to_owned).ok_or(CredentialsError::Half(given, name))
}

/// Returns the URL of STS (ACK: "Use RRSA to authorize different pods", the variables that ack-pod-identity-webhook
/// injects).
fn sts(environment: &Environment) -> String {
    let region = environment.get("ALIBABA_CLOUD_STS_REGION");
    let host = match (environment.get("ALIBABA_CLOUD_STS_ENDPOINT"), region) {
        (Some(endpoint), _) => endpoint.trim_end_matches('/').to_owned(),
        (None, Some(region)) if environment.is_on("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED") => {
            format!("sts-vpc.{region}.aliyuncs.com")
        }
        (None, Some(region)) => format!("sts.{region}.aliyuncs.com"),
        (None, None) => "sts.aliyuncs.com".to_owned(),
    };
    // The variable normally contains only a host. A value with a scheme is used unchanged.
    if host.contains("://") { host } else { format!("https://{host}") }
}

impl RoleSource {
    fn of(environment: &Environment, client: Client) -> Result<Option<Self>, CredentialsError> {
        const TOKEN: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
        let Some(token_file) = environment.get(TOKEN) else { return Ok(None) };
        Ok(Some(Self {
            role_arn: need(environment, TOKEN, "ALIBABA_CLOUD_ROLE_ARN")?,
            provider_arn: need(environment, TOKEN, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN")?,
            token_file: token_file.to_owned(),
            session_name: environment.get("ALIBABA_CLOUD_ROLE_SESSION_NAME").unwrap_or("jmap-dump-tool").to_owned(),
            sts: sts(environment),
            client,
        }))
    }
}

impl TokenSource for RoleSource {
    type Credential = AwsCredential;
    const STORE: &'static str = "OSS";

    async fn fetch(&self) -> Result<Lease<AwsCredential>, TokenError> {
        let token = token_file(&self.token_file)?;
        let request = || {
            // Each try needs a new request: STS checks the time, and refuses a nonce that it has seen.
            let now = Utc::now();
            let body = form(&[
                ("Action", ACTION),
                ("Version", VERSION),
                ("Format", "JSON"),
                ("Timestamp", &now.to_rfc3339_opts(SecondsFormat::Secs, true)),
                ("SignatureNonce", &format!("{}-{}", std::process::id(), now.timestamp_micros())),
                ("RoleArn", &self.role_arn),
                ("OIDCProviderArn", &self.provider_arn),
                ("OIDCToken", token.reveal()),
                ("RoleSessionName", &self.session_name),
                ("DurationSeconds", SECONDS),
            ]);
            self.client.post(&self.sts).header("Content-Type", FORM).header("Accept", "application/json").body(body)
        };
        let Answer { credentials } = ask(&self.sts, &token, request).await?;
        let credential = AwsCredential {
            key_id: credentials.access_key_id,
            secret_key: credentials.access_key_secret,
            token: Some(credentials.security_token),
        };
        Ok(Lease::until(credential, credentials.expiration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreSettings;
    use crate::store::remote::client::Connector;
    use crate::store::url::StoreUrl;

    #[test]
    fn sts_url_follows_the_variables() {
        let of = |variables: &[(&str, &str)]| sts(&Environment::from_iter(variables.iter().copied()));
        let (endpoint, region) = ("ALIBABA_CLOUD_STS_ENDPOINT", ("ALIBABA_CLOUD_STS_REGION", "cn-hangzhou"));
        assert_eq!(of(&[]), "https://sts.aliyuncs.com");
        assert_eq!(of(&[region]), "https://sts.cn-hangzhou.aliyuncs.com");
        assert_eq!(
            of(&[region, ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true")]),
            "https://sts-vpc.cn-hangzhou.aliyuncs.com"
        );
        assert_eq!(of(&[region, (endpoint, "sts-vpc.cn-x.aliyuncs.com")]), "https://sts-vpc.cn-x.aliyuncs.com");
        assert_eq!(of(&[(endpoint, "http://127.0.0.1:1/")]), "http://127.0.0.1:1");
    }

    #[test]
    fn half_a_role_or_half_a_key_is_an_error() {
        let settings = StoreSettings::of(StoreUrl::Stdout);
        let client = Connector::new(&settings, 0).unwrap().client();
        let of = |variables: &[(&str, &str)]| {
            let environment = Environment::from_iter(variables.iter().copied());
            credentials(&environment, client.clone()).map(|found| found.is_some())
        };
        assert!(matches!(of(&[]), Ok(false)));
        let error = of(&[("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/t")]).unwrap_err().to_string();
        assert!(error.contains("ALIBABA_CLOUD_ROLE_ARN"), "{error}");
        let error = of(&[("ALIBABA_CLOUD_ACCESS_KEY_ID", "id")]).unwrap_err().to_string();
        assert!(error.contains("ALIBABA_CLOUD_ACCESS_KEY_SECRET"), "{error}");
        let key = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret")];
        assert!(matches!(of(&key), Ok(true)));
    }
}
