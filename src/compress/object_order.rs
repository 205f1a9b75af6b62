//! The order of the blocks in the object, and where each lies in the spool file. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::block::{Section, Slot};
use super::head_move::HeadMove;

/// The range of a block in the spool file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    waiting: BTreeMap<Slot, Extent>,
    /// The blocks that end their sections.
    ends: BTreeSet<Slot>,
    /// The object from its start, as far as its order is known.
    pub ready: Vec<Placed>,
    pub ready_len: u64,
    next: Option<Slot>,
    pub file_len: u64,
    pub sealed: bool,
    pub given_up: bool,
}

impl Order {
    pub fn new() -> Self {
        Self { next: Some(Slot::FIRST), ..Self::default() }
    }

    /// Adds a block at the end of the file.
    pub fn add(&mut self, slot: Slot, ends: bool, len: u64) {
        self.waiting.insert(slot, Extent { offset: self.file_len, len });
        self.file_len += len;
        if ends {
            self.ends.insert(slot);
        }
    }

    /// Places the blocks that follow without a gap. A block of the head that lies behind the heap waits for all of the
    /// head, and can be moved until then.
    pub fn place_known(&mut self) {
        while let Some(next) = self.next {
            let Some(extent) = self.waiting.get(&next).copied() else { return };
            let is_behind_heap = next.section == Section::Head && extent.offset != self.ready_len && self.heap_waits();
            if is_behind_heap && !self.head_is_in() {
                return;
            }
            self.waiting.remove(&next);
            self.place(extent);
            self.next = next.following(self.ends.contains(&next));
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

    fn heap_waits(&self) -> bool {
        self.waiting.last_key_value().is_some_and(|(slot, _)| slot.section != Section::Head)
    }

    /// Returns whether the block that ends the head is in. The blocks of one section come in order.
    fn head_is_in(&self) -> bool {
        self.ends.first().is_some_and(|slot| slot.section == Section::Head)
    }

    /// Returns how the file has to change so that all of the head lies before the heap. `None` if the head is not all
    /// in, or lies there.
    pub fn head_move(&self) -> Option<HeadMove> {
        let is_head = |slot: &Slot| slot.section == Section::Head;
        let head = || self.waiting.iter().filter(|(slot, _)| is_head(slot)).map(|(_, extent)| *extent);
        let gap_end = head().map(|extent| extent.offset).min().filter(|_| self.head_is_in())?;
        let by: u64 = head().map(|extent| extent.len).sum();
        let heap = self.waiting.iter().filter(|(slot, _)| !is_head(slot)).map(|(_, extent)| *extent);
        let mut behind: Vec<Extent> = heap.filter(|extent| extent.offset > gap_end).collect();
        behind.sort_unstable_by_key(|extent| extent.offset);
        let rest = in_a_row(head(), self.ready_len).chain(in_a_row(behind.into_iter(), gap_end + by)).collect();
        Some(HeadMove { from: self.ready_len, until: gap_end, by, rest })
    }

    /// Notes that the file has changed as `to` says.
    pub fn moved(&mut self, to: &HeadMove) {
        for extent in self.waiting.values_mut() {
            extent.offset = to.offset_of(*extent);
        }
    }
}

/// Gives each block its place behind the one before, from `at` on.
fn in_a_row(blocks: impl Iterator<Item = Extent>, mut at: u64) -> impl Iterator<Item = (Extent, u64)> {
    blocks.map(move |block| {
        let place = at;
        at += block.len;
        (block, place)
    })
}
