//! The URL of a store. No I/O.

use std::path::Path;

use object_store::path::Path as Location;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::remote::presigned::shown;
use super::settings::Secret;

/// Longest key in bytes, with its prefix. S3 and compatible stores take 1024 bytes, Azure 1024 characters of up to four
/// bytes (AWS: "Naming Amazon S3 objects"; Azure: "Naming and referencing containers, blobs, and metadata"). It fits
/// into a URL even when it is escaped.
pub const KEY_MAX: usize = 4096;

/// Longest store URL in bytes. A key adds up to 600 bytes.
const STORE_MAX: usize = 2048;

/// Longest signed URL in bytes. One with a session token has about 2 kB.
const SIGNED_MAX: usize = 16 << 10;

/// A store, as `--store` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreUrl {
    S3 {
        bucket: String,
        prefix: String,
    },
    /// Aliyun Object Storage Service.
    Oss {
        bucket: String,
        prefix: String,
    },
    /// Huawei Object Storage Service.
    Obs {
        bucket: String,
        prefix: String,
    },
    Gs {
        bucket: String,
        prefix: String,
    },
    Az {
        container: String,
        prefix: String,
    },
    /// WebDAV; no slash at the end.
    Dav {
        base: String,
    },
    /// One object, by a URL that somebody has signed.
    Presigned {
        url: Secret,
    },
    Local {
        dir: String,
    },
    Stdout,
}

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
            _ if text.starts_with(['"', '\'']) => Err(StoreUrlError::Quoted(text.chars().take(40).collect())),
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

    /// Returns the URL of a key, for messages.
    pub fn of_key(&self, key: &str) -> String {
        let (scheme, bucket, prefix) = match self {
            Self::S3 { bucket, prefix } => ("s3", bucket, prefix),
            Self::Oss { bucket, prefix } => ("oss", bucket, prefix),
            Self::Obs { bucket, prefix } => ("obs", bucket, prefix),
            Self::Gs { bucket, prefix } => ("gs", bucket, prefix),
            Self::Az { container, prefix } => ("az", container, prefix),
            Self::Dav { base } => return format!("{base}/{key}"),
            Self::Presigned { url } => {
                return Url::parse(url.reveal()).map_or_else(|_| String::new(), |url| shown(&url));
            }
            Self::Local { dir } => return format!("{}/{key}", dir.trim_end_matches('/')),
            Self::Stdout => return "-".to_owned(),
        };
        if prefix.is_empty() {
            format!("{scheme}://{bucket}/{key}")
        } else {
            format!("{scheme}://{bucket}/{prefix}/{key}")
        }
    }

    /// Returns whether the URL is valid for a single object only.
    /// Returns whether such stores sign URLs.
    pub fn can_sign(&self) -> bool {
        !matches!(self, Self::Dav { .. } | Self::Presigned { .. } | Self::Local { .. } | Self::Stdout)
    }

    pub fn is_presigned(&self) -> bool {
        matches!(self, Self::Presigned { .. })
    }

    /// Returns the directory of a local store. The compressed dump is spooled there from the start.
    pub fn local_dir(&self) -> Option<&Path> {
        match self {
            Self::Local { dir } => Some(Path::new(dir)),
            _ => None,
        }
    }

    /// Returns whether an object can be sent in parts before it is whole.
    pub fn takes_parts(&self) -> bool {
        !matches!(self, Self::Dav { .. } | Self::Presigned { .. } | Self::Local { .. } | Self::Stdout)
    }

    /// Returns the bucket or container, if the store has one.
    pub fn bucket(&self) -> Option<&str> {
        match self {
            Self::S3 { bucket, .. } | Self::Oss { bucket, .. } | Self::Obs { bucket, .. } | Self::Gs { bucket, .. } => {
                Some(bucket)
            }
            Self::Az { container, .. } => Some(container),
            Self::Dav { .. } | Self::Presigned { .. } | Self::Local { .. } | Self::Stdout => None,
        }
    }

    /// Returns the path of `key` for a client of object_store. The path is not encoded, because the client encodes it.
    ///
    /// # Errors
    /// When no client can ask for such a key.
    pub fn location(&self, key: &str) -> Result<Location, StoreError> {
        let error = |why| StoreError::Key { shown: key.chars().take(80).flat_map(char::escape_debug).collect(), why };
        let path = self.object_path(key);
        if path.len() > KEY_MAX {
            return Err(error("with its prefix it has more than 4096 bytes"));
        }
        Location::parse(path).map_err(|_| error("it has an empty or relative part, or a control character"))
    }

    /// Returns the key below the prefix: the name inside the bucket, or on the WebDAV server.
    fn object_path(&self, key: &str) -> String {
        match self {
            Self::S3 { prefix, .. }
            | Self::Oss { prefix, .. }
            | Self::Obs { prefix, .. }
            | Self::Gs { prefix, .. }
            | Self::Az { prefix, .. }
                if !prefix.is_empty() =>
            {
                format!("{prefix}/{key}")
            }
            // The URL is encoded, and a key is not.
            Self::Dav { base } => match Location::from_url_path(path_of(base)).unwrap_or_default() {
                path if path.is_root() => key.to_owned(),
                path => format!("{path}/{key}"),
            },
            _ => key.to_owned(),
        }
    }
}

/// Encodes each '%' that begins no escape: servers would read it in one way, and object_store in another.
fn with_whole_escapes(url: &str) -> String {
    let is_escape = |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let mut parts = url.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, rest| whole + if is_escape(rest) { "%" } else { "%25" } + rest)
}

/// Returns the path of a URL, from its first slash on.
pub fn path_of(url: &str) -> &str {
    let behind = url.find("://").map_or(0, |at| at + 3);
    url[behind..].find('/').map_or("", |at| &url[behind + at..])
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.of_key("").trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_is_known_and_prints_itself() {
        for url in ["s3://b/p/q", "oss://b/p", "obs://b/p", "gs://b/p", "az://c/p"] {
            assert_eq!(StoreUrl::parse(url).unwrap().of_key("k"), format!("{url}/k"));
        }
        assert_eq!(StoreUrl::parse("s3://b/").unwrap().of_key("k"), "s3://b/k");
        assert_eq!(
            StoreUrl::parse("file:///d").unwrap(),
            StoreUrl::parse("/d/").map(|_| StoreUrl::Local { dir: "/d".into() }).unwrap()
        );
        assert_eq!(StoreUrl::parse("-").unwrap(), StoreUrl::Stdout);
        assert_eq!(StoreUrl::parse("https://h/dav/heaps/").unwrap().of_key("k"), "https://h/dav/heaps/k");
        let signed = StoreUrl::parse("https://h:1/b/k?X-Amz-Signature=hunter2").unwrap();
        assert_eq!(signed.to_string(), "https://h:1/b/k");
        assert!(!format!("{signed:?}").contains("hunter2"));
        assert_eq!(StoreUrl::parse("s3://b/p").unwrap().object_path("k"), "p/k");
    }

    #[test]
    fn location_is_the_key_as_the_store_has_it() {
        let location = |store: &str, key: &str| StoreUrl::parse(store).unwrap().location(key).unwrap().to_string();
        for scheme in ["s3", "oss", "obs", "gs", "az"] {
            for prefix in ["~ops", "100%", "a b", "%7E", "ä[1]"] {
                assert_eq!(location(&format!("{scheme}://b/{prefix}"), "k%20"), format!("{prefix}/k%20"));
            }
        }
        assert_eq!(location("https://h/dav/~ops/100%/%C3%A4%20", "k%20.gz"), "dav/~ops/100%/ä /k%20.gz");
        assert_eq!(StoreUrl::parse("https://h/100%/%41%").unwrap().of_key("k"), "https://h/100%25/%41%25/k");
        for bad in ["a//b", "..", "a/./b", "a\u{1b}b", &"k".repeat(KEY_MAX)] {
            assert!(StoreUrl::parse("s3://b/p").unwrap().location(bad).is_err(), "{bad}");
        }
    }

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
