//! Parses the text of `--store`. No I/O.

use object_store::path::Path as Location;
use reqwest::Url;

use super::{StoreUrl, path_of};
use crate::store::settings::Secret;

/// Longest store URL in bytes. A key adds up to 600 bytes.
const STORE_MAX: usize = 2048;

/// Longest signed URL in bytes. One with a session token has about 2 kB.
const SIGNED_MAX: usize = 16 << 10;

/// The text names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    #[error("the store is empty")]
    Empty,
    #[error("the store {0} begins with a quotation mark")]
    Quoted(String),
    #[error("the store '{0}' names no bucket")]
    NoBucket(String),
    #[error("the store '{0}' is neither a URL nor a path that begins with '/' or '.'")]
    NoScheme(String),
    #[error("the store's URL cannot be understood")]
    Url,
    #[error("unknown store scheme '{0}://'; known are s3, oss, obs, gs, az, https and file")]
    Scheme(String),
    #[error("the store's URL holds '{0}', which has no meaning here")]
    Extra(char),
    #[error("the store's prefix holds the segment '{0}'")]
    Segment(String),
    #[error("the bucket's name '{0}' holds something other than letters, digits, '.', '-', '_' and '$'")]
    Bucket(String),
    #[error("the store holds a control character")]
    Control,
    #[error("the store is longer than {STORE_MAX} bytes, or {SIGNED_MAX} with a signature")]
    TooLong,
}

impl StoreUrlError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Quoted(_) => {
                "leave it out: a shell takes quotation marks away, a file or a manifest leaves them there"
            }
            Self::Bucket(name) if name.contains(':') => {
                "a server of your own is the endpoint: --store s3://BUCKET/PREFIX --endpoint https://HOST:PORT"
            }
            Self::Extra('@') => {
                "credentials are never in the URL: JMAP_DUMP_ACCESS_KEY_ID, or JMAP_DUMP_PASSWORD, has them"
            }
            _ => "name a store such as s3://BUCKET/PREFIX, /DIR or - (see --help, 'Stores')",
        }
    }
}

impl StoreUrl {
    /// Parses the text of `--store`.
    ///
    /// # Errors
    /// When the text names no known store.
    pub fn parse(text: &str) -> Result<Self, StoreUrlError> {
        let text = text.trim();
        match text.split_once("://") {
            _ if text.is_empty() => Err(StoreUrlError::Empty),
            _ if text == "-" => Ok(Self::Stdout),
            _ if text.starts_with(['"', '\'']) => Err(StoreUrlError::Quoted(without_query(text))),
            None if text.starts_with(['/', '.']) => Ok(Self::Local { dir: text.to_owned() }),
            None => Err(StoreUrlError::NoScheme(text.chars().take(40).collect())),
            Some((scheme, _)) if scheme != "file" && text.chars().any(char::is_control) => Err(StoreUrlError::Control),
            Some((_, rest)) if text.len() > if rest.contains('?') { SIGNED_MAX } else { STORE_MAX } => {
                Err(StoreUrlError::TooLong)
            }
            Some(("file", dir)) if dir.starts_with('/') => Ok(Self::Local { dir: dir.to_owned() }),
            Some(("https" | "http", _)) => Self::web(text),
            Some((scheme, rest)) => Self::remote(scheme, rest, text),
        }
    }

    /// Parses a web URL: with a query it is a signed URL, without a query it is WebDAV.
    fn web(text: &str) -> Result<Self, StoreUrlError> {
        let url = Url::parse(text).map_err(|_| StoreUrlError::Url)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(StoreUrlError::Url);
        }
        // The user part may be a credential, so the error does not show it.
        if url.has_authority() && (!url.username().is_empty() || url.password().is_some()) {
            return Err(StoreUrlError::Extra('@'));
        }
        match (url.query(), url.fragment()) {
            (_, Some(_)) => Err(StoreUrlError::Extra('#')),
            (Some(_), None) => Ok(Self::Presigned { url: Secret::new(text) }),
            (None, None) => {
                let base = with_whole_escapes(url.as_str().trim_end_matches('/'));
                // A client of object_store would read `%2F` as the end of a name. A server would not.
                if path_of(&base).to_ascii_lowercase().contains("%2f") {
                    return Err(StoreUrlError::Segment(url.path().to_owned()));
                }
                Location::from_url_path(path_of(&base)).map_err(|_| StoreUrlError::Segment(url.path().to_owned()))?;
                Ok(Self::Dav { base })
            }
        }
    }

    fn remote(scheme: &str, rest: &str, text: &str) -> Result<Self, StoreUrlError> {
        let make: fn(String, String) -> Self = match scheme {
            "s3" => |bucket, prefix| Self::S3 { bucket, prefix },
            "oss" => |bucket, prefix| Self::Oss { bucket, prefix },
            "obs" => |bucket, prefix| Self::Obs { bucket, prefix },
            "gs" => |bucket, prefix| Self::Gs { bucket, prefix },
            "az" => |container, prefix| Self::Az { container, prefix },
            other => return Err(StoreUrlError::Scheme(other.chars().take(20).collect())),
        };
        // A query or a user part may be a credential, so the error does not show it.
        if let Some(extra) = rest.chars().find(|c| matches!(c, '?' | '#' | '@')) {
            return Err(StoreUrlError::Extra(extra));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(StoreUrlError::NoBucket(text.to_owned()));
        }
        if !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_$".contains(&byte)) {
            return Err(StoreUrlError::Bucket(bucket.chars().take(40).collect()));
        }
        let prefix = prefix.trim_matches('/');
        if let Some(bad) =
            prefix.split('/').find(|part| matches!(*part, "." | "..") || (part.is_empty() && !prefix.is_empty()))
        {
            return Err(StoreUrlError::Segment(bad.to_owned()));
        }
        Ok(make(bucket.to_owned(), prefix.to_owned()))
    }
}

/// Encodes each '%' that begins no escape: servers would read it in one way, and object_store in another.
fn with_whole_escapes(url: &str) -> String {
    let is_escape = |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let mut parts = url.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, rest| whole + if is_escape(rest) { "%" } else { "%25" } + rest)
}

/// Returns the start of a text, without what may be a signature.
fn without_query(text: &str) -> String {
    text.split('?').next().unwrap_or_default().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_names_no_store_is_refused() {
        assert_eq!(StoreUrl::parse(" "), Err(StoreUrlError::Empty));
        assert!(matches!(StoreUrl::parse("s3:/bucket"), Err(StoreUrlError::NoScheme(_))));
        assert!(matches!(StoreUrl::parse("ftp://x/y"), Err(StoreUrlError::Scheme(_))));
        assert_eq!(StoreUrl::parse("https://me:word@h/dav"), Err(StoreUrlError::Extra('@')));
        assert_eq!(StoreUrl::parse("https://"), Err(StoreUrlError::Url));
        assert!(matches!(StoreUrl::parse("s3:///p"), Err(StoreUrlError::NoBucket(_))));
        assert!(matches!(StoreUrl::parse("s3://key:secret@b/p"), Err(StoreUrlError::Extra('@'))));
        assert!(matches!(StoreUrl::parse("s3://b/a/../c"), Err(StoreUrlError::Segment(_))));
        for bad in [
            "s3://b c/p",
            "az://c%20/p",
            "s3://b\nc",
            "gs://b/p\u{1b}",
            "https://h/a//b",
            "https://h/%FF",
            "http:x?y",
            "http://h/a%2fb",
            "http://h/%2F",
        ] {
            assert!(StoreUrl::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(StoreUrl::parse(&format!("s3://b/{}", "p".repeat(3000))), Err(StoreUrlError::TooLong));
    }
}
