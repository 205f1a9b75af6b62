//! Opens a multipart upload, which is the probe of the store, or finds the one that an earlier process has left.

use std::time::Duration;

use object_store::{Attribute, Attributes, MultipartId, ObjectMeta, ObjectStoreExt, PutMultipartOptions, PutPayload};

use super::multipart::Job;
use super::object_error::ObjectError;
use crate::guard::{self, Undo};
use crate::store::retry::Retry;
use crate::store::{OpenMultipart, StoreError};

/// Time after which a store that cannot open an upload counts as unusable.
pub(crate) const OPEN_FOR: Duration = Duration::from_secs(8);

/// Extra time, so that the error of the last try comes before our own time-out.
pub(crate) const SLACK: Duration = Duration::from_secs(2);

/// Longest id of an upload, which becomes a part of URLs. Those of Amazon have about 130 bytes.
const ID_MAX: usize = 4096;

/// The state of the object in the store.
pub(super) enum Found {
    /// The whole object: an earlier process completed it but could not note that.
    Object(Box<ObjectMeta>),
    Multipart(MultipartId),
}

impl Job {
    /// Finds the upload that an earlier process has left, or opens a new one.
    pub(super) async fn find(&self) -> Result<Found, StoreError> {
        if self.journal.is_resumed() {
            match self.probe.head(&self.path).await.map_err(ObjectError::from) {
                Ok(meta) => {
                    self.journal.found();
                    return Ok(Found::Object(Box::new(meta)));
                }
                Err(error) => log::info!("{} is not there yet: {error}", self.url),
            }
        }
        let store = self.settings.url.to_string();
        if let Some(id) = self.journal.open_in(&store) {
            return Ok(Found::Multipart(id));
        }
        let id = self.create().await?;
        let open = OpenMultipart { settings: self.settings.clone(), path: self.path.to_string(), id: id.clone() };
        self.journal.noted(guard::note(Undo::Upload(open.to_json()), &[]));
        log::debug!("multipart upload {id} is open");
        self.journal.opened(&store, &id);
        Ok(Found::Multipart(id))
    }

    /// Opens a multipart upload. Failures are tried again, because not every client of object_store does so. Opening
    /// twice does no harm.
    async fn create(&self) -> Result<MultipartId, StoreError> {
        let mut retry = Retry::from_now(self.opens_within());
        let id = loop {
            let created = self.probe.create_multipart_opts(&self.path, self.options()).await;
            match created.map_err(ObjectError::from) {
                Ok(id) if id.len() <= ID_MAX => break id,
                Ok(_) => return Err(StoreError::LongAnswer { url: self.url.clone(), what: "the id of the upload" }),
                Err(source) => {
                    let Some(pause) = retry.pause(!source.is_final()) else {
                        return Err(self.error("open an upload to", source));
                    };
                    log::info!("opening {} failed, trying again: {source}", self.url);
                    self.failure.replace(Some(self.error("open an upload to", source)));
                    tokio::time::sleep(pause).await;
                }
            }
        };
        self.failure.take();
        if self.is_azure {
            // On Azure, opening sends no request, so a block is sent as probe. A block that is in no list vanishes by
            // itself.
            let probe = self.probe.put_part(&self.path, &id, 0, PutPayload::from_static(b"probe")).await;
            probe.map_err(|error| self.error("open an upload to", error.into()))?;
        }
        Ok(id)
    }

    /// Returns the options of the upload. object_store accepts no attributes for Azure.
    fn options(&self) -> PutMultipartOptions {
        let attributes = Attributes::from_iter([(Attribute::ContentType, "application/gzip")]);
        let attributes = if self.is_azure { Attributes::new() } else { attributes };
        PutMultipartOptions { attributes, ..PutMultipartOptions::default() }
    }

    pub(super) fn opens_within(&self) -> Duration {
        OPEN_FOR.min(self.retry_for)
    }
}
