//! An object as the store has it: its size, its digest, and how far the store could prove it.

use serde::{Deserialize, Serialize};

/// How far the store could prove what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verified {
    /// The store's own checksum of the object is ours.
    Checksum,
    /// The store has as many bytes as we sent.
    Size,
    /// The store said that it has the object.
    Acknowledged,
}

/// What was put into the store, as computed on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    pub bytes: u64,
    /// `None` when the bytes were not seen in their order.
    pub sha256: Option<String>,
}

/// An object that the store has confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    pub url: String,
    pub key: String,
    pub bytes: u64,
    pub sha256: Option<String>,
    pub verified: Verified,
}

impl StoredObject {
    /// Whether nothing but the store's word says that it has the object. Whoever reads standard output verifies it.
    pub fn is_unverified(&self) -> bool {
        self.verified == Verified::Acknowledged && self.url != "-"
    }
}
