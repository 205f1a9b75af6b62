//! Sends one part of a multipart upload. Failed tries are repeated. The store's answer is compared with the part.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use object_store::multipart::PartId;
use object_store::{MultipartId, PutPayload};

use super::multipart::Job;
use super::object_error::ObjectError;
use crate::base::faults::door;
use crate::base::units::hex;
use crate::kept::journal::SentPart;
use crate::store::StoreError;
use crate::store::retry::Retry;

/// Longest ETag of a part; ten thousand are in memory at a time. An MD5 has 32 hexadecimal digits, an id of Azure 64.
const E_TAG_MAX: usize = 1024;

impl Job {
    /// Sends the part. If object_store's own retries fail, the part is sent again with a new signature, because those
    /// retries all use the first one.
    pub(crate) async fn put_part(
        &self,
        id: &MultipartId,
        number: usize,
        bytes: Bytes,
    ) -> Result<(usize, SentPart), StoreError> {
        door("put a part", || Ok(())).map_err(StoreError::Spool)?;
        let md5: [u8; 16] = Md5::digest(&bytes).into();
        if let Some(part) = self.journal.part(number, &md5) {
            return Ok((number, part));
        }
        let (mut retry, mut again) = (Retry::from_first_failure(self.retry_for), false);
        loop {
            let payload = PutPayload::from_bytes(bytes.clone());
            let put = self.backend.put_part(&self.path, id, number, payload).await;
            match put.map_err(ObjectError::from) {
                Ok(PartId { content_id }) if self.tells_md5 && !again && is_another_md5(&content_id, &md5) => {
                    log::warn!("the store has another part {} of {} than was sent, trying again", number + 1, self.url);
                    again = true;
                    continue;
                }
                Ok(PartId { content_id }) if content_id.len() > E_TAG_MAX => {
                    return Err(StoreError::LongAnswer { url: self.url.clone(), what: "the ETag of a part" });
                }
                Ok(PartId { content_id: id }) => {
                    // If the answer differs twice, the part is not damaged: the store's ETag is no MD5.
                    if self.tells_md5 && is_another_md5(&id, &md5) {
                        self.strange.store(true, Ordering::Relaxed);
                    }
                    let part = SentPart { id, md5 };
                    self.journal.sent(number, &part);
                    return Ok((number, part));
                }
                Err(source) => {
                    let Some(pause) = retry.pause(!source.is_final()) else {
                        return Err(self.error("upload a part of", source));
                    };
                    log::warn!("part {} of {} failed, trying again: {source}", number + 1, self.url);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

fn is_another_md5(e_tag: &str, md5: &[u8]) -> bool {
    !e_tag.trim_matches('"').eq_ignore_ascii_case(&hex(md5))
}

impl SentPart {
    /// Returns a part that was not sent, because the store may already have the object.
    pub(crate) fn not_sent(bytes: &[u8]) -> Self {
        Self { id: String::new(), md5: Md5::digest(bytes).into() }
    }

    /// Returns whether the store uses the MD5 of the part as its ETag.
    pub(crate) fn is_told_by_md5(&self) -> bool {
        !is_another_md5(&self.id, &self.md5)
    }
}

/// Returns whether an object's ETag is that of these parts.
pub(crate) fn is_e_tag_of(parts: &[SentPart], e_tag: Option<&str>) -> bool {
    e_tag.is_some_and(|e_tag| e_tag.trim_matches('"').eq_ignore_ascii_case(&multipart_e_tag(parts)))
}

/// Returns the MD5 of the parts' MD5s, and their number. S3 and compatible stores answer this ETag, except for OSS, and
/// unless they encrypt with a key of a key service (AWS: "Checking object integrity", ETags of multipart uploads;
/// Alibaba Cloud: "CompleteMultipartUpload").
fn multipart_e_tag(parts: &[SentPart]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part.md5);
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e_tag_of_a_multipart_upload_is_md5_of_its_parts_md5s() {
        let part = |bytes: &[u8]| SentPart { id: String::new(), md5: Md5::digest(bytes).into() };
        // Computed with md5sum and xxd.
        assert_eq!(multipart_e_tag(&[part(b"a"), part(b"b")]), "96e024ba2074fe77e8e965ba43a704be-2");
    }

    #[test]
    fn an_e_tag_in_quotes_or_capitals_is_the_same_md5() {
        let md5: [u8; 16] = Md5::digest(b"a").into();
        assert!(!is_another_md5("\"0CC175B9C0F1B6A831C399E269772661\"", &md5));
        assert!(is_another_md5("0cc175b9c0f1b6a831c399e269772662", &md5));
    }
}
