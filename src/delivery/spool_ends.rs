//! The two ends of the spool: the writer appends what is compressed, and the feeder reads it for the store, or for its
//! hash.

use std::io;

use bytes::Bytes;
use ring::digest::{Context, SHA256};

use crate::base::faults::door;
use crate::base::units::hex;
use crate::compress::block::GzBlock;
use crate::compress::pages::PAGE;
use crate::compress::spool::Spool;
use crate::object::stored::Digest;
use crate::store::{StoreError, Upload};
use crate::terminal::progress::Progress;

/// Bytes of the spool that may be in the page cache, which is charged to the container.
const CACHED: u64 = 32 << 20;

/// Drops the spool from the page cache when [`CACHED`] more bytes have been passed.
fn drop_cache_between(spool: &Spool, from: u64, to: u64) {
    if from / CACHED != to / CACHED {
        spool.drop_cache();
    }
}

/// Appends blocks to the spool, on the thread of the writer.
pub(super) struct Writer<'a> {
    spool: &'a Spool,
    hash: Option<Context>,
    reads_again: bool,
}

impl<'a> Writer<'a> {
    /// `sequential` says that blocks come in the order of the object, `reads_again` that [`feed`] reads them again.
    pub fn new(spool: &'a Spool, sequential: bool, reads_again: bool) -> Self {
        Self { spool, hash: sequential.then(sha256), reads_again }
    }

    /// Hashes a block of a sequential dump, whose bytes are still in the processor's cache, and appends it.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub fn append(&mut self, block: &GzBlock) -> io::Result<()> {
        let bytes = block.gz.as_slice();
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.spool.append(block)?;
        if !self.reads_again {
            let end = self.spool.stored_len();
            drop_cache_between(self.spool, end - bytes.len() as u64, end);
        }
        Ok(())
    }

    /// Returns the hash of all that was appended. `None` if it did not come in the order of the object.
    pub fn hash(self) -> Option<Context> {
        self.hash
    }
}

/// The outcome of reading the object.
pub(super) struct Fed {
    /// `None` if the reader was not to hash it.
    pub hash: Option<Context>,
    pub sent: Result<(), StoreError>,
}

/// Reads the object in its order, hashes it if nobody else does, and sends it part by part while the store takes them.
pub(super) fn feed(
    spool: &Spool,
    part_size: u64,
    mut upload: Option<&mut Upload>,
    hashes: bool,
    progress: &Progress,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Fed> {
    let mut hash = hashes.then(sha256);
    let (mut bytes, mut number, mut sent) = (0, 0, Ok(()));
    let uploads = upload.is_some();
    let piece = if uploads { part_size as usize } else { PAGE };
    let mut part = Vec::new();
    while let Some(ready) = spool.wait_ready(bytes, piece) {
        if part.len() != ready.len {
            part = vec![0; ready.len];
        }
        door("read the spool", || spool.read_exact_at(&mut part, bytes))?;
        if let Some(hash) = &mut hash {
            hash.update(&part);
        }
        drop_cache_between(spool, bytes, bytes + ready.len as u64);
        bytes += ready.len as u64;
        if let Some(store) = upload.as_deref_mut()
            && let Err(error) = store.put_part(number, Bytes::from(std::mem::take(&mut part)), is_over)
        {
            (sent, upload) = (Err(error), None);
        }
        // Until the spool is sealed, the progress counts the walk.
        if uploads && spool.is_sealed() {
            progress.set(bytes);
        }
        number += 1;
        // Without a store, the rest is read only for the hash.
        if ready.last || upload.is_none() && hash.is_none() {
            break;
        }
    }
    Ok(Fed { hash, sent })
}

/// Returns size and hash of the sealed object.
pub(super) fn digest_of(spool: &Spool, hash: Option<Context>) -> Digest {
    Digest { bytes: spool.stored_len(), sha256: hash.map(|hash| hex(hash.finish().as_ref())) }
}

fn sha256() -> Context {
    Context::new(&SHA256)
}
