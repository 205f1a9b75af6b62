//! The identity of a workload on Google Cloud, from its metadata service (Google: "Access to metadata servers").
//! object_store would first read gcloud's file, and would use the address in any variable. Both may belong to the
//! application.

use std::time::Duration;

use object_store::gcp::{GcpCredential, GcpSigningCredential};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;

use super::error::TokenError;
use super::exchange::{ask, ask_bytes};
use super::refreshed::{Lease, TokenSource};
use crate::store::Secret;

const ACCOUNT: &str = "computeMetadata/v1/instance/service-accounts/default";

/// Asks the metadata service at `url`.
#[derive(Debug, Clone)]
pub struct GoogleMetadata {
    url: String,
    client: Client,
}

/// Gives the tokens of the account.
#[derive(Debug)]
pub struct AccountTokens(pub GoogleMetadata);

/// Gives the name of the account in whose name Google signs.
#[derive(Debug)]
pub struct AccountName(pub GoogleMetadata);

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// Lifetime in seconds.
    expires_in: u64,
}

impl GoogleMetadata {
    pub fn at(url: &str, client: Client) -> Self {
        Self { url: format!("{url}/{ACCOUNT}"), client }
    }

    fn get(&self, url: &str) -> RequestBuilder {
        self.client.get(url).header("Metadata-Flavor", "Google")
    }

    async fn token(&self) -> Result<Lease<GcpCredential>, TokenError> {
        let url = format!("{}/token", self.url);
        let Answer { access_token, expires_in } = ask(&url, &Secret::new(""), || self.get(&url)).await?;
        Ok(Lease { credential: GcpCredential { bearer: access_token }, valid_for: Duration::from_secs(expires_in) })
    }

    async fn name(&self) -> Result<Lease<GcpSigningCredential>, TokenError> {
        let url = format!("{}/email", self.url);
        let name = ask_bytes(&url, &Secret::new(""), || self.get(&url)).await?;
        let email = String::from_utf8_lossy(&name).trim().to_owned();
        // The name of an account never changes.
        Ok(Lease { credential: GcpSigningCredential { email, private_key: None }, valid_for: Duration::MAX })
    }
}

impl TokenSource for AccountTokens {
    type Credential = GcpCredential;
    const STORE: &'static str = "GCS";

    async fn fetch(&self) -> Result<Lease<GcpCredential>, TokenError> {
        self.0.token().await
    }
}

impl TokenSource for AccountName {
    type Credential = GcpSigningCredential;
    const STORE: &'static str = "GCS";

    async fn fetch(&self) -> Result<Lease<GcpSigningCredential>, TokenError> {
        self.0.name().await
    }
}
