//! Keeps the compressed dump on disk until the store has confirmed it. Blocks are appended as they come. Only the
//! spool knows the order of the object, and it reads in that order at any offset.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};

use super::block::{GzBlock, Section};
use super::head_move::HeadMove;
use super::object_order::{Extent, Order, Placed};
use super::page_hashes::PageHashes;
use super::pages::PAGE;
use crate::base::deadline::tick;
use crate::base::faults::door;
use crate::jvm::memory::{Ration, must_hold};

/// Longest wait of a reader before it checks again. An append wakes it earlier.
const WAITS_AT_ONCE: Duration = Duration::from_secs(1);

/// The compressed dump, shared by the thread that appends and the thread that reads.
#[derive(Debug)]
pub struct Spool {
    file: File,
    ration: Ration,
    order: Mutex<Order>,
    grown: Condvar,
    /// The offset where the last read ended.
    read: Arc<AtomicU64>,
    /// Set if another user can write the file.
    hashes: Option<PageHashes>,
    /// True if the file is to become the object, with all of the head before the heap.
    is_object: bool,
}

impl Spool {
    /// Creates a spool in `file`, which is empty and open for reading and writing.
    pub fn new(file: File) -> Self {
        let ration = Ration::of(&file);
        let (grown, read) = (Condvar::new(), Arc::default());
        Self { file, ration, order: Mutex::new(Order::new()), grown, read, hashes: None, is_object: false }
    }

    /// Creates a spool in the file that is to become the object.
    pub fn in_object(file: File) -> Self {
        Self { is_object: true, ..Self::new(file) }
    }

    /// Adopts a file that holds a compressed dump. The spool is sealed. The object is the whole file, or the `pieces`
    /// of an earlier spool, which came from [`Spool::pieces`].
    ///
    /// # Errors
    /// When the file is shorter than its pieces, or its size cannot be read.
    pub fn adopt(file: File, pieces: &[(u64, u64)]) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let whole = [(0, len)];
        let pieces = if pieces.is_empty() { &whole } else { pieces };
        let ends = pieces.iter().map(|(offset, len)| offset.checked_add(*len));
        if ends.clone().any(|end| end.is_none_or(|end| end > len)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let spool = Self::new(file);
        let mut order = spool.lock();
        order.file_len = pieces.iter().map(|(_, len)| len).sum();
        for (offset, len) in pieces {
            order.place(Extent { offset: *offset, len: *len });
        }
        drop(order);
        spool.seal();
        Ok(spool)
    }

    /// Adopts a file that another user can write. Every later read gives the bytes of this SHA-256, or fails.
    ///
    /// # Errors
    /// As [`Spool::adopt`]; errors of `go_on`, which is called before each read; `InvalidData` if the object is another
    /// one.
    pub fn adopt_hashed(
        file: File,
        pieces: &[(u64, u64)],
        sha256: &str,
        go_on: impl Fn() -> io::Result<()>,
    ) -> io::Result<Self> {
        let spool = Self::adopt(file, pieces)?;
        let read = |buf: &mut [u8], at| go_on().and_then(|()| spool.read_file_at(buf, at));
        let hashes = PageHashes::of(spool.stored_len(), sha256, read)?;
        Ok(Self { hashes: Some(hashes), ..spool })
    }

    /// Returns a flag that becomes true when a read finds that the owner has changed the file since it was adopted.
    pub fn has_changed(&self) -> Arc<AtomicBool> {
        self.hashes.as_ref().map(PageHashes::has_changed).unwrap_or_default()
    }

    /// Returns where the pieces of a sealed object lie in the file, as (offset, length) in bytes. Empty if the object
    /// lies in order.
    pub fn pieces(&self) -> Vec<(u64, u64)> {
        if self.is_in_order() {
            return Vec::new();
        }
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        for Placed { extent, .. } in &self.lock().ready {
            match pieces.last_mut() {
                Some((offset, len)) if *offset + *len == extent.offset => *len += extent.len,
                _ => pieces.push((extent.offset, extent.len)),
            }
        }
        pieces
    }

    /// Appends a block.
    ///
    /// # Errors
    /// When the file cannot be written, or would take memory that is needed.
    pub fn append(&self, block: &GzBlock) -> io::Result<()> {
        let offset = self.lock().file_len;
        let bytes = block.gz.as_slice();
        self.ration.take(bytes.len() as u64)?;
        door("write the spool", || self.file.write_all_at(bytes, offset))?;
        self.lock().add(block.slot, block.ends, bytes.len() as u64);
        if self.is_object && block.ends && block.slot.section == Section::Head {
            self.bring_head_forward()?;
        }
        self.lock().place_known();
        self.grown.notify_all();
        Ok(())
    }

    /// Makes the file the object. If the move would take much memory, a copy is made at the end.
    fn bring_head_forward(&self) -> io::Result<()> {
        let plan = self.lock().head_move().filter(HeadMove::is_small);
        if let Some(plan) = plan {
            plan.carry_out(&self.file)?;
            self.lock().moved(&plan);
        }
        Ok(())
    }

    /// Makes the order final: all blocks are in.
    pub fn seal(&self) {
        let mut order = self.lock();
        order.place_rest();
        order.sealed = true;
        self.grown.notify_all();
    }

    pub fn is_sealed(&self) -> bool {
        self.lock().sealed
    }

    /// Returns a counter of the bytes that were read from the start, for the progress of a store that reads the spool.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// Makes readers stop, because nothing more will come.
    pub fn give_up(&self) {
        self.lock().given_up = true;
        self.grown.notify_all();
    }

    /// Returns the metadata of the file.
    ///
    /// # Errors
    /// When the kernel does not give it.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Returns the number of compressed bytes so far.
    pub fn stored_len(&self) -> u64 {
        self.lock().file_len
    }

    /// Returns whether the file holds the blocks in the object's order, and so is the object.
    pub fn is_in_order(&self) -> bool {
        let order = self.lock();
        order.sealed && order.ready.iter().all(|placed| placed.at == placed.extent.offset)
    }

    /// Copies the object, in its order, to `to`.
    ///
    /// # Errors
    /// When one of the files fails, or `to` would take memory that is needed.
    pub fn copy_to(&self, to: &File) -> io::Result<()> {
        let (len, mut buf) = (self.stored_len(), vec![0; PAGE]);
        must_hold(to, len)?;
        let mut at = 0;
        while at < len {
            let n = (len - at).min(PAGE as u64) as usize;
            self.read_exact_at(&mut buf[..n], at)?;
            to.write_all_at(&buf[..n], at)?;
            at += n as u64;
        }
        Ok(())
    }

    /// Lets the kernel drop the file from the page cache, and starts to write it to the disk. Written bytes are seldom
    /// read again.
    pub fn drop_cache(&self) {
        if let Err(errno) = fadvise(&self.file, 0, None, Advice::DontNeed) {
            log::debug!("the compressed dump stays in the page cache: {errno}");
        }
    }

    /// Waits until `len` bytes at `at` of the object are known, or all that will ever come. Returns `None` if the spool
    /// was given up.
    pub fn wait_ready(&self, at: u64, len: usize) -> Option<Ready> {
        let mut order = self.lock();
        loop {
            if order.given_up {
                return None;
            }
            let here = order.ready_len.saturating_sub(at).min(len as u64) as usize;
            if here == len || order.sealed {
                return Some(Ready { len: here, last: order.sealed && at + here as u64 == order.ready_len });
            }
            order = self.grown.wait_timeout(order, WAITS_AT_ONCE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads the object at `at`. All bytes of `buf` must be ready.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let end = at + buf.len() as u64;
        match &self.hashes {
            Some(hashes) => hashes.read_exact_at(buf, at, |page, at| self.read_file_at(page, at))?,
            None => self.read_file_at(buf, at)?,
        }
        self.read.store(end, Ordering::Relaxed);
        Ok(())
    }

    fn read_file_at(&self, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
        tick();
        while !buf.is_empty() {
            let (offset, here) = self.lock().locate(at).ok_or(io::ErrorKind::UnexpectedEof)?;
            let n = buf.len().min(here as usize);
            self.file.read_exact_at(&mut buf[..n], offset)?;
            buf = &mut buf[n..];
            at += n as u64;
        }
        Ok(())
    }

    /// Returns a reader of the sealed object from its start.
    pub fn reader(&self) -> impl Read + '_ {
        Reader { spool: self, at: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader<'a> {
    spool: &'a Spool,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = (buf.len() as u64).min(self.spool.stored_len() - self.at) as usize;
        self.spool.read_exact_at(&mut buf[..n], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// The bytes of the object that can be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Ready {
    pub len: usize,
    /// True if these are the object's last bytes.
    pub last: bool,
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
