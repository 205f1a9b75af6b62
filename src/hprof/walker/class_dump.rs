//! The walk through a CLASS_DUMP, whose length nothing says: piece by piece.

use super::super::records::{be16, class_head};
use super::{Malformed, State, Step, Walker};

impl Walker {
    /// Class, trace, super, loader, signers, domain, two reserved, instance size, then the constant pool.
    pub(super) fn class_dump(&mut self, b: &[u8]) -> Result<Step, Malformed> {
        let head = class_head(self.id_size);
        if b.len() < head {
            return Ok(Step::Need(head));
        }
        self.records.classes += 1;
        self.book(head as u64)?;
        self.state = State::ConstantPool(be16(b, head - 2));
        self.skip_empty();
        Ok(Step::Used(head))
    }

    pub(super) fn count(&mut self, b: &[u8], next: fn(u16) -> State) -> Result<Step, Malformed> {
        if b.len() < 2 {
            return Ok(Step::Need(2));
        }
        self.book(2)?;
        self.state = next(be16(b, 0));
        self.skip_empty();
        Ok(Step::Used(2))
    }

    /// Index (u2), type (u1), value.
    pub(super) fn constant_pool(&mut self, b: &[u8], left: u16) -> Result<Step, Malformed> {
        self.typed_entry(b, 2, true, State::ConstantPool(left - 1))
    }

    /// Name (id), type (u1), value.
    pub(super) fn statics(&mut self, b: &[u8], left: u16) -> Result<Step, Malformed> {
        self.typed_entry(b, self.id_size, true, State::Statics(left - 1))
    }

    /// Name (id), type (u1).
    pub(super) fn fields(&mut self, b: &[u8], left: u16) -> Result<Step, Malformed> {
        self.typed_entry(b, self.id_size, false, State::Fields(left - 1))
    }

    fn typed_entry(&mut self, b: &[u8], before: usize, has_value: bool, next: State) -> Result<Step, Malformed> {
        if b.len() <= before {
            return Ok(Step::Need(before + 1));
        }
        let width = self.width(b[before])?;
        let size = before + 1 + if has_value { width } else { 0 };
        if b.len() < size {
            return Ok(Step::Need(size));
        }
        self.book(size as u64)?;
        self.state = next;
        self.skip_empty();
        Ok(Step::Used(size))
    }

    /// Goes on where nothing is left to read.
    fn skip_empty(&mut self) {
        self.state = match self.state {
            State::ConstantPool(0) => State::StaticCount,
            State::Statics(0) => State::FieldCount,
            State::Fields(0) => self.next_sub(),
            other => other,
        };
    }
}
