//! The facts of a stored object, as a listing or a HEAD tells them.

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;

/// Longest ETag that is stored. That of a multipart upload has about 40 bytes.
const E_TAG_MAX: usize = 1024;

/// An object in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key without the store's prefix.
    pub key: String,
    pub bytes: u64,
    pub modified: DateTime<Utc>,
    pub e_tag: Option<String>,
}

/// Removes the store's prefix from the key. Drops an ETag that is longer than any real one.
pub(super) fn listed(meta: ObjectMeta, prefix: &Path) -> Option<Listed> {
    if !meta.location.prefix_matches(prefix) {
        return None;
    }
    let key = meta.location.as_ref()[prefix.as_ref().len()..].trim_start_matches('/').to_owned();
    let e_tag = meta.e_tag.filter(|e_tag| e_tag.len() <= E_TAG_MAX);
    Some(Listed { key, bytes: meta.size, modified: meta.last_modified, e_tag })
}
