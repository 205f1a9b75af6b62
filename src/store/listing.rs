//! All objects below a path, and never a part of them that looks like all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{ObjectMeta, ObjectStore};
use reqwest::Client;
use serde::Deserialize;

use super::http_error::{HttpError, checked};
use super::stop::LOOK;

/// Most objects of one answer (AWS: "ListObjectsV2"; Huawei Cloud: "Listing Objects in a Bucket").
const PAGE: usize = 1000;

/// A request goes out as soon as it is signed.
const SIGNED_FOR: Duration = Duration::from_secs(300);

/// How a store is listed.
pub enum Listing {
    /// As object_store does it, which goes on by the token that each answer gives.
    ByToken,
    /// The same, but what is as many as fit into answers without a token is asked for once more.
    Checked(Pages),
    /// Huawei's OBS has no token: object_store would stop after the first answer (minio/minio-go#1703).
    ByMarker(Pages),
    /// WebDAV is asked collection by collection: many servers refuse to list all at once (RFC 4918, section 9.1,
    /// `Depth: infinity`).
    ByCollection,
}

/// It could not be listed.
pub enum ListError {
    Store(object_store::Error),
    Http(HttpError),
}

impl From<object_store::Error> for ListError {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

impl Listing {
    /// Every object below `path`.
    pub async fn all(&self, store: &dyn ObjectStore, path: &Path) -> Result<Vec<ObjectMeta>, ListError> {
        match self {
            Self::ByToken => Ok(store.list(Some(path)).try_collect().await?),
            Self::Checked(pages) => {
                let found: Vec<ObjectMeta> = store.list(Some(path)).try_collect().await?;
                let is_certain = found.is_empty() || !found.len().is_multiple_of(PAGE);
                if is_certain { Ok(found) } else { pages.all(path).await }
            }
            Self::ByMarker(pages) => pages.all(path).await,
            Self::ByCollection => Ok(by_collection(store, path).await?),
        }
    }
}

async fn by_collection(store: &dyn ObjectStore, path: &Path) -> object_store::Result<Vec<ObjectMeta>> {
    let (mut found, mut open) = (Vec::new(), vec![path.clone()]);
    while let Some(collection) = open.pop() {
        let listed = match store.list_with_delimiter(Some(&collection)).await {
            Err(object_store::Error::NotFound { .. }) => continue,
            other => other?,
        };
        open.extend(listed.common_prefixes);
        found.extend(listed.objects.into_iter().filter(|meta| {
            // What begins with a dot has no name yet.
            meta.location.filename().is_some_and(|name| !name.starts_with('.'))
        }));
    }
    Ok(found)
}

/// The first version of S3's listing, which goes on behind the last name of each answer (AWS: "ListObjects"). The
/// requests are links to the bucket that we sign for ourselves.
pub struct Pages {
    pub client: Client,
    pub signer: Arc<dyn Signer>,
    /// For people.
    pub shown: String,
    pub retry_for: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    contents: Vec<Found>,
    #[serde(default)]
    is_truncated: bool,
    next_marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    key: String,
    size: u64,
    last_modified: DateTime<Utc>,
    #[serde(rename = "ETag")]
    e_tag: Option<String>,
}

impl Pages {
    async fn all(&self, path: &Path) -> Result<Vec<ObjectMeta>, ListError> {
        let prefix = if path.as_ref().is_empty() { String::new() } else { format!("{path}/") };
        let (mut found, mut marker) = (Vec::new(), String::new());
        loop {
            let page = self.page(&prefix, &marker).await?;
            let next = page.next(&marker)?;
            found.extend(page.contents.into_iter().filter_map(Found::meta));
            match next {
                Some(next) => marker = next,
                None => return Ok(found),
            }
        }
    }

    async fn page(&self, prefix: &str, marker: &str) -> Result<Page, ListError> {
        let query = [("prefix", prefix), ("marker", marker)].into_iter().filter(|(_, value)| !value.is_empty());
        let options = SignedUrlOptions::new().with_query(query);
        let begun = Instant::now();
        loop {
            let url = self.signer.signed_url_opts(Method::GET, &Path::default(), SIGNED_FOR, &options).await?;
            let answer = match checked(&self.shown, "list", self.client.get(url)).await {
                Ok(response) => response.bytes().await.map_err(|source| self.cut(source)),
                Err(error) => Err(error),
            };
            match answer {
                Ok(bytes) => return quick_xml::de::from_reader(&*bytes).map_err(|error| unclear(error.into())),
                Err(error) if error.may_pass() && begun.elapsed() + LOOK < self.retry_for => {
                    log::info!("listing failed, trying again: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(ListError::Http(error)),
            }
        }
    }

    fn cut(&self, source: reqwest::Error) -> HttpError {
        HttpError::Silent { what: "list", url: self.shown.clone(), source: source.without_url() }
    }
}

impl Page {
    /// Behind which name the next answer begins; what does not come further would never end. S3 itself names it only
    /// where names are grouped.
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

impl Found {
    /// `None` for a name that none of ours is like.
    fn meta(self) -> Option<ObjectMeta> {
        let location = Path::parse(&self.key).inspect_err(|error| log::info!("{}: {error}", self.key)).ok()?;
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
    fn a_listing_goes_on_behind_its_last_name_or_fails() {
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
