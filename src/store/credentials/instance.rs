//! The role of a machine on EC2, from its metadata service (AWS: "Use the Instance Metadata Service to access instance
//! metadata"). object_store can ask the same service, but does not tell when the credentials end.

use bytes::Bytes;
use object_store::aws::AwsCredential;
use reqwest::Client;

use super::container::Answer;
use super::error::TokenError;
use super::exchange::ask_bytes;
use super::refreshed::{Lease, TokenSource};
use crate::store::Secret;

const ROLES: &str = "latest/meta-data/iam/security-credentials";

/// Lifetime of the service's session token in seconds. Enough for three requests.
const SECONDS: &str = "600";

/// Asks the metadata service at `url`.
#[derive(Debug)]
pub struct MachineSource {
    pub url: String,
    /// Goes on without a session token if the service refuses to give one.
    pub falls_back: bool,
    pub client: Client,
}

impl MachineSource {
    /// Returns the service's session token; empty if the service has none.
    async fn session(&self) -> Result<Secret, TokenError> {
        let url = format!("{}/latest/api/token", self.url);
        let request = || self.client.put(&url).header("X-aws-ec2-metadata-token-ttl-seconds", SECONDS);
        match ask_bytes(&url, &Secret::new(""), request).await {
            Err(TokenError::Refused { status: 403, .. }) if self.falls_back => Ok(Secret::new("")),
            other => Ok(Secret::new(&String::from_utf8_lossy(&other?))),
        }
    }

    async fn get(&self, url: &str, session: &Secret) -> Result<Bytes, TokenError> {
        let request = || match session.reveal() {
            "" => self.client.get(url),
            token => self.client.get(url).header("X-aws-ec2-metadata-token", token),
        };
        ask_bytes(url, session, request).await
    }
}

impl TokenSource for MachineSource {
    type Credential = AwsCredential;
    const STORE: &'static str = "S3";

    async fn fetch(&self) -> Result<Lease<AwsCredential>, TokenError> {
        let session = self.session().await?;
        let roles = self.get(&format!("{}/{ROLES}/", self.url), &session).await?;
        let roles = String::from_utf8_lossy(&roles);
        let url = format!("{}/{ROLES}/{}", self.url, roles.lines().next().unwrap_or_default().trim());
        let answer = self.get(&url, &session).await?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| TokenError::Answer { url })?;
        Ok(answer.into())
    }
}
