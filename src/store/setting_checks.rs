//! Checks settings that cannot become a URL or a header. object_store would panic at them, or sign a link that nobody
//! can use. Every verb runs these checks once, before any client exists.

use http::Uri;
use reqwest::{Proxy, Url};

use super::credentials::Environment;
use super::remote::client::proxy_variables;
use super::settings::{Secret, StoreSettings};
use super::url::{Vendor, path_of};
use super::vendor_variables::check_environment;
use super::{SettingsError, encryption};

/// Longest endpoint in bytes. With the rest, it must fit into a URL of 64 KiB (http: `Uri`).
const ENDPOINT_MAX: usize = 2048;

/// Longest secret in bytes. Session tokens have 1 to 4 kB, and a header at most about 400 kB.
const SECRET_MAX: usize = 16 << 10;

/// Longest region, account or similar name in bytes.
const NAME_MAX: usize = 255;

/// Longest label of a host in bytes (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// Checks all settings of a store.
///
/// # Errors
/// When a setting cannot work, whatever the store answers.
pub fn check(settings: &StoreSettings) -> Result<(), SettingsError> {
    encryption::check(settings)?;
    let in_host = match settings.url.vendor() {
        Some(Vendor::S3 | Vendor::Oss | Vendor::Obs) => true,
        Some(Vendor::Gs | Vendor::Az) | None => false,
    };
    if settings.cname && (!in_host || settings.endpoint.is_none() || settings.path_style == Some(true)) {
        return Err(SettingsError::Cname);
    }
    check_texts(settings)?;
    if settings.vendor_environment {
        check_environment(settings, &Environment::of_process())?;
    }
    if let Some(endpoint) = &settings.endpoint {
        if let Some(bucket) =
            settings.url.bucket().map(|bucket| bucket.name).filter(|bucket| stands_twice(settings, endpoint, bucket))
        {
            log::warn!(
                "the bucket {bucket} stands in the endpoint {endpoint} and in the store's URL: objects would lie below \
                 {bucket}/ in it; leave it out of the endpoint"
            );
        }
    } else if settings.url.vendor() == Some(Vendor::S3) && settings.region.is_none() && !settings.vendor_environment {
        return Err(SettingsError::Region { scheme: "s3", example: "us-east-1" });
    }
    Ok(())
}

fn check_texts(settings: &StoreSettings) -> Result<(), SettingsError> {
    if let Some(text) = &settings.endpoint {
        endpoint("endpoint", text)?;
    }
    for (key, text) in [("region", &settings.region), ("account", &settings.account)] {
        text.as_deref().map_or(Ok(()), |text| name(key, text))?;
    }
    let secrets = [
        ("access_key_id", &settings.access_key_id),
        ("secret_access_key", &settings.secret_access_key),
        ("session_token", &settings.session_token),
        ("account_key", &settings.account_key),
    ];
    for (key, secret) in secrets {
        secret.as_ref().map(Secret::reveal).map_or(Ok(()), |text| header(key, text))?;
    }
    settings.kms_key_id.as_deref().map_or(Ok(()), |text| header("kms_key_id", text))?;
    if settings.username.as_ref().is_some_and(|user| user.chars().any(char::is_control)) {
        return Err(error("username", None, "holds a control character"));
    }
    match &settings.proxy {
        Some(text) => proxy("proxy", text),
        None if settings.vendor_environment => {
            proxy_variables().iter().try_for_each(|(name, value)| proxy(name, value))
        }
        None => Ok(()),
    }
}

/// Checks a proxy. The client would silently bypass a proxy with an unknown scheme.
fn proxy(key: &str, text: &str) -> Result<(), SettingsError> {
    // The URL may contain a password.
    let wrong = |why: &str| Err(error(key, None, why));
    let scheme = text.split_once("://").map_or("http", |(scheme, _)| scheme);
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return wrong("is a proxy of another kind than http:// and https://");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) || Proxy::all(text).is_err() {
        return wrong("is no URL of a proxy that can be used");
    }
    Ok(())
}

/// Checks a URL that becomes a part of longer URLs.
///
/// # Errors
/// When no request could be sent there. The error names the key.
pub fn endpoint(key: &str, text: &str) -> Result<(), SettingsError> {
    let wrong = |why: &str| Err(error(key, Some(text), why));
    // The characters of a URL (RFC 3986, section 2), without '?' and '#'.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/[]@%!$&'()*+,;=".contains(&byte);
    if text.len() > ENDPOINT_MAX {
        return wrong("is longer than 2048 bytes");
    }
    if !text.contains("://") {
        return wrong("has no scheme such as https://");
    }
    if !text.bytes().all(is_plain) {
        return wrong("holds a blank, a query or another character that no host and no path has");
    }
    match Url::parse(text) {
        Err(why) => wrong(&format!("is no URL: {why}")),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => wrong("is neither http:// nor https://"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => Err(error(key, None, "holds a user")),
        Ok(url) if !url.has_host() => wrong("names no host"),
        Ok(url) => {
            let (_, rest) = text.split_once("://").unwrap_or_default();
            let host = rest.split('/').next().unwrap_or_default();
            // object_store panics at it, because it does not decode a host as a URL parser does.
            if host.contains('%') {
                return wrong("has a '%' in its host");
            }
            if let Some(domain) = url.domain()
                && !is_host(domain.strip_suffix('.').unwrap_or(domain))
            {
                return wrong("names no host that can be looked up");
            }
            text.parse::<Uri>().map_or_else(|why| wrong(&format!("is no URL: {why}")), |_| Ok(()))
        }
    }
}

/// Returns whether all labels consist of letters, digits, '-' and '_', which some hosts use.
fn is_host(domain: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    domain.split('.').all(|label| {
        let is_cut = label.is_empty() || label.starts_with('-') || label.ends_with('-');
        !is_cut && label.len() <= LABEL_MAX && label.bytes().all(is_plain)
    })
}

pub(super) fn name(key: &str, text: &str) -> Result<(), SettingsError> {
    // The name becomes a part of a host.
    if text.len() > NAME_MAX || !is_host(text) {
        return Err(error(key, Some(text), "is no name of letters, digits, '-', '_' and '.' that a host can have"));
    }
    Ok(())
}

/// Checks a value that becomes a header unchanged.
///
/// # Errors
/// The error names only the key, because the value may be a secret.
pub fn header(key: &str, text: &str) -> Result<(), SettingsError> {
    if text.len() > SECRET_MAX {
        return Err(error(key, None, "is longer than 16 KiB"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(error(key, None, "holds a blank, a line end or another character that no key has"));
    }
    Ok(())
}

/// Returns an error. A secret must not be passed as `text`, which is shown.
pub(super) fn error(key: &str, text: Option<&str>, why: &str) -> SettingsError {
    let shown = |text: &str| text.chars().take(80).flat_map(char::escape_debug).collect::<String>();
    let said = text.map(|text| format!(" = '{}'", shown(text))).unwrap_or_default();
    SettingsError::Value { key: format!("{key}{said}"), why: why.to_owned() }
}

/// Returns whether the endpoint contains the bucket, although the client adds it to the path, too.
fn stands_twice(settings: &StoreSettings, endpoint: &str, bucket: &str) -> bool {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let by_path = match settings.url.vendor() {
        Some(Vendor::S3) => settings.path_style.unwrap_or(!settings.cname),
        Some(Vendor::Oss | Vendor::Obs) => settings.path_style.unwrap_or(false),
        Some(Vendor::Gs | Vendor::Az) | None => true,
    };
    let in_path = path_of(endpoint).split('/').any(|name| name == bucket);
    let is_account = settings.account.as_deref() == Some(bucket);
    let in_host = host.to_ascii_lowercase().starts_with(&format!("{}.", bucket.to_ascii_lowercase()));
    (by_path && in_host) || (in_path && !is_account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::url::StoreUrl;

    fn of(url: &str) -> StoreSettings {
        StoreSettings { region: Some("r".into()), ..StoreSettings::of(StoreUrl::parse(url).unwrap()) }
    }

    #[test]
    fn endpoint_that_is_no_url_is_refused_with_its_key() {
        for bad in [
            "https://",
            "http://h:99999",
            "http://h:x",
            "http:// h",
            "http://h/a b",
            "h.example.com",
            "ftp://h",
            "http://u:word@h",
            "http://h?x=1",
            "http://h#x",
            "http://h\n",
            "http://münchen",
            "http://[::1",
            "",
            &format!("http://{}", "h".repeat(3000)),
        ] {
            for url in ["s3://b", "oss://b", "obs://b", "gs://b", "az://c"] {
                for path_style in [None, Some(true)] {
                    let settings = StoreSettings { endpoint: Some(bad.into()), path_style, ..of(url) };
                    let told = check(&settings).unwrap_err().to_string();
                    assert!(told.contains("endpoint") && !told.contains("word"), "{url} {bad}: {told}");
                }
            }
        }
        for good in
            ["https://h", "http://h:9000/", "http://127.0.0.1:1/devstoreaccount1", "http://[::1]:9000", "https://a_b.c"]
        {
            assert!(endpoint("endpoint", good).is_ok(), "{good}");
        }
    }

    #[test]
    fn text_that_no_header_can_hold_is_refused_with_its_key_alone() {
        let secret = |text: &str| Some(Secret::new(text));
        for bad in ["a\nb", "a\tb", "a b", "ä", "a\u{7f}", "a\0b"] {
            for (key, settings) in [
                ("access_key_id", StoreSettings { access_key_id: secret(bad), ..of("s3://b") }),
                ("secret_access_key", StoreSettings { secret_access_key: secret(bad), ..of("s3://b") }),
                ("session_token", StoreSettings { session_token: secret(bad), ..of("oss://b") }),
                ("account_key", StoreSettings { account_key: secret(bad), ..of("az://c") }),
                ("kms_key_id", StoreSettings { kms_key_id: Some(bad.into()), ..of("s3://b") }),
                ("region", StoreSettings { region: Some(bad.into()), ..of("s3://b") }),
                ("account", StoreSettings { account: Some(bad.into()), ..of("az://c") }),
                ("proxy", StoreSettings { proxy: Some(format!("http://h{bad} ")), ..of("s3://b") }),
            ] {
                let told = check(&settings).unwrap_err().to_string();
                assert!(told.contains(key), "{key}: {told}");
            }
        }
    }

    #[test]
    fn bucket_in_endpoint_and_path_is_found() {
        let twice = |url: &str, endpoint: &str, path_style| {
            let settings = StoreSettings { path_style, account: Some("acc".into()), ..of(url) };
            stands_twice(&settings, endpoint, "b")
        };
        assert!(twice("s3://b", "https://b.s3.eu-west-1.amazonaws.com", None));
        assert!(twice("s3://b", "http://minio:9000/b/", None) && twice("oss://b", "https://h/b", None));
        assert!(!twice("s3://b", "https://b.s3.eu-west-1.amazonaws.com", Some(false)));
        assert!(!twice("oss://b", "https://b.oss-cn-x.aliyuncs.com", None) && !twice("s3://b", "http://h:1", None));
        assert!(!twice("az://b", "http://h/acc", None));
    }

    #[test]
    fn s3_without_region_and_endpoint_is_refused() {
        let bare = || StoreSettings::of(StoreUrl::parse("s3://b").unwrap());
        assert!(matches!(check(&bare()), Err(SettingsError::Region { .. })));
        assert!(check(&StoreSettings { endpoint: Some("http://h".into()), ..bare() }).is_ok());
        assert!(check(&StoreSettings { region: Some("eu-west-1".into()), ..bare() }).is_ok());
    }
}
