//! Checks the credentials of an Azure store. object_store supports all of them. This module only prevents a long wait
//! for a metadata service that does not exist.

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::environment::is_on;
use super::error::CredentialsError;
use super::metadata::{Service, expect_answer};
use crate::files::regular_file::{TEXT_MAX, is_refused, read_named};

/// The instance metadata service (Azure: "How to use managed identities on a VM to acquire an access token").
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// Returns the builder, if the service that it will ask for credentials answers.
///
/// # Errors
/// When the metadata service does not answer, or the path of the token is no regular file.
pub fn with_credentials(builder: MicrosoftAzureBuilder) -> Result<MicrosoftAzureBuilder, CredentialsError> {
    let builder = with_plain_authority(builder);
    // object_store would open the file itself, and would wait at a FIFO.
    if let Some(path) = builder.get_config_value(&AzureConfigKey::FederatedTokenFile)
        && let Err(error) = read_named(&path, TEXT_MAX)
        && is_refused(&error)
    {
        return Err(CredentialsError::AccountSyntax { path, why: error.to_string() });
    }
    // Without an account, object_store fails at once with a clear message.
    let account = builder.get_config_value(&AzureConfigKey::AccountName);
    if account.is_some() && asks_metadata(&builder) {
        let named = builder.get_config_value(&AzureConfigKey::MsiEndpoint);
        let url = named.as_deref().unwrap_or(METADATA);
        // The question has no `Metadata` header, so the service refuses it. A refusal is an answer, too.
        let question =
            Service { cloud: "Azure", url, question: "GET /metadata/instance", header: "Accept: application/json" };
        expect_answer(question)?;
    }
    Ok(builder)
}

/// Removes the last '/' from the address of the authority. AKS injects the address with it, and object_store would
/// double it (Azure Workload Identity: "Mutating Admission Webhook", AZURE_AUTHORITY_HOST).
fn with_plain_authority(builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
    match builder.get_config_value(&AzureConfigKey::AuthorityHost) {
        Some(host) if host.ends_with('/') => builder.with_authority_host(host.trim_end_matches('/')),
        _ => builder,
    }
}

/// Returns whether object_store would use the managed identity of the machine, in the order of its
/// `resolve_credential_auto`.
fn asks_metadata(builder: &MicrosoftAzureBuilder) -> bool {
    use AzureConfigKey as Key;
    let has = |key: Key| builder.get_config_value(&key).is_some_and(|value| !value.is_empty());
    let on = |key: Key| builder.get_config_value(&key).is_some_and(|value| is_on(&value));
    if on(Key::UseEmulator) || on(Key::SkipSignature) {
        return false;
    }
    match builder.get_config_value(&Key::CredentialType).as_deref() {
        None | Some("auto") => {}
        Some(named) => return named == "managed_identity",
    }
    let application = has(Key::ClientId) && has(Key::AuthorityId);
    let has_own = has(Key::Token)
        || has(Key::AccessKey)
        || has(Key::SasKey)
        || has(Key::FabricTokenServiceUrl)
        || on(Key::UseAzureCli)
        || (application && (has(Key::FederatedTokenFile) || has(Key::ClientSecret)));
    !has_own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(settings: &[(AzureConfigKey, &str)]) -> bool {
        let with =
            |builder: MicrosoftAzureBuilder, (key, value): &(AzureConfigKey, &str)| builder.with_config(*key, *value);
        asks_metadata(&settings.iter().fold(MicrosoftAzureBuilder::new(), with))
    }

    #[test]
    fn the_metadata_service_is_the_last_resort() {
        use AzureConfigKey as Key;
        assert!(asks(&[]));
        assert!(asks(&[(Key::ClientId, "c"), (Key::UseAzureCli, "false")]));
        assert!(!asks(&[(Key::AccessKey, "k")]));
        assert!(!asks(&[(Key::ClientId, "c"), (Key::AuthorityId, "t"), (Key::FederatedTokenFile, "/f")]));
        assert!(asks(&[(Key::AccessKey, "k"), (Key::CredentialType, "managed_identity")]));
        assert!(!asks(&[(Key::UseEmulator, "true")]));
    }

    #[test]
    fn the_authority_loses_its_last_slash() {
        let builder = MicrosoftAzureBuilder::new().with_authority_host("https://login.microsoftonline.com/");
        let host = with_plain_authority(builder).get_config_value(&AzureConfigKey::AuthorityHost);
        assert_eq!(host.as_deref(), Some("https://login.microsoftonline.com"));
    }
}
