//! Brings the rest of a head before the heap in the spool file, so that the file is the object, and no copy of it is
//! needed. The JVM keeps that rest in its memory until it has written all of the heap (JDK: `heapDumper.cpp`,
//! `VM_HeapDumper::work`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::object_order::Extent;
use super::pages::PAGE;
use crate::base::deadline::tick;

/// Most bytes that are held in memory meanwhile: what the workers had, beside the rest of the head.
const REST_MAX: u64 = 8 << 20;

/// The move, as offsets in the file.
#[derive(Debug)]
pub(super) struct HeadMove {
    /// The heap from here until [`HeadMove::until`] moves back.
    pub from: u64,
    pub until: u64,
    /// Bytes of the rest of the head, by which the heap moves.
    pub by: u64,
    /// The blocks of the rest of the head, and those of the heap that lie between or behind them, each with its new offset.
    pub rest: Vec<(Extent, u64)>,
}

impl HeadMove {
    /// Returns whether the move takes little memory.
    pub fn is_small(&self) -> bool {
        self.rest.iter().map(|(block, _)| block.len).sum::<u64>() <= REST_MAX
    }

    /// Moves the bytes. Nobody may read them meanwhile.
    ///
    /// # Errors
    /// When the file fails. Its order is unknown then.
    pub fn carry_out(&self, file: &File) -> io::Result<()> {
        let mut rest = Vec::new();
        for (block, to) in &self.rest {
            let mut bytes = vec![0; block.len as usize];
            file.read_exact_at(&mut bytes, block.offset)?;
            rest.push((*to, bytes));
        }
        let (mut buf, mut end) = (vec![0; PAGE], self.until);
        while end > self.from {
            tick();
            let n = (end - self.from).min(PAGE as u64);
            end -= n;
            file.read_exact_at(&mut buf[..n as usize], end)?;
            file.write_all_at(&buf[..n as usize], end + self.by)?;
        }
        rest.into_iter().try_for_each(|(to, bytes)| file.write_all_at(&bytes, to))
    }

    /// Returns where a block of the heap, or of the rest of the head, lies after the move.
    pub fn offset_of(&self, block: Extent) -> u64 {
        let in_rest = self.rest.iter().find(|(one, _)| *one == block);
        in_rest.map_or(block.offset + self.by, |(_, to)| *to)
    }
}
