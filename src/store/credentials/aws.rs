//! Chooses the credentials of an S3 store. object_store itself reads keys in AWS's variables. This module fetches all
//! credentials that end, so that their end is known.

use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use reqwest::Client;

use super::container::{Authorization, ContainerSource};
use super::environment::Environment;
use super::error::CredentialsError;
use super::instance::MachineSource;
use super::metadata::{Service, expect_answer};
use super::profile::{Profile, ProfileCredentials};
use super::refreshed::{Ends, Refreshed, TokenSource};
use super::web_identity::WebIdentitySource;
use crate::store::{Secret, SettingsError, StoreError, StoreSettings, setting_checks};

/// Address of EC2's metadata service (AWS: "Instance metadata and user data").
const METADATA: &str = "http://169.254.169.254";

/// Address of the credentials of an ECS task (AWS: "Task IAM role").
const TASK_METADATA: &str = "http://169.254.170.2";

/// A source of credentials other than our own settings.
#[derive(Debug)]
enum Source {
    /// A key in the variables, or no signature wanted.
    Variables,
    /// Variables that name a role and a token. STS exchanges the token.
    WebIdentity,
    Profile(ProfileCredentials),
    /// A URL that gives credentials. ECS gives one to a task, and EKS Pod Identity to a pod.
    Container {
        url: String,
        authorization: Authorization,
    },
    Metadata,
}

/// A builder. The second value tells when its credentials end, if they end.
pub type Equipped = (AmazonS3Builder, Option<Arc<dyn Ends>>);

/// Adds the credentials that AWS's own tools would use, unless our settings have a key.
///
/// # Errors
/// When there are none, or they come from a source that is not supported.
pub fn with_credentials(
    builder: AmazonS3Builder,
    settings: &StoreSettings,
    client: Client,
) -> Result<Equipped, StoreError> {
    if settings.access_key_id.is_some() {
        return Ok((builder, None));
    }
    let environment = if settings.vendor_environment { Environment::of_process() } else { Environment::default() };
    let key_is_there = environment.get("AWS_ACCESS_KEY_ID").is_some();
    let profile = if key_is_there { Ok(None) } else { Profile::find(&environment) };
    let builder = match &profile {
        Ok(Some(profile)) => with_region(builder, profile.region()),
        _ => builder,
    };
    match source(&environment, profile)? {
        Source::Variables => Ok((builder, None)),
        Source::WebIdentity => Ok(with_web_identity(builder, client)),
        Source::Profile(credentials) => with_profile(builder, credentials, client),
        Source::Container { url, authorization } => {
            expect_answer(container(&url))?;
            Ok(leased(builder, ContainerSource { url, authorization, client }))
        }
        Source::Metadata => Ok(leased(builder, machine(settings, &environment, client)?)),
    }
}

fn leased<S: TokenSource<Credential = AwsCredential>>(builder: AmazonS3Builder, source: S) -> Equipped {
    let refreshed = Arc::new(Refreshed::new(source));
    (builder.with_credentials(refreshed.clone()), Some(refreshed))
}

/// Adds the role that the builder's own configuration names.
fn with_web_identity(builder: AmazonS3Builder, client: Client) -> Equipped {
    match WebIdentitySource::of(&builder, client) {
        Some(source) => leased(builder, source),
        None => (builder, None),
    }
}

/// Returns a question to the container's agent, to see whether it answers. The path `/` gives no credentials.
fn container(url: &str) -> Service<'_> {
    Service { cloud: "the container's agent", url, question: "GET /", header: "Accept: application/json" }
}

/// Returns the source of credentials, in the order of AWS's own tools (AWS SDK for Java 2.x: "Default credentials
/// provider chain").
fn source(
    environment: &Environment,
    profile: Result<Option<Profile>, CredentialsError>,
) -> Result<Source, CredentialsError> {
    let get = |name: &str| environment.get(name);
    if get("AWS_ACCESS_KEY_ID").is_some() || environment.is_on("AWS_SKIP_SIGNATURE") {
        return Ok(Source::Variables);
    }
    if get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        let role = get("AWS_ROLE_ARN").ok_or(CredentialsError::Half("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"))?;
        log::debug!("credentials of {role} by the web identity in AWS_WEB_IDENTITY_TOKEN_FILE");
        return Ok(Source::WebIdentity);
    }
    if let Some(profile) = profile?
        && let Some(credentials) = profile.credentials()?
    {
        log::debug!("credentials of {profile:?}");
        return Ok(Source::Profile(credentials));
    }
    if let Some(path) = get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let url = format!("{TASK_METADATA}{path}");
        return Ok(Source::Container { url, authorization: Authorization::Nothing });
    }
    let Some(url) = get("AWS_CONTAINER_CREDENTIALS_FULL_URI") else { return Ok(Source::Metadata) };
    let file = get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(|path| Authorization::File(path.to_owned()));
    let value = || get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(|token| Authorization::Value(Secret::new(token)));
    Ok(Source::Container { url: url.to_owned(), authorization: file.or_else(value).unwrap_or(Authorization::Nothing) })
}

/// Adds the region of a profile. A region in our settings or in the variables is stronger.
fn with_region(builder: AmazonS3Builder, region: Option<&str>) -> AmazonS3Builder {
    match region {
        Some(region) if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() => builder.with_region(region),
        _ => builder,
    }
}

fn with_profile(
    builder: AmazonS3Builder,
    credentials: ProfileCredentials,
    client: Client,
) -> Result<Equipped, StoreError> {
    Ok(match credentials {
        ProfileCredentials::Keys { id, secret, token } => {
            for (key, text) in [("aws_access_key_id", Some(&id)), ("aws_session_token", token.as_ref())] {
                text.map(Secret::reveal).map_or(Ok(()), |text| setting_checks::header(key, text))?;
            }
            // The builder's own setters would keep a session token of the variables, which belongs to another key.
            let token = token.map(|token| token.reveal().to_owned());
            let credential =
                AwsCredential { key_id: id.reveal().to_owned(), secret_key: secret.reveal().to_owned(), token };
            (builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential))), None)
        }
        ProfileCredentials::WebIdentity { role_arn, token_file, session_name } => {
            let builder = builder
                .with_config(AmazonS3ConfigKey::RoleArn, role_arn)
                .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file);
            let builder = match session_name {
                Some(name) => builder.with_config(AmazonS3ConfigKey::RoleSessionName, name),
                None => builder,
            };
            with_web_identity(builder, client)
        }
    })
}

/// Returns the role of the machine. A store that is only compatible with S3 does not know such roles. For it, the
/// address of the metadata service must be set.
fn machine(settings: &StoreSettings, environment: &Environment, client: Client) -> Result<MachineSource, StoreError> {
    let named = environment.get("AWS_METADATA_ENDPOINT");
    // The variable of AWS's own tools (AWS SDKs and Tools Reference Guide: "IMDS credential provider").
    let named = named.or_else(|| environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"));
    let elsewhere = settings.endpoint.is_some() && named.is_none();
    if elsewhere || environment.is_on("AWS_EC2_METADATA_DISABLED") {
        return Err(SettingsError::NoCredentials.into());
    }
    let url = named.unwrap_or(METADATA).trim_end_matches('/');
    expect_answer(Service {
        cloud: "Amazon EC2",
        url,
        question: "PUT /latest/api/token",
        header: "X-aws-ec2-metadata-token-ttl-seconds: 1",
    })?;
    // The variable of object_store.
    let falls_back = environment.is_on("AWS_IMDSV1_FALLBACK");
    Ok(MachineSource { url: url.to_owned(), falls_back, client })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Source, CredentialsError> {
        let environment = Environment::from_iter(variables.iter().copied());
        let profile = Profile::find(&environment);
        source(&environment, profile)
    }

    #[test]
    fn sources_have_the_order_of_aws_tools() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let keys = "[default]\naws_access_key_id=a\naws_secret_access_key=b\n";
        std::fs::write(home.path().join(".aws/credentials"), keys).unwrap();
        let home = home.path().to_str().unwrap();
        let all = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t"),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"),
            ("HOME", home),
            ("AWS_ROLE_ARN", "arn"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
            ("AWS_ACCESS_KEY_ID", "id"),
        ];
        assert!(matches!(of(&all[..0]), Ok(Source::Metadata)));
        assert!(matches!(of(&all[..1]), Ok(Source::Container { authorization: Authorization::Nothing, .. })));
        assert!(matches!(of(&all[..2]), Ok(Source::Container { authorization: Authorization::File(_), .. })));
        let Ok(Source::Container { url, .. }) = of(&all[..3]) else { panic!() };
        assert_eq!(url, "http://169.254.170.2/x");
        assert!(matches!(of(&all[..5]), Ok(Source::Profile(ProfileCredentials::Keys { .. }))));
        assert!(matches!(of(&all[..6]), Ok(Source::WebIdentity)));
        assert!(matches!(of(&all), Ok(Source::Variables)));
    }

    #[test]
    fn a_token_without_a_role_is_an_error() {
        assert!(matches!(of(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/t")]), Err(CredentialsError::Half(..))));
    }
}
