//! Chooses the credentials of a Google store. object_store supports keys of service accounts and gcloud's own file.
//! This program itself does workload identity federation and the metadata service.

use std::path::Path;
use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpSigningCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use reqwest::Client;

use super::environment::{Environment, is_on};
use super::error::CredentialsError;
use super::google_account::AccountSource;
use super::google_metadata::{AccountName, AccountTokens, GoogleMetadata};
use super::metadata::{Service, expect_answer};
use super::refreshed::Refreshed;
use crate::files::regular_file::{TEXT_MAX, is_refused, read_named};
use crate::store::StoreSettings;
use crate::store::setting_checks::endpoint;

/// Path of gcloud's own file below HOME (Google: "How Application Default Credentials works").
const WELL_KNOWN: &str = ".config/gcloud/application_default_credentials.json";

/// The type of a credentials file.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Also a file without a type, as emulators have it.
    ServiceAccount,
    AuthorizedUser,
    ExternalAccount,
    /// No file, or one that cannot be read.
    Unknown,
}

/// Adds the credentials that Google's own tools would use.
///
/// # Errors
/// When a file needs a source that is not supported, or a metadata service does not answer.
pub fn with_credentials(
    builder: GoogleCloudStorageBuilder,
    settings: &StoreSettings,
    client: Client,
) -> Result<GoogleCloudStorageBuilder, CredentialsError> {
    let environment = if settings.vendor_environment { Environment::of_process() } else { Environment::default() };
    if let Some(path) = &settings.service_account_file {
        return match kind(path)? {
            Kind::ExternalAccount => with_account(builder, path, client),
            Kind::AuthorizedUser => Ok(builder.with_application_credentials(path)),
            Kind::ServiceAccount | Kind::Unknown => Ok(builder.with_service_account_path(path)),
        };
    }
    let own = [GoogleConfigKey::ServiceAccount, GoogleConfigKey::ServiceAccountKey, GoogleConfigKey::BearerToken];
    if let Some(key) = builder.get_config_value(&GoogleConfigKey::ServiceAccountKey) {
        check_base_url(&serde_json::from_str(&key).unwrap_or_default())?;
    }
    if let Some(path) = builder.get_config_value(&GoogleConfigKey::ServiceAccount) {
        kind(&path)?;
    }
    let unsigned = builder.get_config_value(&GoogleConfigKey::SkipSignature).is_some_and(|value| is_on(&value));
    if unsigned || own.iter().any(|key| builder.get_config_value(key).is_some()) {
        return Ok(builder);
    }
    let named = builder.get_config_value(&GoogleConfigKey::ApplicationCredentials);
    let Some(path) = named.or_else(|| well_known(&environment)) else {
        return with_metadata(builder, &environment, client);
    };
    match kind(&path)? {
        Kind::ExternalAccount => with_account(builder, &path, client),
        _ => Ok(builder),
    }
}

fn with_account(
    builder: GoogleCloudStorageBuilder,
    path: &str,
    client: Client,
) -> Result<GoogleCloudStorageBuilder, CredentialsError> {
    let account = AccountSource::read(path, client)?;
    // Google signs links in the name of the service account. Without an account there are no links, and object_store
    // must ask no other service.
    let signer = GcpSigningCredential { email: account.email().unwrap_or_default().to_owned(), private_key: None };
    let builder = builder.with_signing_credentials(Arc::new(StaticCredentialProvider::new(signer)));
    Ok(builder.with_credentials(Arc::new(Refreshed::new(account))))
}

/// Returns the path of gcloud's own file, if it exists.
fn well_known(environment: &Environment) -> Option<String> {
    let path = Path::new(environment.get("HOME")?).join(WELL_KNOWN);
    path.exists().then(|| path.display().to_string())
}

/// Checks the address of an emulator in a key file. object_store panics if it is no URL.
fn check_base_url(file: &serde_json::Value) -> Result<(), CredentialsError> {
    match file.get("gcs_base_url").and_then(serde_json::Value::as_str) {
        Some(url) => endpoint("gcs_base_url", url).map_err(CredentialsError::Endpoint),
        None => Ok(()),
    }
}

fn kind(path: &str) -> Result<Kind, CredentialsError> {
    let text = match read_named(path, TEXT_MAX) {
        // object_store would open the file again. It would wait at a FIFO, or read a file of any length.
        Err(error) if is_refused(&error) => {
            return Err(CredentialsError::AccountSyntax { path: path.to_owned(), why: error.to_string() });
        }
        other => other.unwrap_or_default(),
    };
    let Ok(file) = serde_json::from_slice::<serde_json::Value>(&text) else { return Ok(Kind::Unknown) };
    check_base_url(&file)?;
    match file.get("type").and_then(serde_json::Value::as_str) {
        None | Some("service_account") => Ok(Kind::ServiceAccount),
        Some("authorized_user") => Ok(Kind::AuthorizedUser),
        Some("external_account") => Ok(Kind::ExternalAccount),
        Some(other) => {
            let what = format!("the type '{}'", other.chars().take(40).collect::<String>());
            Err(CredentialsError::AccountFile { path: path.to_owned(), what })
        }
    }
}

/// Adds the credentials of the metadata service. Otherwise object_store would look for gcloud's file, even where a
/// vendor's files must not count. The address is a number, as in Google's own tools. Outside of Google Cloud, the
/// lookup of its name may take long (google-auth: "Environment Variables", GCE_METADATA_IP).
fn with_metadata(
    builder: GoogleCloudStorageBuilder,
    environment: &Environment,
    client: Client,
) -> Result<GoogleCloudStorageBuilder, CredentialsError> {
    let names = ["GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"];
    let host = names.iter().find_map(|name| environment.get(name)).unwrap_or("169.254.169.254");
    let url = format!("http://{host}");
    expect_answer(Service { cloud: "Google Cloud", url: &url, question: "GET /", header: "Metadata-Flavor: Google" })?;
    let metadata = GoogleMetadata::at(&url, client);
    let builder = builder.with_signing_credentials(Arc::new(Refreshed::new(AccountName(metadata.clone()))));
    Ok(builder.with_credentials(Arc::new(Refreshed::new(AccountTokens(metadata)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_of_a_credentials_file_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let of = |text: &str| {
            std::fs::write(path, text).unwrap();
            kind(path)
        };
        assert_eq!(of(r#"{"type": "external_account"}"#).unwrap(), Kind::ExternalAccount);
        assert_eq!(of(r#"{"type": "authorized_user"}"#).unwrap(), Kind::AuthorizedUser);
        assert_eq!(of(r#"{"disable_oauth": true}"#).unwrap(), Kind::ServiceAccount);
        assert_eq!(of("garbage").unwrap(), Kind::Unknown);
        assert!(of(r#"{"type": "impersonated_service_account"}"#).is_err());
        assert_eq!(kind("/nowhere").unwrap(), Kind::Unknown);
    }
}
