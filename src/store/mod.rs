//! Stores of dumps. A store takes numbered parts, or one sealed whole. Only [`Upload::finish`] with a verdict completes
//! an object. The async runtime is used only in this layer.

mod credentials;
mod encryption;
mod error;
mod local;
pub mod notice;
mod read;
mod remote;
mod retry;
mod setting_checks;
mod settings;
mod stdout;
pub mod url;
mod vendor_variables;

use std::fs::File;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use credentials::CredentialsError;
pub use encryption::Encryption;
pub use error::{SettingsError, StoreError};
pub use read::link::LINK_MAX;
pub use read::listed::Listed;
pub use read::store_reader::StoreReader;
pub use remote::abort::ABORTS_WITHIN;
pub use remote::presigned::PUT_MAX;
pub use settings::{READER_TIMEOUT, Secret, StoreSettings};

use crate::base::deadline::Deadline;
use crate::compress::spool::Spool;
use crate::compress::verdict::Verdict;
use crate::files::entry::Entry;
use crate::kept::journal::{Journal, Unfinished};
use crate::object::key::ObjectKey;
use crate::object::stored::{Digest, StoredObject};
use local::LocalUpload;
use remote::RemoteUpload;
use remote::single_put::WholeUpload;
use stdout::ToReader;
use url::StoreUrl;

/// A multipart upload that is not complete, with all that is needed to abort it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenMultipart {
    settings: StoreSettings,
    path: String,
    id: String,
}

impl OpenMultipart {
    /// Returns the upload for the guard, which passes it to [`abort()`].
    fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Removes the files that a killed process may have left beside a spool in a local store. Its object is already stored.
pub fn clear_spool(spool: &Entry) {
    local::clear_beside(spool);
}

/// Aborts an upload that another process has left.
///
/// # Errors
/// When the store refuses, or does not answer.
pub fn abort(open: &Value) -> Result<(), StoreError> {
    let open = OpenMultipart::deserialize(open).map_err(|_| StoreError::ClientEnded)?;
    remote::abort::abort(&open)
}

/// Aborts an upload that nobody goes on with, if it is in this store. Its parts cost money, and may hold data that has
/// to be redacted now.
pub fn abandon(settings: &StoreSettings, Unfinished { store, key, id }: &Unfinished) {
    if *store != settings.url.to_string() {
        return;
    }
    let aborted = settings.url.location(key).and_then(|path| {
        let (settings, path, id) = (settings.clone(), path.to_string(), id.clone());
        remote::abort::abort(&OpenMultipart { settings, path, id })
    });
    if let Err(error) = aborted {
        log::warn!("the unfinished upload to {} could not be aborted: {error}", settings.url.of_key(key));
    }
}

/// Name of the stage that sends the object's bytes to the store.
pub const UPLOADING: &str = "uploading";

/// The last stage, after the dump is compressed and whole. Its text is for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastStage {
    /// The store reads the whole spool in this stage.
    Reads(&'static str),
    /// The store already has the bytes, and completes the object.
    Completes(&'static str),
}

/// An object on its way into the store. Dropped without [`Upload::finish`], it leaves nothing behind.
#[derive(Debug)]
pub enum Upload {
    Remote(RemoteUpload),
    Local(LocalUpload),
    Whole(Box<WholeUpload>),
    Stdout(ToReader),
}

impl Upload {
    /// Opens the upload at its final key. This is the probe of the store, with the rights that the upload needs.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn open(
        settings: &StoreSettings,
        key: &ObjectKey,
        part_size: u64,
        deadline: &Deadline,
    ) -> Result<Self, StoreError> {
        Self::go_on(settings, key, part_size, deadline, Journal::default())
    }

    /// Opens the upload where an earlier process stopped, by its `journal`. The journal is told how far it comes.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn go_on(
        settings: &StoreSettings,
        key: &ObjectKey,
        part_size: u64,
        deadline: &Deadline,
        journal: Journal,
    ) -> Result<Self, StoreError> {
        match &settings.url {
            StoreUrl::Stdout => Ok(Self::Stdout(ToReader::new(settings, deadline))),
            StoreUrl::Dav { .. } | StoreUrl::Presigned { .. } => {
                WholeUpload::open(settings, key, deadline, journal).map(|upload| Self::Whole(Box::new(upload)))
            }
            StoreUrl::Local { dir } => LocalUpload::open(dir, key, journal).map(Self::Local),
            StoreUrl::S3 { .. }
            | StoreUrl::Oss { .. }
            | StoreUrl::Obs { .. }
            | StoreUrl::Gs { .. }
            | StoreUrl::Az { .. } => RemoteUpload::open(settings, key, part_size, deadline, journal).map(Self::Remote),
        }
    }

    /// Returns whether the store takes parts before the dump is known to be whole.
    pub fn takes_parts_early(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    /// Returns the stage of [`Upload::finish`].
    pub fn last_stage(&self) -> LastStage {
        match self {
            // The last parts may still be in flight.
            Self::Remote(_) => LastStage::Completes(UPLOADING),
            Self::Local(_) => LastStage::Completes("finishing the file"),
            Self::Whole(_) => LastStage::Reads(UPLOADING),
            Self::Stdout(_) => LastStage::Reads("writing to standard output"),
        }
    }

    /// Returns whether a part was sent.
    pub fn has_parts(&self) -> bool {
        matches!(self, Self::Remote(upload) if upload.has_parts())
    }

    /// Returns an empty file for the spool, and its name, if the compressed dump stays in the store's directory. If the
    /// file may become the `only_copy` of the dump, it stays when the upload fails at its very end.
    ///
    /// # Errors
    /// When the store's directory fails.
    pub fn spool_file(&mut self, only_copy: bool) -> Result<Option<(File, Entry)>, StoreError> {
        match self {
            Self::Local(upload) => upload.spool_file(only_copy).map(Some),
            Self::Remote(_) | Self::Whole(_) | Self::Stdout(_) => Ok(None),
        }
    }

    /// Returns the file of the spool, if it is in the store's directory and may be the only copy.
    pub fn spooled_at(&self) -> Option<Entry> {
        match self {
            Self::Local(upload) => upload.spooled_at(),
            Self::Remote(_) | Self::Whole(_) | Self::Stdout(_) => None,
        }
    }

    /// Sends part `number`, counted from 0. At the end no number may be missing.
    ///
    /// # Errors
    /// When the store failed, at this part or an earlier one.
    pub fn put_part(&mut self, number: usize, part: Bytes, is_over: &dyn Fn() -> bool) -> Result<(), StoreError> {
        match self {
            Self::Remote(upload) => upload.put_part(number, part, is_over),
            Self::Local(_) | Self::Whole(_) | Self::Stdout(_) => Ok(()),
        }
    }

    /// Stores a text beside the object, for example its receipt.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn put_beside(&mut self, tail: &'static str, bytes: Vec<u8>) -> Result<(), StoreError> {
        match self {
            Self::Remote(upload) => upload.put_beside(tail, bytes),
            Self::Local(upload) => upload.put_beside(tail, &bytes),
            Self::Whole(upload) => upload.put_beside(tail, bytes),
            Self::Stdout(_) => Ok(()),
        }
    }

    /// Completes the object. The verdict proves that the dump is whole. Without a `spool`, all parts were sent already.
    ///
    /// # Errors
    /// When the store does not confirm the object.
    pub fn finish(self, _: &Verdict, digest: &Digest, spool: Option<&Spool>) -> Result<Finished, StoreError> {
        match (self, spool) {
            (Self::Remote(upload), _) => upload.finish(digest),
            (Self::Local(upload), Some(spool)) => upload.finish(digest, spool),
            (Self::Whole(upload), Some(spool)) => upload.finish(digest, spool),
            (Self::Stdout(reader), Some(spool)) => reader.write(spool, digest),
            (Self::Local(_) | Self::Whole(_) | Self::Stdout(_), None) => Err(SettingsError::NotRemote.into()),
        }
    }
}

/// A confirmed object, with the way to store texts beside it.
#[derive(Debug)]
pub struct Finished {
    pub object: StoredObject,
    upload: Upload,
}

impl Finished {
    /// Returns whether texts can lie beside the dump. Standard output and a signed URL take one object.
    pub fn takes_texts(&self) -> bool {
        match &self.upload {
            Upload::Remote(_) | Upload::Local(_) => true,
            Upload::Whole(upload) => upload.takes_texts(),
            Upload::Stdout(_) => false,
        }
    }

    /// Stores a text beside the dump, for example its receipt.
    ///
    /// # Errors
    /// When the store refuses. The dump itself is stored all the same.
    pub fn put_beside(&mut self, tail: &'static str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.upload.put_beside(tail, bytes)
    }
}
