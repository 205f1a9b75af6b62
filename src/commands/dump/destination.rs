//! Where the dump goes: into the store, or onto a disk here while the store is down.

use crate::store::{StoreError, Upload};

/// The way of the dump, as the probe of the store has decided it.
pub(crate) enum Destination {
    Store(Upload),
    /// The store is down, and the user wants the dump to be kept here.
    Here(StoreError),
}

impl Destination {
    pub fn is_store(&self) -> bool {
        self.upload().is_some()
    }

    pub fn upload(&self) -> Option<&Upload> {
        match self {
            Self::Store(upload) => Some(upload),
            Self::Here(_) => None,
        }
    }

    pub fn upload_mut(&mut self) -> Option<&mut Upload> {
        match self {
            Self::Store(upload) => Some(upload),
            Self::Here(_) => None,
        }
    }

    /// Returns the upload.
    ///
    /// # Errors
    /// The reason why the store is down.
    pub fn into_upload(self) -> Result<Upload, StoreError> {
        match self {
            Self::Store(upload) => Ok(upload),
            Self::Here(store_down) => Err(store_down),
        }
    }
}
