//! A fixed pool of pages for the whole pipeline, so that memory does not grow with the heap.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::base::waiting::{Halt, Halted};

/// Raw bytes in a page.
pub const PAGE: usize = 1 << 20;

/// Capacity of a page in bytes, so that it has room for members whose bytes do not compress. Level 1 uses only the
/// fixed codes, which have at most 9 bits for a byte (RFC 1951, section 3.2.6). The gzip header and trailer of a
/// member take less than 64 bytes. zlib-rs panics when it has less room.
pub const CAPACITY: usize = PAGE + PAGE / 8 + 4096;

/// Hands out a fixed number of pages, and takes each back when it is dropped.
#[derive(Debug, Clone)]
pub struct Pool {
    free: Receiver<Vec<u8>>,
    back: Sender<Vec<u8>>,
}

impl Pool {
    pub fn new(pages: usize) -> Self {
        let (back, free) = bounded(pages);
        for _ in 0..pages {
            // The channel has room for each of them.
            let _ = back.try_send(Vec::new());
        }
        Self { free, back }
    }

    /// Waits for a free page. The page is empty, and takes its memory at first use.
    ///
    /// # Errors
    /// When the stages halt.
    pub fn take(&self, halt: &Halt) -> Result<Page, Halted> {
        // The pool itself holds a sender, so the channel is never closed.
        halt.receive(&self.free).map(|bytes| self.page(bytes.unwrap_or_default()))
    }

    /// Waits for a free page, at most for `time`.
    pub fn take_within(&self, time: Duration) -> Option<Page> {
        self.free.recv_timeout(time).ok().map(|bytes| self.page(bytes))
    }

    fn page(&self, mut bytes: Vec<u8>) -> Page {
        bytes.clear();
        bytes.reserve_exact(CAPACITY);
        Page { bytes, back: self.back.clone() }
    }
}

/// A page of the pool, which goes back there when it is dropped.
#[derive(Debug)]
pub struct Page {
    bytes: Vec<u8>,
    back: Sender<Vec<u8>>,
}

impl Page {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub fn as_mut_vec(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // The channel has room: it takes as many pages as there are.
        let _ = self.back.try_send(std::mem::take(&mut self.bytes));
    }
}
