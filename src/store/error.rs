//! Errors of a store, and the next step for each.

use std::io;
use std::time::Duration;

use super::credentials::CredentialsError;
use super::remote::http_error::HttpError;
use super::remote::object_error::ObjectError;
use crate::base::deadline::Stopped;
use crate::base::waiting::MORE_THREADS;

/// Settings that cannot work, whatever the store answers.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `key` is the name of a setting or of a vendor's variable.
    #[error("{key} {why}")]
    Value { key: String, why: String },
    #[error("{scheme}:// needs a region, such as {example}, or an endpoint")]
    Region { scheme: &'static str, example: &'static str },
    #[error("cannot use the CA file {path}")]
    CaFile { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the store's settings do not suffice")]
    Client { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the store's encryption is not possible: {0}")]
    Encryption(&'static str),
    #[error("cname means that the endpoint's host is the domain of an s3, oss or obs bucket, and not in its path")]
    Cname,
    #[error("this store signs no URLs with these credentials")]
    NoSignature,
    #[error("no access_key_id and secret_access_key for this store")]
    NoCredentials,
    #[error("this store has no HTTP client")]
    NotRemote,
    #[error("nothing can be read from standard output or a signed URL")]
    NotReadable,
}

impl SettingsError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoCredentials => {
                "give both where the store is named: JMAP_DUMP_ACCESS_KEY_ID and JMAP_DUMP_SECRET_ACCESS_KEY, \
                 or access_key_id and secret_access_key in the settings file"
            }
            Self::Region { .. } => "give one of them: --region REGION, or --endpoint URL",
            Self::NoSignature => "sign with a key: access_key_id, account_key, or the file of a service account",
            Self::NotReadable => "name the bucket or the directory itself with --store, and its key where it has one",
            _ => "correct the store's settings (see --help, 'Stores')",
        }
    }
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("cannot {what} {url}")]
    Remote { what: &'static str, url: String, source: ObjectError },
    #[error("cannot {what} {path}")]
    Local { what: &'static str, path: String, source: io::Error },
    #[error("{url} has {there} bytes in the store instead of {expected}")]
    SizeDiffers { url: String, there: u64, expected: u64 },
    #[error(transparent)]
    Http(HttpError),
    #[error("{url} gave no answer within {} s", after.as_secs())]
    Silent { url: String, after: Duration },
    #[error("cannot put {path} in order: it holds the dump with its head behind its heap")]
    Unsorted { path: String, source: io::Error },
    #[error("cannot read the compressed dump back")]
    Spool(#[source] io::Error),
    #[error("the reader of standard output has taken nothing for {seconds} s")]
    Reader { seconds: u64 },
    #[error("no such key: {url}")]
    NoKey { url: String },
    #[error("{url} is a prefix of keys, and no key")]
    Prefix { url: String },
    #[error("'{shown}' is no key of an object: {why}")]
    Key { shown: String, why: &'static str },
    #[error("{url} has answered with {got} bytes instead of {asked}")]
    Short { url: String, asked: u64, got: u64 },
    #[error("{url}: {what} that the store tells is too long")]
    LongAnswer { url: String, what: &'static str },
    #[error("the listing of {url} has more than {max} bytes of keys")]
    LongListing { url: String, max: usize },
    #[error("{key} is no receipt")]
    Receipt { key: String, source: serde_json::Error },
    #[error("{url} is there already, and this run did not write its object")]
    Beside { url: String },
    #[error("a thread that sends cannot be started")]
    NoThread(#[source] io::Error),
    #[error("the store's client ended without an answer")]
    ClientEnded,
    #[error("the store's client has panicked: {0}")]
    Panicked(String),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl StoreError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Settings(error) => error.hint(),
            Self::Credentials(error) => error.hint(),
            Self::Remote { url, source, .. } => remote_hint(url.split("://").next().unwrap_or_default(), source),
            Self::Unsorted { .. } => "make room there; it cannot be uploaded as it is",
            Self::Local { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room there; or name another store with --store"
            }
            Self::Local { what: "find" | "read" | "list", .. } => {
                "see that it is there, and that this user may read it; or name another store with --store"
            }
            Self::Local { .. } => "make the directory writable for this user; or name another store with --store",
            Self::Http(error) => error.hint(),
            Self::Silent { .. } => "check the endpoint, the network policy and the proxy; --store names another store",
            Self::SizeDiffers { .. } => "do not use that object; upload the dump again",
            Self::Reader { .. } => "see that the other end still reads; --reader-timeout waits longer",
            Self::Spool(_) => "look into the state of the file system that holds it",
            Self::Key { .. } | Self::NoKey { .. } | Self::Prefix { .. } => "take one that 'list' shows",
            Self::Short { .. } => "try it again; if that does not help, the object has changed or is damaged",
            Self::LongAnswer { .. } => "check the endpoint: something else than a store answers there",
            Self::LongListing { .. } => "name an app and an environment as well",
            Self::Receipt { .. } => "put it right, or remove it: an object without a receipt is fetched unchecked",
            Self::Beside { .. } => "look at it: it stays as it is",
            Self::NoThread(_) => MORE_THREADS,
            Self::ClientEnded | Self::Panicked(_) => "report this with the output of -v",
            Self::Stopped(_) => "give more time with --deadline",
        }
    }
}

impl StoreError {
    /// Returns whether the store no longer knows a multipart upload or one of its parts (AWS: "Error responses",
    /// NoSuchUpload and InvalidPart; other stores answer that it is forbidden).
    pub fn is_of_lost_upload(&self) -> bool {
        let Self::Remote { source, .. } = self else { return false };
        source.is_not_found() || source.is_forbidden() || source.code() == Some("InvalidPart")
    }
}

fn remote_hint(scheme: &str, error: &ObjectError) -> &'static str {
    // Codes of AWS ("Error responses"). The other stores use the same ones.
    match error.code() {
        Some("RequestTimeTooSkewed" | "RequestExpired") => {
            "set this machine's clock: the store takes no request that is minutes off"
        }
        Some("ExpiredToken" | "TokenRefreshRequired" | "InvalidToken") => {
            "get new credentials: the session token has ended"
        }
        // Alibaba Cloud: "Access OSS via endpoints and bucket domains", for users that are new since 2025-03-20.
        Some("PublicEndpointForbidden") => {
            "give --endpoint the internal endpoint of OSS, or use the bucket's own domain: cname = true"
        }
        _ if error.names_place() => "give the region or the endpoint that the store names: --region, --endpoint",
        Some("AuthorizationHeaderMalformed") => "check the region: requests are signed for it",
        _ if error.is_forbidden() || error.is_of_a_stranger() => credentials_hint(scheme),
        _ if error.is_not_found() => place_hint(scheme),
        _ => "check the endpoint, the network policy and the proxy; --store names another store",
    }
}

/// Returns a hint with the store's own names of credentials.
fn credentials_hint(scheme: &str) -> &'static str {
    match scheme {
        "az" => "check the account, its key and its rights: putting objects below the prefix must be allowed",
        "gs" => "check the service account and its rights: putting objects below the prefix must be allowed",
        "http" | "https" => "check the user and the password, and their rights below the store's URL",
        _ => "check the access key, its secret and its rights: putting objects below the prefix must be allowed",
    }
}

/// Returns a hint with the store's own name of a bucket.
fn place_hint(scheme: &str) -> &'static str {
    match scheme {
        "az" => "check the container's name, the account and the endpoint",
        "gs" => "check the bucket's name and the endpoint",
        "http" | "https" => "check the URL",
        _ => "check the bucket's name, the region and the endpoint",
    }
}
