//! Reasons why there are no credentials. No error contains a secret. Errors may contain the addresses of token
//! services.

use std::io;

/// An error that was found before any request.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("there are no credentials: none are set, and nobody answers at {address}, where {cloud} gives them")]
    NoMetadata { cloud: &'static str, address: String },
    #[error("'{0}' is no address of a metadata service")]
    Address(String),
    #[error("there is no profile '{profile}' in {paths}")]
    NoProfile { profile: String, paths: String },
    #[error("the profile '{profile}' takes its credentials from {what}, which this program cannot do")]
    Profile { profile: String, what: &'static str },
    #[error("{path} takes its credentials from {what}, which this program cannot do")]
    AccountFile { path: String, what: String },
    #[error("{path} describes no credentials: {why}")]
    AccountSyntax { path: String, why: String },
    #[error(transparent)]
    Endpoint(crate::store::SettingsError),
    #[error("{0} is set, and without {1} it says nothing")]
    Half(&'static str, &'static str),
}

impl CredentialsError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoMetadata { .. } => {
                "give the store's credentials (see --help, 'Stores'), or this workload an identity: a role for its \
                 service account, a key in a secret"
            }
            Self::Endpoint(error) => error.hint(),
            Self::Address(_) | Self::Half(..) => "correct the variable",
            Self::NoProfile { .. } => "correct AWS_PROFILE, or mount the file with that profile",
            Self::Profile { .. } => {
                "put temporary keys into the environment: eval \"$(aws configure export-credentials --format env)\""
            }
            Self::AccountFile { .. } | Self::AccountSyntax { .. } => {
                "use the file of a service account's key, or one of workload identity federation with a file or a URL"
            }
        }
    }
}

/// The error of a token service that gave no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("cannot read the token in {path}")]
    File { path: String, source: io::Error },
    #[error("there is no token in {path}")]
    NoToken { path: String },
    #[error("the token service {url} does not answer")]
    Silent { url: String, source: reqwest::Error },
    #[error("the token service {url} refuses with {status}{why}")]
    Refused { url: String, status: u16, why: String },
    #[error("the token service of {store} gives a token that no header can hold")]
    Odd { store: String },
    #[error("the token service {url} gives an answer that cannot be understood")]
    Answer { url: String },
}

impl TokenError {
    /// Returns whether another try may succeed.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            Self::File { .. } | Self::NoToken { .. } | Self::Odd { .. } | Self::Answer { .. } => false,
        }
    }

    /// Converts the error for object_store. A final refusal becomes `Unauthenticated`: the store does not know this
    /// identity.
    pub fn into_store_error(self, store: &'static str) -> object_store::Error {
        match self {
            error @ Self::Refused { .. } if !error.may_pass() => {
                object_store::Error::Unauthenticated { path: "the token service".into(), source: error.into() }
            }
            error => object_store::Error::Generic { store, source: error.into() },
        }
    }
}
