//! Credentials of a container by a full address: EKS Pod Identity and its kin (AWS SDKs and Tools Reference Guide:
//! "Container credential provider"). object_store asks only when there is a token file, and panics when that ends
//! with a newline (its retry.rs: "request must be valid").

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use object_store::aws::AwsCredential;
use reqwest::Client;
use serde::Deserialize;

use super::error::TokenError;
use super::exchange::{ask, token_file};
use super::refreshed::{Lease, TokenSource};
use crate::store::Secret;

/// What the request proves itself with.
#[derive(Debug, PartialEq, Eq)]
pub enum Authorization {
    /// The path in AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; read again each time.
    File(String),
    /// AWS_CONTAINER_AUTHORIZATION_TOKEN, the value of a header.
    Value(Secret),
    Nothing,
}

/// Asks the address in AWS_CONTAINER_CREDENTIALS_FULL_URI.
#[derive(Debug)]
pub struct ContainerSource {
    pub url: String,
    pub authorization: Authorization,
    pub client: Client,
}

/// As the metadata service of EC2 gives it, too.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<DateTime<Utc>>,
}

impl From<Answer> for Lease<AwsCredential> {
    fn from(answer: Answer) -> Self {
        let Answer { access_key_id, secret_access_key, token, expiration } = answer;
        let credential = AwsCredential { key_id: access_key_id, secret_key: secret_access_key, token };
        // Keys without an end do not change.
        Self::until(credential, expiration.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

impl ContainerSource {
    async fn ask(&self) -> Result<Lease<AwsCredential>, TokenError> {
        let secret = match &self.authorization {
            Authorization::File(path) => token_file(path)?,
            Authorization::Value(token) => token.clone(),
            Authorization::Nothing => Secret::new(""),
        };
        let request = || {
            let request = self.client.get(&self.url);
            if secret.reveal().is_empty() { request } else { request.header("Authorization", secret.reveal()) }
        };
        let answer: Answer = ask(&self.url, &secret, request).await?;
        Ok(answer.into())
    }
}

impl TokenSource for ContainerSource {
    type Credential = AwsCredential;
    const STORE: &'static str = "S3";

    fn fetch(&self) -> BoxFuture<'_, Result<Lease<AwsCredential>, TokenError>> {
        Box::pin(self.ask())
    }
}
