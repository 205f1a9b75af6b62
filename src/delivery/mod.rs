//! From a source to a stored object: by a spool, straight into the store's parts, or as a file that is compressed
//! already. `file/` is the way of a dump that lies in a file.

pub mod download;
pub mod file;
pub mod resume_command;
mod spool_ends;
pub mod spooled;
pub mod streamed;
pub mod temporary;
pub mod walk;

use std::io;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};

use crate::base::deadline::Deadline;
use crate::compress::spool::Spool;
use crate::compress::verdict::Verdict;
use crate::error::Error;
use crate::hprof::{Blanked, Summary};
use crate::object::key::{CONTEXT_TAIL, ObjectKey, RECEIPT_TAIL};
use crate::object::receipt::Receipt;
use crate::object::stored::Digest;
use crate::store::{Finished, LastStage, StoreError, Upload};
use crate::terminal::progress::Progress;

/// State that all stages of a delivery use.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub progress: &'a Progress,
    pub deadline: &'a Deadline,
}

/// A dump that is compressed, and not yet an object.
#[derive(Debug)]
pub struct Delivery {
    pub walk: Summary,
    pub digest: Digest,
    /// The result of sending the parts, if the store takes them early.
    pub sent: Result<(), StoreError>,
    /// `None` if all of the dump went out in parts.
    pub spool: Option<Spool>,
    /// Time until all of the dump was compressed.
    pub took: Duration,
    /// Time from then until all parts were sent, if the store takes them early.
    pub sending: Option<Duration>,
    /// Instances that lost their references as well, because nothing tells these from the values that had to be
    /// removed.
    pub blanked: Blanked,
}

impl Delivery {
    /// Sends a dump that lies compressed in `spool`. `walk` is its summary.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn of_compressed(
        spool: Spool,
        walk: Summary,
        part_size: u64,
        upload: &mut Upload,
        progress: &Progress,
    ) -> io::Result<Self> {
        let (digest, sent) = spooled::send(&spool, part_size, upload, progress)?;
        let (took, sending, blanked) = (Duration::ZERO, None, Blanked::default());
        Ok(Self { walk, digest, sent, spool: Some(spool), took, sending, blanked })
    }

    /// Completes the object. The bytes stay in the spool, whatever the store answers.
    ///
    /// # Errors
    /// When a part was not sent, or the store does not confirm the object.
    pub fn complete(&mut self, upload: Upload, verdict: &Verdict, progress: &Progress) -> Result<Finished, StoreError> {
        tell_last_stage(&upload, self.spool.as_ref(), progress);
        std::mem::replace(&mut self.sent, Ok(()))?;
        upload.finish(verdict, &self.digest, self.spool.as_ref())
    }
}

/// Completes the receipt of a stored object, and puts it beside the object.
pub fn tell_stored(receipt: &mut Receipt, mut finished: Finished, key: &ObjectKey, context: Option<&str>) {
    receipt.object = Some(finished.object.clone());
    if let Some(text) = context.filter(|_| finished.takes_texts()) {
        match finished.put_beside(CONTEXT_TAIL, text.as_bytes().to_vec()) {
            Ok(()) => receipt.context = Some(key.beside(CONTEXT_TAIL)),
            Err(error) => {
                receipt.warn(format!("what was asked besides the dump is not stored: {}", Error::Store(error).chain()));
            }
        }
    }
    receipt.stored = Some(Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
    let json = receipt.to_json().unwrap_or_default();
    if let Err(error) = finished.put_beside(RECEIPT_TAIL, json.into_bytes()) {
        receipt.warn(format!("the dump is stored, its receipt is not: {}", Error::Store(error).chain()));
    }
}

/// Reports the last stage of `upload`, in which it takes the rest and completes the object.
fn tell_last_stage(upload: &Upload, spool: Option<&Spool>, progress: &Progress) {
    match (upload.last_stage(), spool) {
        (LastStage::Reads(name), Some(spool)) => progress.stage_counted(name, spool.bytes_read(), spool.stored_len()),
        (LastStage::Reads(name) | LastStage::Completes(name), _) => progress.stage(name, None),
    }
}
