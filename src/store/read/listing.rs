//! Lists all objects below a path. A listing that cannot be complete fails.

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::listed::Listed;
use super::pages::{PAGE, Pages};
use crate::store::remote::http_error::HttpError;

/// Most bytes of a listing, including [`WITH_KEY`] for each key: about 250,000 dumps.
pub const LISTING_MAX: usize = 64 << 20;

/// Bytes that are stored with a key: size, time, ETag.
const WITH_KEY: usize = 128;

/// Most objects that a listing reads, wanted or not. At 1000 per answer that takes hours.
const SEEN_MAX: usize = 20_000_000;

/// Returns the bytes that a listing stores for an object.
pub fn kept_with(listed: &Listed) -> usize {
    listed.key.len() + listed.e_tag.as_ref().map_or(0, String::len) + WITH_KEY
}

/// The objects that a listing has found so far, within its limits.
pub struct Found<'a> {
    wanted: &'a dyn Fn(ObjectMeta) -> Option<Listed>,
    listed: Vec<Listed>,
    /// Counts all objects in the answers, wanted or not: only so an endless listing ends.
    seen: usize,
    bytes: usize,
}

impl<'a> Found<'a> {
    pub fn new(wanted: &'a dyn Fn(ObjectMeta) -> Option<Listed>) -> Self {
        Self { wanted, listed: Vec::new(), seen: 0, bytes: 0 }
    }

    pub fn into_listed(self) -> Vec<Listed> {
        self.listed
    }

    pub fn add(&mut self, meta: ObjectMeta) -> Result<(), ListError> {
        self.seen += 1;
        if let Some(listed) = (self.wanted)(meta) {
            self.bytes += kept_with(&listed);
            self.listed.push(listed);
        }
        if self.bytes > LISTING_MAX || self.seen > SEEN_MAX { Err(ListError::TooLong) } else { Ok(()) }
    }

    /// Forgets all objects, because the listing starts again in another way.
    fn clear(&mut self) {
        (self.seen, self.bytes) = (0, 0);
        self.listed.clear();
    }
}

/// The way in which a store is listed.
pub enum Listing {
    /// The way of object_store: it goes on with the token in each answer.
    ByToken,
    /// As `ByToken`. If the number of objects is a multiple of full answers, the token may be missing, so the listing
    /// is repeated by marker.
    Checked(Pages),
    /// Huawei's OBS has no token, so object_store would stop after the first answer (minio/minio-go#1703).
    ByMarker(Pages),
    /// WebDAV is listed collection by collection, because many servers refuse to list all at once (RFC 4918, section
    /// 9.1, `Depth: infinity`).
    ByCollection,
}

/// The store could not be listed.
pub enum ListError {
    Store(object_store::Error),
    Http(HttpError),
    TooLong,
}

impl From<object_store::Error> for ListError {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

impl Listing {
    /// Adds every object below `path` to `found`.
    pub async fn all(&self, store: &dyn ObjectStore, path: &Path, found: &mut Found<'_>) -> Result<(), ListError> {
        match self {
            Self::ByToken => by_token(store, path, found).await,
            Self::Checked(pages) => {
                by_token(store, path, found).await?;
                if found.seen == 0 || !found.seen.is_multiple_of(PAGE) {
                    return Ok(());
                }
                found.clear();
                pages.all(path, found).await
            }
            Self::ByMarker(pages) => pages.all(path, found).await,
            Self::ByCollection => by_collection(store, path, found).await,
        }
    }
}

async fn by_token(store: &dyn ObjectStore, path: &Path, found: &mut Found<'_>) -> Result<(), ListError> {
    let mut all = store.list(Some(path));
    while let Some(meta) = all.try_next().await? {
        found.add(meta)?;
    }
    Ok(())
}

async fn by_collection(store: &dyn ObjectStore, path: &Path, found: &mut Found<'_>) -> Result<(), ListError> {
    let (mut open, mut bytes) = (vec![path.clone()], 0);
    while let Some(collection) = open.pop() {
        let listed = match store.list_with_delimiter(Some(&collection)).await {
            Err(object_store::Error::NotFound { .. }) => continue,
            other => other?,
        };
        // A server that shows a collection inside itself would be listed forever.
        let below = listed
            .common_prefixes
            .into_iter()
            .filter(|below| below.parts_count() > collection.parts_count() && below.prefix_matches(&collection));
        for below in below {
            bytes += below.as_ref().len() + WITH_KEY;
            open.push(below);
        }
        if bytes > LISTING_MAX {
            return Err(ListError::TooLong);
        }
        for meta in listed.objects {
            // A name with a leading dot belongs to an object that is not complete.
            if meta.location.filename().is_some_and(|name| !name.starts_with('.')) {
                found.add(meta)?;
            }
        }
    }
    Ok(())
}
