//! Walks through a CLASS_DUMP piece by piece, because its length stands nowhere.

use super::{Malformed, State, Step, Walker};
use crate::hprof::records::{be16, class_head, identifier};
use crate::hprof::tally::Tally;

impl Walker {
    /// Reads the head: class, trace, super, loader, signers, domain, two reserved, instance size, size of the constant
    /// pool.
    pub(super) fn class_dump(&mut self, b: &[u8], tally: &mut impl Tally) -> Result<Step, Malformed> {
        let (head, id) = (class_head(self.id_size), self.id_size);
        if b.len() < head {
            return Ok(Step::Need(head));
        }
        let class = [identifier(b, 1, id), identifier(b, 1 + id + 4, id), identifier(b, 1 + 2 * id + 4, id)];
        self.must_be_ids(&class, tally)?;
        self.records.classes += 1;
        self.book(head as u64)?;
        tally.class(class[0], class[1], class[2]);
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

    /// Reads a constant: index (u2), type (u1), value.
    pub(super) fn constant_pool(&mut self, b: &[u8], left: u16, tally: &mut impl Tally) -> Result<Step, Malformed> {
        self.value(b, 2, State::ConstantPool(left - 1), tally)
    }

    /// Reads a static field: name (id), type (u1), value.
    pub(super) fn statics(&mut self, b: &[u8], left: u16, tally: &mut impl Tally) -> Result<Step, Malformed> {
        self.value(b, self.id_size, State::Statics(left - 1), tally)
    }

    /// Reads a field of instances: name (id), type (u1).
    pub(super) fn fields(&mut self, b: &[u8], left: u16, tally: &mut impl Tally) -> Result<Step, Malformed> {
        let size = self.id_size + 1;
        if b.len() < size {
            return Ok(Step::Need(size));
        }
        let bytes = self.width(b[size - 1])? as u32;
        tally.field(identifier(b, 0, self.id_size), b[size - 1], bytes);
        self.entry(size, State::Fields(left - 1))
    }

    /// Passes a value on even if only its start is here. The caller may change the walked bytes before the rest comes.
    fn value(&mut self, b: &[u8], before: usize, next: State, tally: &mut impl Tally) -> Result<Step, Malformed> {
        if b.len() <= before {
            return Ok(Step::Need(before + 1));
        }
        let width = self.width(b[before])?;
        let (size, at) = (before + 1 + width, self.offset + before as u64 + 1);
        // A constant has an index of two bytes instead of a name.
        let name_id = if before == self.id_size { identifier(b, 0, before) } else { 0 };
        tally.class_value(name_id, b[before], at, width as u64);
        if b.len() < size {
            return Ok(Step::Need(size));
        }
        self.entry(size, next)
    }

    fn entry(&mut self, size: usize, next: State) -> Result<Step, Malformed> {
        self.book(size as u64)?;
        self.state = next;
        self.skip_empty();
        Ok(Step::Used(size))
    }

    /// Goes on to the next list if no entry is left.
    fn skip_empty(&mut self) {
        self.state = match self.state {
            State::ConstantPool(0) => State::StaticCount,
            State::Statics(0) => State::FieldCount,
            State::Fields(0) => self.next_sub(),
            other => other,
        };
    }
}
