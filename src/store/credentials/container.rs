//! Credentials from a full URL in a container: EKS Pod Identity and similar agents (AWS SDKs and Tools Reference Guide:
//! "Container credential provider"). object_store asks only if there is a token file. It panics if the token ends with
//! a newline (its retry.rs: "request must be valid").

use chrono::{DateTime, Utc};
use object_store::aws::AwsCredential;
use reqwest::Client;
use serde::Deserialize;

use super::error::TokenError;
use super::exchange::{ask, token_file};
use super::refreshed::{Lease, TokenSource};
use crate::store::Secret;

/// The secret that the request sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Authorization {
    /// The path in AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE. The file is read again for each request.
    File(String),
    /// AWS_CONTAINER_AUTHORIZATION_TOKEN, the value of the header.
    Value(Secret),
    Nothing,
}

/// Fetches credentials from the URL in AWS_CONTAINER_CREDENTIALS_FULL_URI.
#[derive(Debug)]
pub struct ContainerSource {
    pub url: String,
    pub authorization: Authorization,
    pub client: Client,
}

/// The answer of an agent, and of EC2's metadata service.
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
        // Keys without an end never change.
        Self::until(credential, expiration.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

impl TokenSource for ContainerSource {
    type Credential = AwsCredential;
    const STORE: &'static str = "S3";

    async fn fetch(&self) -> Result<Lease<AwsCredential>, TokenError> {
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
