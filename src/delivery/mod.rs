//! From a source to a stored object: by a spool, straight into the store's parts, or as a file that is compressed
//! already.

pub mod download;
pub mod spooled;
pub mod streamed;

use std::io;
use std::time::Duration;

use crate::base::deadline::Deadline;
use crate::compress::spool::Spool;
use crate::compress::verdict::Verdict;
use crate::hprof::{Blanked, Summary};
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

/// Reports the last stage of `upload`, in which it takes the rest and completes the object.
fn tell_last_stage(upload: &Upload, spool: Option<&Spool>, progress: &Progress) {
    match (upload.last_stage(), spool) {
        (LastStage::Reads(name), Some(spool)) => progress.stage_counted(name, spool.bytes_read(), spool.stored_len()),
        (LastStage::Reads(name) | LastStage::Completes(name), _) => progress.stage(name, None),
    }
}
