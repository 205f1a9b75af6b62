//! An object as the store has it: its size, its digest, and how far the store has proved it.

use serde::{Deserialize, Serialize};

/// The proof that the store has the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verified {
    /// The store's own checksum of the object is equal to ours.
    Checksum,
    /// The store's size of the object is equal to ours.
    Size,
    /// The store said that it has the object. Nothing else proves it.
    Acknowledged,
}

/// Size and checksum of the bytes that were sent, computed during the upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    pub bytes: u64,
    /// `None` if the bytes were not sent in their order.
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
    /// Returns whether only the store's word says that it has the object. Standard output does not count: its reader
    /// verifies.
    pub fn is_unverified(&self) -> bool {
        self.verified == Verified::Acknowledged && self.url != "-"
    }
}
