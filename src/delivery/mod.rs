//! From a source to a stored object: by a spool, straight into the store's parts, or as a file that is compressed already.

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

/// What all stages of a delivery look at.
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
    /// Whether all parts went out, where the store takes them early.
    pub sent: Result<(), StoreError>,
    /// `None` where all of it went out in parts.
    pub spool: Option<Spool>,
    /// Until all of it was compressed.
    pub took: Duration,
    /// What parts took from then on, where the store takes them early.
    pub sending: Option<Duration>,
    /// Instances that lost their references as well, for nobody could tell them apart from what had to be taken out.
    pub blanked: Blanked,
}

impl Delivery {
    /// Sends a dump that lies compressed in `spool`, and of which `walk` is known.
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

    /// Completes the object. The bytes stay in the spool, whatever the store says.
    ///
    /// # Errors
    /// When a part was not sent, or the store does not confirm the object.
    pub fn complete(&mut self, upload: Upload, verdict: &Verdict, progress: &Progress) -> Result<Finished, StoreError> {
        tell_last_stage(&upload, self.spool.as_ref(), progress);
        std::mem::replace(&mut self.sent, Ok(()))?;
        upload.finish(verdict, &self.digest, self.spool.as_ref())
    }
}

/// Names the stage in which `upload` takes what is left, and completes the object.
fn tell_last_stage(upload: &Upload, spool: Option<&Spool>, progress: &Progress) {
    match (upload.last_stage(), spool) {
        (LastStage::Reads(name), Some(spool)) => progress.stage_counted(name, spool.bytes_read(), spool.stored_len()),
        (LastStage::Reads(name) | LastStage::Completes(name), _) => progress.stage(name, None),
    }
}
