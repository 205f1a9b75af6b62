//! A profile in AWS's shared files (AWS SDKs and Tools Reference Guide: "Shared config and credentials files").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::CredentialsError;
use super::ini::{Sections, parse};
use crate::files::regular_file::{TEXT_MAX, is_refused, read_named};
use crate::store::Secret;

/// One profile, merged from both files.
pub struct Profile {
    name: String,
    keys: BTreeMap<String, String>,
}

/// The credentials in a profile.
#[derive(Debug, PartialEq, Eq)]
pub enum ProfileCredentials {
    Keys { id: Secret, secret: Secret, token: Option<Secret> },
    WebIdentity { role_arn: String, token_file: String, session_name: Option<String> },
}

impl Profile {
    /// Returns the profile that AWS_PROFILE names, or else `default`. `None` if no profile was named and there is no
    /// default one.
    ///
    /// # Errors
    /// When the named profile does not exist.
    pub fn find(environment: &Environment) -> Result<Option<Self>, CredentialsError> {
        let named = environment.get("AWS_PROFILE").or_else(|| environment.get("AWS_DEFAULT_PROFILE"));
        let config = file(environment, "AWS_CONFIG_FILE", "config");
        let credentials = file(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let name = named.unwrap_or("default");
        if let Some(keys) = merged(name, &sections(config.as_deref()), &sections(credentials.as_deref())) {
            return Ok(Some(Self { name: name.to_owned(), keys }));
        }
        let Some(name) = named else { return Ok(None) };
        let paths: Vec<String> =
            [config, credentials].iter().flatten().map(|path| path.display().to_string()).collect();
        Err(CredentialsError::NoProfile { profile: name.to_owned(), paths: paths.join(" and ") })
    }

    pub fn region(&self) -> Option<&str> {
        self.get("region")
    }

    /// Returns the credentials of the profile. A role is stronger than keys, as in AWS's own tools: the keys may only
    /// serve to assume it.
    ///
    /// # Errors
    /// When the profile has a source that is not supported.
    pub fn credentials(&self) -> Result<Option<ProfileCredentials>, CredentialsError> {
        let text = |key: &str| self.get(key).map(str::to_owned);
        match (text("role_arn"), text("web_identity_token_file")) {
            (Some(role_arn), Some(token_file)) => {
                let session_name = text("role_session_name");
                return Ok(Some(ProfileCredentials::WebIdentity { role_arn, token_file, session_name }));
            }
            (Some(_), None) => return Err(self.cannot("a role that another profile assumes (role_arn)")),
            (None, _) => {}
        }
        let secret = |key: &str| self.get(key).map(Secret::new);
        if let (Some(id), Some(key)) = (secret("aws_access_key_id"), secret("aws_secret_access_key")) {
            return Ok(Some(ProfileCredentials::Keys { id, secret: key, token: secret("aws_session_token") }));
        }
        let elsewhere = [
            ("sso_session", "IAM Identity Center (sso_session)"),
            ("sso_start_url", "IAM Identity Center (sso_start_url)"),
            ("login_session", "a login with the console's account (login_session)"),
            ("credential_process", "another program (credential_process)"),
        ];
        match elsewhere.into_iter().find(|(key, _)| self.get(key).is_some()) {
            Some((_, what)) => Err(self.cannot(what)),
            None => Ok(None),
        }
    }

    fn cannot(&self, what: &'static str) -> CredentialsError {
        CredentialsError::Profile { profile: self.name.clone(), what }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Prints only the name, because a profile contains secrets.
impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Returns the path in a variable, or else that of the file below the home directory.
fn file(environment: &Environment, variable: &str, name: &str) -> Option<PathBuf> {
    let below_home = || Some(Path::new(environment.get("HOME")?).join(".aws").join(name));
    environment.get(variable).map(PathBuf::from).or_else(below_home)
}

/// Reads the sections of a file. A file that cannot be read counts as empty, because it may belong to the application.
fn sections(path: Option<&Path>) -> Sections {
    let Some(path) = path else { return Sections::new() };
    match read_named(path, TEXT_MAX) {
        Ok(bytes) => parse(&String::from_utf8_lossy(&bytes)),
        // A FIFO, for example, is not a missing file: somebody has put it there. So there is a warning.
        Err(error) if is_refused(&error) => {
            log::warn!("no profiles are read from {}: {error}", path.display());
            Sections::new()
        }
        Err(error) => {
            log::debug!("no profiles in {}: {error}", path.display());
            Sections::new()
        }
    }
}

/// Merges the keys of both files. The credentials file is stronger. In the config file, the word `profile` precedes the
/// name of every profile but the default one.
fn merged(name: &str, config: &Sections, credentials: &Sections) -> Option<BTreeMap<String, String>> {
    let prefixed = config.get(&format!("profile {name}"));
    let in_config = prefixed.or_else(|| config.get(name).filter(|_| name == "default"));
    let in_credentials = credentials.get(name);
    if in_config.is_none() && in_credentials.is_none() {
        return None;
    }
    let both = in_config.into_iter().chain(in_credentials).flatten();
    Some(both.map(|(key, value)| (key.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, config: &str, credentials: &str) -> Option<Profile> {
        let keys = merged(name, &parse(config), &parse(credentials))?;
        Some(Profile { name: name.to_owned(), keys })
    }

    #[test]
    fn keys_come_from_credentials_file_and_region_from_config() {
        let credentials =
            "[dev]\naws_access_key_id = AKIA\naws_secret_access_key = s3cret\naws_session_token = t0ken\n";
        let found =
            profile("dev", "[profile dev]\nregion = eu-west-1\naws_access_key_id = old\n", credentials).unwrap();
        assert_eq!(found.region(), Some("eu-west-1"));
        let Some(ProfileCredentials::Keys { id, secret, token }) = found.credentials().unwrap() else { panic!() };
        assert_eq!((id.reveal(), secret.reveal()), ("AKIA", "s3cret"));
        assert_eq!(token.unwrap().reveal(), "t0ken");
        assert!(!format!("{found:?}").contains("s3cret"));
        assert!(profile("other", "[other]\nregion = x\n", credentials).is_none());
        assert!(profile("default", "[default]\nregion = x\n", "").unwrap().credentials().unwrap().is_none());
    }

    #[test]
    fn role_of_a_web_identity_is_read() {
        let config = "[profile x]\nrole_arn = arn:aws:iam::1:role/r\nweb_identity_token_file = /t\n";
        let Some(ProfileCredentials::WebIdentity { role_arn, token_file, session_name }) =
            profile("x", config, "").unwrap().credentials().unwrap()
        else {
            panic!()
        };
        assert_eq!((role_arn.as_str(), token_file.as_str(), session_name), ("arn:aws:iam::1:role/r", "/t", None));
    }

    #[test]
    fn unsupported_source_of_a_profile_is_named() {
        let cases = [
            ("sso_session = corp\n", "IAM Identity Center"),
            ("credential_process = /bin/x\n", "another program"),
            ("role_arn = r\nsource_profile = default\n", "a role that another profile assumes"),
        ];
        for (keys, expected) in cases {
            let error = profile("x", &format!("[profile x]\n{keys}"), "").unwrap().credentials().unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn named_profile_must_exist_and_default_need_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        assert!(Profile::find(&Environment::from_iter([("HOME", home)])).unwrap().is_none());
        let error = Profile::find(&Environment::from_iter([("HOME", home), ("AWS_PROFILE", "dev")])).unwrap_err();
        assert!(error.to_string().contains(".aws/credentials"), "{error}");
        let named = dir.path().join("elsewhere");
        std::fs::write(&named, "[dev]\nregion = x\n").unwrap();
        let variables = [("AWS_SHARED_CREDENTIALS_FILE", named.to_str().unwrap()), ("AWS_PROFILE", "dev")];
        assert!(Profile::find(&Environment::from_iter(variables)).unwrap().is_some());
    }
}
