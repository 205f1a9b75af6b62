//! Workload identity federation: exchanges the token of another identity provider for a token of Google (AIP-4117,
//! "External Account Credentials (Workload Identity Federation)").

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::gcp::GcpCredential;
use reqwest::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::{CredentialsError, TokenError};
use super::exchange::{FORM, ask, ask_bytes, form, token_file};
use super::refreshed::{Lease, TokenSource};
use crate::files::regular_file::{TEXT_MAX, read_named};
use crate::store::Secret;

/// The rights of a token; object_store asks for the same.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Constants of the token exchange (RFC 8693, 2.1 and 3).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Lifetime of a service account's token in seconds, unless the file sets another one (AIP-4117,
/// `token_lifetime_seconds`).
const SECONDS: u64 = 3600;

/// The identity in a credentials file.
pub struct AccountSource {
    path: String,
    account: Account,
    client: Client,
}

#[derive(Deserialize)]
struct Account {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    #[serde(default)]
    service_account_impersonation: Impersonation,
    credential_source: Source,
}

#[derive(Default, Deserialize)]
struct Impersonation {
    token_lifetime_seconds: Option<u64>,
}

/// The source of the other provider's token.
#[derive(Deserialize)]
struct Source {
    file: Option<String>,
    url: Option<String>,
    /// Set for a role of AWS, whose token is a signed request. Not supported.
    environment_id: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
}

/// The format of the token: plain, or a field of JSON.
#[derive(Default, Deserialize)]
struct Format {
    subject_token_field_name: Option<String>,
}

#[derive(Deserialize)]
struct Exchanged {
    access_token: String,
    /// Lifetime in seconds.
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: DateTime<Utc>,
}

impl AccountSource {
    /// Reads a credentials file.
    ///
    /// # Errors
    /// When the file has no such identity, or its token has a source that is not supported.
    pub fn read(path: &str, client: Client) -> Result<Self, CredentialsError> {
        let syntax = |why: String| CredentialsError::AccountSyntax { path: path.to_owned(), why };
        let text = read_named(path, TEXT_MAX).map_err(|error| syntax(error.to_string()))?;
        // The message of serde_json may contain a header of the file, so only the position is shown.
        let account: Account = serde_json::from_slice(&text)
            .map_err(|error| syntax(format!("line {}, column {}", error.line(), error.column())))?;
        let source = &account.credential_source;
        if source.environment_id.is_some() || (source.file.is_none() && source.url.is_none()) {
            let what = "neither a file nor a plain URL".to_owned();
            return Err(CredentialsError::AccountFile { path: path.to_owned(), what });
        }
        Ok(Self { path: path.to_owned(), account, client })
    }

    /// Returns the service account whose rights are used. Its address is a part of the URL (IAM Service Account
    /// Credentials API: `projects/-/serviceAccounts/EMAIL:generateAccessToken`).
    pub fn email(&self) -> Option<&str> {
        let url = self.account.service_account_impersonation_url.as_deref()?;
        url.rsplit('/').next()?.split(':').next()
    }

    async fn subject_token(&self) -> Result<Secret, TokenError> {
        let source = &self.account.credential_source;
        if let Some(path) = &source.file {
            return self.of_format(token_file(path)?.reveal(), path);
        }
        let url = source.url.as_deref().unwrap_or_default();
        let request = || {
            let request = self.client.get(url);
            source.headers.iter().fold(request, |request, (name, value)| request.header(name.as_str(), value.as_str()))
        };
        let bytes = ask_bytes(url, &Secret::new(""), request).await?;
        self.of_format(&String::from_utf8_lossy(&bytes), url)
    }

    fn of_format(&self, text: &str, from: &str) -> Result<Secret, TokenError> {
        let none = || TokenError::NoToken { path: from.split('?').next().unwrap_or_default().to_owned() };
        let token = match &self.account.credential_source.format.subject_token_field_name {
            None => Secret::new(text),
            Some(field) => {
                let json: Value = serde_json::from_str(text).map_err(|_| none())?;
                Secret::new(json.get(field).and_then(Value::as_str).ok_or_else(none)?)
            }
        };
        if token.reveal().is_empty() { Err(none()) } else { Ok(token) }
    }

    async fn exchange(&self, subject: &Secret) -> Result<Exchanged, TokenError> {
        let account = &self.account;
        let body = form(&[
            ("grant_type", GRANT),
            ("audience", &account.audience),
            ("scope", SCOPE),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token", subject.reveal()),
            ("subject_token_type", &account.subject_token_type),
        ]);
        self.post(&account.token_url, subject, FORM, body, None).await
    }

    async fn impersonate(&self, url: &str, token: &Secret) -> Result<Lease<GcpCredential>, TokenError> {
        let seconds = self.account.service_account_impersonation.token_lifetime_seconds.unwrap_or(SECONDS);
        let body = json!({ "scope": [SCOPE], "lifetime": format!("{seconds}s") }).to_string();
        let Impersonated { access_token, expire_time } =
            self.post(url, token, "application/json", body, Some(token)).await?;
        Ok(Lease::until(GcpCredential { bearer: access_token }, expire_time))
    }

    async fn post<T: DeserializeOwned>(
        &self,
        url: &str,
        secret: &Secret,
        media: &str,
        body: String,
        bearer: Option<&Secret>,
    ) -> Result<T, TokenError> {
        let request = || {
            let request = self.client.post(url).header("Content-Type", media).body(body.clone());
            match bearer {
                Some(token) => request.header("Authorization", format!("Bearer {}", token.reveal())),
                None => request,
            }
        };
        ask(url, secret, request).await
    }
}

/// Prints only the path of the file, because its headers may be secrets.
impl std::fmt::Debug for AccountSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountSource").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TokenSource for AccountSource {
    type Credential = GcpCredential;
    const STORE: &'static str = "GCS";

    async fn fetch(&self) -> Result<Lease<GcpCredential>, TokenError> {
        let subject = self.subject_token().await?;
        let exchanged = self.exchange(&subject).await?;
        match &self.account.service_account_impersonation_url {
            Some(url) => self.impersonate(url, &Secret::new(&exchanged.access_token)).await,
            None => {
                let valid_for = std::time::Duration::from_secs(exchanged.expires_in.unwrap_or(SECONDS));
                Ok(Lease { credential: GcpCredential { bearer: exchanged.access_token }, valid_for })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreSettings;
    use crate::store::remote::client::Connector;
    use crate::store::url::StoreUrl;

    fn read(source: &str) -> Result<AccountSource, CredentialsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            r#"{{"type": "external_account", "audience": "//iam.googleapis.com/p", "subject_token_type": "jwt",
                 "token_url": "https://sts.googleapis.com/v1/token",
                 "service_account_impersonation_url":
                     "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam:generateAccessToken",
                 "credential_source": {source}}}"#
        );
        std::fs::write(file.path(), text).unwrap();
        let client = Connector::new(&StoreSettings::of(StoreUrl::Stdout), 0).unwrap().client();
        AccountSource::read(file.path().to_str().unwrap(), client)
    }

    #[test]
    fn tokens_are_read_as_text_or_from_a_field() {
        let text = read(r#"{"file": "/t"}"#).unwrap();
        assert_eq!(text.of_format("token\n", "/t").unwrap().reveal(), "token");
        assert_eq!(text.email(), Some("a@p.iam"));
        let field =
            read(r#"{"file": "/t", "format": {"type": "json", "subject_token_field_name": "access_token"}}"#).unwrap();
        assert_eq!(field.of_format(r#"{"access_token": "inner"}"#, "/t").unwrap().reveal(), "inner");
        assert!(matches!(field.of_format("token", "/t"), Err(TokenError::NoToken { .. })));
    }

    #[test]
    fn unsupported_source_and_bad_file_are_different_errors() {
        assert!(matches!(
            read(r#"{"environment_id": "aws1", "url": "http://x/"}"#),
            Err(CredentialsError::AccountFile { .. })
        ));
        let error = read(r#"{"file": "/t", "headers": "hunter2"}"#).unwrap_err().to_string();
        assert!(error.contains("column") && !error.contains("hunter2"), "{error}");
    }
}
