//! Completes a multipart upload, and finds out how far the store proves the object.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use object_store::multipart::PartId;
use object_store::{MultipartId, ObjectMeta, ObjectStoreExt};

use super::multipart::Job;
use super::object_error::ObjectError;
use super::part::is_e_tag_of;
use crate::kept::journal::SentPart;
use crate::object::stored::Verified;
use crate::store::StoreError;
use crate::store::url::Vendor;

/// Largest difference between a store's clock and ours (AWS: "Error responses", RequestTimeTooSkewed).
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(15);

impl Job {
    /// Checks the object that was there before this process. Unless a journal says that an earlier process sent it,
    /// only its ETag proves that it is ours.
    pub(super) fn same_object(
        &self,
        there: &ObjectMeta,
        parts: &[SentPart],
        bytes: u64,
    ) -> Result<Verified, StoreError> {
        let of_size = self.same_size(there.size, bytes)?;
        Ok(match is_e_tag_of(parts, there.e_tag.as_deref()) {
            true => Verified::Checksum,
            false if self.journal.is_by_us() => of_size,
            false => Verified::Acknowledged,
        })
    }

    fn same_size(&self, there: u64, expected: u64) -> Result<Verified, StoreError> {
        let differs = || StoreError::SizeDiffers { url: self.url.clone(), there, expected };
        if there == expected { Ok(Verified::Size) } else { Err(differs()) }
    }

    pub(super) async fn complete(
        &self,
        id: &MultipartId,
        parts: Vec<SentPart>,
        bytes: u64,
    ) -> Result<Verified, StoreError> {
        let ids = parts.iter().map(|part| PartId { content_id: part.id.clone() }).collect();
        let completed = self.backend.complete_multipart(&self.path, id, ids).await.map_err(ObjectError::from);
        let theirs = match completed {
            Ok(result) => result.e_tag,
            Err(error) if error.may_be_done() => return self.find_completed(error, &parts, bytes).await,
            Err(error) => return Err(self.error("complete", error)),
        };
        self.journal.wrote();
        match self.backend.head(&self.path).await.map_err(ObjectError::from) {
            Ok(meta) => self.same_size(meta.size, bytes)?,
            Err(error) if error.is_not_found() => return Err(self.error("find", error)),
            Err(error) => {
                log::info!("{} cannot be looked at: {error}", self.url);
                return Ok(Verified::Acknowledged);
            }
        };
        // With `tells_md5`, each part was compared when it was sent.
        let checked = self.tells_md5 && !parts.is_empty() && !self.strange.load(Ordering::Relaxed);
        let same = is_e_tag_of(&parts, theirs.as_deref());
        Ok(if same || checked { Verified::Checksum } else { Verified::Size })
    }

    /// Looks for the object after the answer to its completion was lost: it may be complete all the same.
    ///
    /// Another object of the same size must not count. The ETag shows whose object it is; or the time, where ETags are
    /// no MD5.
    async fn find_completed(&self, error: ObjectError, parts: &[SentPart], bytes: u64) -> Result<Verified, StoreError> {
        let found = self.backend.head(&self.path).await.ok().filter(|meta| meta.size == bytes);
        match found {
            Some(meta) if is_e_tag_of(parts, meta.e_tag.as_deref()) => {
                self.journal.wrote();
                Ok(Verified::Checksum)
            }
            Some(meta) if !self.tells_e_tag(parts) && meta.last_modified >= self.begun - CLOCKS_APART => {
                Ok(Verified::Acknowledged)
            }
            _ => Err(self.error("complete", error)),
        }
    }

    /// Returns whether the object's ETag can be computed: S3 builds it from the MD5s of the parts, if these are the
    /// parts' ETags.
    fn tells_e_tag(&self, parts: &[SentPart]) -> bool {
        match self.settings.url.vendor() {
            Some(Vendor::S3) => parts.iter().all(SentPart::is_told_by_md5),
            Some(Vendor::Oss | Vendor::Obs | Vendor::Gs | Vendor::Az) | None => false,
        }
    }
}
