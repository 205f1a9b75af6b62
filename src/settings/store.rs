//! Reads the settings of the store from all sources.

use std::time::Duration;

use super::UsageError;
use super::layers::{Layers, Origin};
use super::policy::Policy;
use super::values::{boolean, choice, duration};
use crate::base::sys::{self, Standard};
use crate::store::url::StoreUrl;
use crate::store::{Encryption, READER_TIMEOUT, StoreSettings};

const ENCRYPTIONS: &[(&str, Encryption)] =
    &[("sse", Encryption::Store), ("sse-kms", Encryption::Kms), ("dsse-kms", Encryption::DoubleKms)];

/// Checks that standard output can take a dump. If it was closed, Rust has opened /dev/null for it: the dump would be
/// lost.
pub(super) fn stdout_takes_a_dump() -> Result<(), UsageError> {
    let out = std::io::stdout();
    let mode = rustix::fs::fcntl_getfl(&out).map(|flags| flags & rustix::fs::OFlags::RWMODE);
    if sys::was_closed(Standard::Output) {
        Err(UsageError::Closed { what: "standard output" })
    } else if mode.is_ok_and(|mode| mode == rustix::fs::OFlags::RDONLY) {
        Err(UsageError::ReadOnly)
    } else if std::io::IsTerminal::is_terminal(&out) {
        Err(UsageError::Terminal)
    } else {
        Ok(())
    }
}

/// Reads the settings of a store for a command that puts something there.
pub(super) fn store_to_write(layers: &Layers, policy: &Policy) -> Result<StoreSettings, UsageError> {
    let (store, own) = read(layers, policy)?;
    let store = StoreSettings {
        encryption: own.parse("encryption", |text| choice(text, ENCRYPTIONS))?,
        kms_key_id: own.get("kms_key_id").map(|value| value.text.trim().to_owned()),
        reader_timeout: layers.parse("reader_timeout", duration)?.unwrap_or(READER_TIMEOUT),
        ..store
    };
    store.check()?;
    Ok(store)
}

/// Reads the settings of a store for a command that puts nothing there: no encryption, and no reader of a dump.
pub(super) fn store(layers: &Layers, policy: &Policy) -> Result<StoreSettings, UsageError> {
    let (store, _) = read(layers, policy)?;
    store.check()?;
    Ok(store)
}

/// Reads the settings of the store. They count only from the source that named the store, or from a stronger one.
/// Otherwise a key for another store, or a key of the application, could be sent to this store. Also returns these
/// sources.
fn read(layers: &Layers, policy: &Policy) -> Result<(StoreSettings, Layers), UsageError> {
    let named = layers.get("store").ok_or(UsageError::NoStore)?;
    let url =
        StoreUrl::parse(&named.text).map_err(|source| UsageError::Store { origin: named.origin.clone(), source })?;
    let own = layers.down_to(&named.origin);
    let text = |key: &str| own.get(key).map(|value| value.text.trim().to_owned());
    let secret = |key: &str| own.secret(key);
    let access_key_id = secret("access_key_id")?;
    let secret_access_key = secret("secret_access_key")?;
    if access_key_id.is_some() != secret_access_key.is_some() {
        return Err(UsageError::HalfAKey);
    }
    let account_key = secret("account_key")?;
    if url.is_presigned() && named.origin == Origin::Flag {
        log::warn!(
            "the store's signature is on the command line, which every process here can read: rather set JMAP_DUMP_STORE"
        );
    }
    let password = secret("password")?;
    let is_signed = url.is_presigned();
    let has_credentials = is_signed
        || password.is_some()
        || access_key_id.is_some()
        || account_key.is_some()
        || own.get("service_account_file").is_some();
    let settings = StoreSettings {
        endpoint: text("endpoint"),
        region: text("region"),
        path_style: own.parse("path_style", boolean)?,
        access_key_id,
        secret_access_key,
        session_token: secret("session_token")?,
        account: text("account"),
        account_key,
        username: text("username"),
        password,
        service_account_file: text("service_account_file"),
        cname: own.parse("cname", boolean)?.unwrap_or(false),
        proxy: text("proxy"),
        ca_file: text("ca_file"),
        config: match &named.origin {
            Origin::Config(path) => Some(path.clone()),
            _ => None,
        },
        by_hand: named.origin.is_by_hand(),
        vendor_environment: named.origin.is_by_hand() && !has_credentials,
        retry_for: layers.parse("retry_for", duration)?.unwrap_or(Duration::from_secs(180)),
        ..StoreSettings::of(url)
    };
    let settings = policy.store(settings, &named.origin)?;
    Ok((settings, own))
}
