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

/// At most one page of raw HPROF, with its position.
#[derive(Debug)]
pub struct Block {
    pub slot: Slot,
    pub raw: Page,
}

/// A block as gzip members. Each is independent of all others.
#[derive(Debug)]
pub struct GzBlock {
    pub slot: Slot,
    pub gz: Page,
}
