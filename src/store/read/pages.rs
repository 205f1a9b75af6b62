//! Version 1 of S3's listing, page by page.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use reqwest::Client;
use serde::Deserialize;

use super::listing::{Found, ListError};
use crate::base::printable::printable;
use crate::store::remote::body::{self, BodyError, LIST_MAX};
use crate::store::remote::http_error::{HttpError, checked};
use crate::store::remote::page_filter::check_depth;
use crate::store::retry::Retry;
use crate::store::url::KEY_MAX;

/// Most objects in one answer (AWS: "ListObjectsV2"; Huawei Cloud: "Listing Objects in a Bucket").
pub const PAGE: usize = 1000;

/// Lifetime of a signature. A request is sent as soon as it is signed.
const SIGNED_FOR: Duration = Duration::from_secs(300);

/// Version 1 of S3's listing. It goes on after the last key of each answer (AWS: "ListObjects"). Its requests are URLs
/// of the bucket that this program signs for itself.
pub struct Pages {
    pub client: Client,
    pub signer: Arc<dyn Signer>,
    /// The URL of the store, for messages.
    pub shown: String,
    pub retry_for: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    contents: Vec<Entry>,
    #[serde(default)]
    is_truncated: bool,
    next_marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    size: u64,
    last_modified: DateTime<Utc>,
    #[serde(rename = "ETag")]
    e_tag: Option<String>,
}

impl Pages {
    pub async fn all(&self, path: &Path, found: &mut Found<'_>) -> Result<(), ListError> {
        let prefix = if path.as_ref().is_empty() { String::new() } else { format!("{path}/") };
        let mut marker = String::new();
        loop {
            let page = self.page(&prefix, &marker).await?;
            let next = page.next(&marker)?;
            page.contents.into_iter().filter_map(Entry::meta).try_for_each(|meta| found.add(meta))?;
            match next {
                Some(next) => marker = next,
                None => return Ok(()),
            }
        }
    }

    async fn page(&self, prefix: &str, marker: &str) -> Result<Page, ListError> {
        let query = [("prefix", prefix), ("marker", marker)].into_iter().filter(|(_, value)| !value.is_empty());
        let options = SignedUrlOptions::new().with_query(query);
        let mut retry = Retry::from_now(self.retry_for);
        loop {
            let url = self.signer.signed_url_opts(Method::GET, &Path::default(), SIGNED_FOR, &options).await?;
            let answer = match checked(&self.shown, "list", self.client.get(url)).await {
                Ok(response) => body::read(response, LIST_MAX).await.map_err(|error| self.unread(error)),
                Err(error) => Err(error),
            };
            match answer {
                Ok(bytes) => {
                    check_depth(&bytes).map_err(|error| unclear(error.into()))?;
                    return quick_xml::de::from_reader(&*bytes).map_err(|error| unclear(error.into()));
                }
                Err(error) => {
                    let Some(pause) = retry.pause(error.may_pass()) else { return Err(ListError::Http(error)) };
                    log::info!("listing failed, trying again: {error}");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    fn unread(&self, error: BodyError) -> HttpError {
        let url = self.shown.clone();
        match error {
            BodyError::Cut(source) => HttpError::Silent { what: "list", url, source: source.without_url() },
            BodyError::TooLong(source) => HttpError::TooLong { what: "list", url, source },
        }
    }
}

impl Page {
    /// Returns the key after which the next answer begins. Fails if that is no progress, because the listing would
    /// never end. S3 names this key only for grouped keys, so else it is the last key.
    fn next(&self, marker: &str) -> Result<Option<String>, ListError> {
        if !self.is_truncated {
            return Ok(None);
        }
        let last = || self.contents.last().map(|found| found.key.clone());
        let next = self.next_marker.clone().filter(|next| !next.is_empty()).or_else(last);
        let next = next.filter(|next| next.as_str() > marker);
        next.map(Some).ok_or_else(|| unclear("it says that there is more, and not where".into()))
    }
}

impl Entry {
    /// Converts the entry. `None` for a key that this program cannot have made.
    fn meta(self) -> Option<ObjectMeta> {
        let location = Path::parse(&self.key).ok();
        let location = location.filter(|path| path.as_ref().len() <= KEY_MAX && path.as_ref() == self.key);
        let shown = || printable(&self.key.chars().take(80).collect::<String>()).into_owned();
        let location = location.or_else(|| {
            log::info!("the key {} is none that this program could have made: it is left out", shown());
            None
        })?;
        let Self { size, last_modified, e_tag, .. } = self;
        Some(ObjectMeta { location, last_modified, size, e_tag, version: None })
    }
}

fn unclear(source: Box<dyn std::error::Error + Send + Sync>) -> ListError {
    ListError::Store(object_store::Error::Generic { store: "listing", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(tail: &str) -> Page {
        let found = |key: &str| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-22T03:00:00.000Z</LastModified>\
                 <ETag>&quot;00&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        };
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
             <ListBucketResult xmlns=\"http://obs.cn-north-4.myhuaweicloud.com/doc/2015-06-30/\"><Name>b</Name>{}{}{tail}\
             </ListBucketResult>",
            found("p/a&amp;b.gz"),
            found("p/c.gz")
        );
        quick_xml::de::from_str(&text).unwrap()
    }

    #[test]
    fn listing_goes_on_after_its_last_key_or_fails() {
        let whole = page("<IsTruncated>false</IsTruncated>");
        assert_eq!(whole.contents[0].key, "p/a&b.gz");
        assert!(matches!(whole.next(""), Ok(None)));
        let named = page("<IsTruncated>true</IsTruncated><NextMarker>p/c.gz</NextMarker>");
        let unnamed = page("<IsTruncated>true</IsTruncated>");
        for page in [&named, &unnamed] {
            assert!(matches!(page.next("p/b").unwrap_or_default().as_deref(), Some("p/c.gz")));
            assert!(page.next("p/c.gz").is_err());
        }
    }
}
