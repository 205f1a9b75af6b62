//! The URL of a store. No I/O.

mod parsing;

use std::path::Path;

use object_store::path::Path as Location;
pub use parsing::StoreUrlError;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::remote::presigned::shown;
use super::settings::Secret;

/// Longest key in bytes, with its prefix. S3 and compatible stores take 1024 bytes, Azure 1024 characters of up to four
/// bytes (AWS: "Naming Amazon S3 objects"; Azure: "Naming and referencing containers, blobs, and metadata"). It fits
/// into a URL even when it is escaped.
pub const KEY_MAX: usize = 4096;

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

/// The maker of a store that has buckets. Its protocol differs from that of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Amazon, and stores that speak S3 as Amazon does.
    S3,
    Oss,
    Obs,
    Gs,
    Az,
}

/// The bucket or container of a store, and the prefix of the keys in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket<'a> {
    pub vendor: Vendor,
    pub name: &'a str,
    pub prefix: &'a str,
}

impl StoreUrl {
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

    /// Returns whether such stores sign URLs.
    pub fn can_sign(&self) -> bool {
        match self {
            Self::S3 { .. } | Self::Oss { .. } | Self::Obs { .. } | Self::Gs { .. } | Self::Az { .. } => true,
            Self::Dav { .. } | Self::Presigned { .. } | Self::Local { .. } | Self::Stdout => false,
        }
    }

    /// Returns whether the URL is valid for a single object only.
    pub fn is_presigned(&self) -> bool {
        match self {
            Self::Presigned { .. } => true,
            Self::S3 { .. } | Self::Oss { .. } | Self::Obs { .. } | Self::Gs { .. } | Self::Az { .. } => false,
            Self::Dav { .. } | Self::Local { .. } | Self::Stdout => false,
        }
    }

    /// Returns the directory of a local store. The compressed dump is spooled there from the start.
    pub fn local_dir(&self) -> Option<&Path> {
        match self {
            Self::Local { dir } => Some(Path::new(dir)),
            Self::S3 { .. } | Self::Oss { .. } | Self::Obs { .. } | Self::Gs { .. } | Self::Az { .. } => None,
            Self::Dav { .. } | Self::Presigned { .. } | Self::Stdout => None,
        }
    }

    /// Returns the URL of a WebDAV store.
    pub fn dav_base(&self) -> Option<&str> {
        match self {
            Self::Dav { base } => Some(base),
            Self::S3 { .. } | Self::Oss { .. } | Self::Obs { .. } | Self::Gs { .. } | Self::Az { .. } => None,
            Self::Presigned { .. } | Self::Local { .. } | Self::Stdout => None,
        }
    }

    /// Returns whether an object can be sent in parts before it is whole.
    pub fn takes_parts(&self) -> bool {
        self.bucket().is_some()
    }

    /// Returns the bucket or container, if the store has one.
    pub fn bucket(&self) -> Option<Bucket<'_>> {
        let (vendor, name, prefix) = match self {
            Self::S3 { bucket, prefix } => (Vendor::S3, bucket, prefix),
            Self::Oss { bucket, prefix } => (Vendor::Oss, bucket, prefix),
            Self::Obs { bucket, prefix } => (Vendor::Obs, bucket, prefix),
            Self::Gs { bucket, prefix } => (Vendor::Gs, bucket, prefix),
            Self::Az { container, prefix } => (Vendor::Az, container, prefix),
            Self::Dav { .. } | Self::Presigned { .. } | Self::Local { .. } | Self::Stdout => return None,
        };
        Some(Bucket { vendor, name, prefix })
    }

    /// Returns the maker of the store, if it has buckets.
    pub fn vendor(&self) -> Option<Vendor> {
        self.bucket().map(|bucket| bucket.vendor)
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
            | Self::Az { prefix, .. } => match prefix.as_str() {
                "" => key.to_owned(),
                prefix => format!("{prefix}/{key}"),
            },
            // The URL is encoded, and a key is not.
            Self::Dav { base } => match Location::from_url_path(path_of(base)).unwrap_or_default() {
                path if path.is_root() => key.to_owned(),
                path => format!("{path}/{key}"),
            },
            Self::Presigned { .. } | Self::Local { .. } | Self::Stdout => key.to_owned(),
        }
    }
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
}
