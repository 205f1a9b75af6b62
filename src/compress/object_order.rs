//! The order of the blocks in the object, and where each lies in the spool file. No I/O.

use std::collections::BTreeMap;

use super::block::Slot;

/// The range of a block in the spool file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub offset: u64,
    pub len: u64,
}

/// The range of a block in the spool file, with its offset in the object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub at: u64,
    pub extent: Extent,
}

/// The blocks of a spool, in the order in which the object has them.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Blocks that are not yet known to be next in the object.
    pub waiting: BTreeMap<Slot, Extent>,
    /// The object from its start, as far as its order is known.
    pub ready: Vec<Placed>,
    pub ready_len: u64,
    pub next: Option<Slot>,
    pub file_len: u64,
    pub sealed: bool,
    pub given_up: bool,
}

impl Order {
    /// Places the blocks that follow without a gap inside the head.
    pub fn place_known(&mut self) {
        while let Some(next) = self.next {
            let Some(extent) = self.waiting.remove(&next) else { return };
            self.place(extent);
            self.next = Some(Slot { seq: next.seq + 1, ..next });
        }
    }

    pub fn place_rest(&mut self) {
        for extent in std::mem::take(&mut self.waiting).into_values() {
            self.place(extent);
        }
        self.next = None;
    }

    pub fn place(&mut self, extent: Extent) {
        self.ready.push(Placed { at: self.ready_len, extent });
        self.ready_len += extent.len;
    }

    /// Returns the file offset of the object offset `at`, and how many bytes follow there.
    pub fn locate(&self, at: u64) -> Option<(u64, u64)> {
        let index = self.ready.partition_point(|placed| placed.at <= at).checked_sub(1)?;
        let placed = self.ready[index];
        let inside = at - placed.at;
        let left = placed.extent.len.checked_sub(inside).filter(|left| *left > 0)?;
        Some((placed.extent.offset + inside, left))
    }
}
