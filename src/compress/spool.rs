//! The compressed dump on disk until the store has confirmed it. Members are appended as they come; only the
//! spool knows the object's order, and reads in that order at any offset.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use serde::{Deserialize, Serialize};

use super::pages::{PAGE, Page};
use crate::base::deadline::tick;
use crate::base::faults::door;
use crate::jvm::memory::{Ration, must_hold};

/// How long a reader waits at a time; whoever appends wakes it.
const LOOK: Duration = Duration::from_secs(1);

/// A part of the dump; the derived order is the order in the object. A dump that comes as one sequential
/// stream is all `Head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Section {
    Head,
    Heap(u16),
    End,
}

/// The place of a block in the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub section: Section,
    pub seq: u32,
}

/// At most one page of raw HPROF.
#[derive(Debug)]
pub struct Block {
    pub slot: Slot,
    pub raw: Page,
}

/// One gzip member, independent of all others.
#[derive(Debug)]
pub struct Member {
    pub slot: Slot,
    pub gz: Page,
    pub raw_len: u32,
}

/// A member in the spool file.
#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    len: u64,
}

/// A member's place in the object.
#[derive(Debug, Clone, Copy)]
struct Placed {
    at: u64,
    extent: Extent,
}

#[derive(Debug, Default)]
struct Order {
    /// Not yet known to be next in the object.
    waiting: BTreeMap<Slot, Extent>,
    /// The object from its start, as far as its order is known.
    ready: Vec<Placed>,
    ready_len: u64,
    next: Option<Slot>,
    file_len: u64,
    sealed: bool,
    given_up: bool,
}

/// See the module's words. Shared between the one that appends and the one that reads.
#[derive(Debug)]
pub struct Spool {
    file: File,
    ration: Ration,
    order: Mutex<Order>,
    grown: Condvar,
    /// Where the last read has ended.
    read: Arc<AtomicU64>,
}

impl Spool {
    /// `file` is empty, open for reading and writing.
    pub fn new(file: File) -> Self {
        let order = Order { next: Some(Slot::FIRST), ..Order::default() };
        let ration = Ration::of(&file);
        Self { file, ration, order: Mutex::new(order), grown: Condvar::new(), read: Arc::default() }
    }

    /// A compressed dump that is already a file: sealed, of one extent or of those in `pieces`, which were [`Spool::pieces`].
    ///
    /// # Errors
    /// When the file is shorter than its pieces, or does not tell its size.
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

    /// Where the pieces of a sealed object lie in the file, as (offset, length); empty when it lies in order.
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

    /// # Errors
    /// When the file cannot be written, or would take memory that is needed.
    pub fn append(&self, member: &Member) -> io::Result<()> {
        let offset = self.lock().file_len;
        let bytes = member.gz.as_slice();
        self.ration.take(bytes.len() as u64)?;
        door("write the spool", || self.file.write_all_at(bytes, offset))?;
        let mut order = self.lock();
        order.file_len += bytes.len() as u64;
        order.waiting.insert(member.slot, Extent { offset, len: bytes.len() as u64 });
        order.place_known();
        self.grown.notify_all();
        Ok(())
    }

    /// All members are in: the order is final.
    pub fn seal(&self) {
        let mut order = self.lock();
        order.place_rest();
        order.sealed = true;
        self.grown.notify_all();
    }

    pub fn is_sealed(&self) -> bool {
        self.lock().sealed
    }

    /// How far whoever reads it from its start has come: for the progress of a store that does.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// Nothing more will come: readers stop.
    pub fn give_up(&self) {
        self.lock().given_up = true;
        self.grown.notify_all();
    }

    /// # Errors
    /// When the file does not tell.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Compressed bytes so far.
    pub fn stored_len(&self) -> u64 {
        self.lock().file_len
    }

    /// The file holds the members in the object's order, so it is the object.
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

    /// What was written is read no more, or seldom: it need not stay in memory. Starts to write it to the disk, too.
    pub fn drop_cache(&self) {
        if let Err(errno) = fadvise(&self.file, 0, None, Advice::DontNeed) {
            log::debug!("the compressed dump stays in the page cache: {errno}");
        }
    }

    /// Waits until `len` bytes at `at` of the object are known, or all there will ever be.
    /// `None` when the spool was given up.
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
            order = self.grown.wait_timeout(order, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads the object at `at`; all of `buf` must be ready.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_exact_at(&self, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
        tick();
        while !buf.is_empty() {
            let (offset, here) = self.lock().locate(at).ok_or(io::ErrorKind::UnexpectedEof)?;
            let n = buf.len().min(here as usize);
            self.file.read_exact_at(&mut buf[..n], offset)?;
            buf = &mut buf[n..];
            at += n as u64;
        }
        self.read.store(at, Ordering::Relaxed);
        Ok(())
    }

    /// The sealed object from its start.
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

/// What of the object can be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Ready {
    pub len: usize,
    /// These are the object's last bytes.
    pub last: bool,
}

impl Order {
    /// Places what follows without a gap inside the head.
    fn place_known(&mut self) {
        while let Some(next) = self.next {
            let Some(extent) = self.waiting.remove(&next) else { return };
            self.place(extent);
            self.next = Some(Slot { seq: next.seq + 1, ..next });
        }
    }

    fn place_rest(&mut self) {
        for extent in std::mem::take(&mut self.waiting).into_values() {
            self.place(extent);
        }
        self.next = None;
    }

    fn place(&mut self, extent: Extent) {
        self.ready.push(Placed { at: self.ready_len, extent });
        self.ready_len += extent.len;
    }

    /// File offset of object offset `at`, and how many bytes follow there.
    fn locate(&self, at: u64) -> Option<(u64, u64)> {
        let index = self.ready.partition_point(|placed| placed.at <= at).checked_sub(1)?;
        let placed = self.ready[index];
        let inside = at - placed.at;
        let left = placed.extent.len.checked_sub(inside).filter(|left| *left > 0)?;
        Some((placed.extent.offset + inside, left))
    }
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
