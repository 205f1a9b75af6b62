//! What flows between the stages: blocks of a raw dump become blocks of gzip members. Each carries its position.

use serde::{Deserialize, Serialize};

use super::pages::Page;

/// A section of the dump. The derived order is the order in the object. A dump that comes as one sequential stream is
/// all `Head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Section {
    Head,
    Heap(u16),
    End,
}

/// The position of a block in the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub section: Section,
    pub seq: u32,
}

impl Slot {
    /// The first block of the object. Blocks may come in any order.
    pub const FIRST: Slot = Slot { section: Section::Head, seq: 0 };

    /// Returns the position of the block that follows in the object; `None` if that is not known. `ends` says that this
    /// block ends its section.
    pub fn following(self, ends: bool) -> Option<Slot> {
        match self.section {
            _ if !ends => Some(Slot { seq: self.seq + 1, ..self }),
            Section::Head => Some(Slot { section: Section::Heap(0), seq: 0 }),
            Section::Heap(number) => Some(Slot { section: Section::Heap(number.checked_add(1)?), seq: 0 }),
            Section::End => None,
        }
    }
}

/// At most one page of raw HPROF, with its position.
#[derive(Debug)]
pub struct Block {
    pub slot: Slot,
    /// True if the block is known to end its section.
    pub ends: bool,
    pub raw: Page,
}

/// A block as gzip members. Each is independent of all others.
#[derive(Debug)]
pub struct GzBlock {
    pub slot: Slot,
    /// As [`Block::ends`].
    pub ends: bool,
    pub gz: Page,
}
