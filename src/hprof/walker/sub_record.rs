//! Walks through the sub-records of a heap dump: objects, arrays and roots. This is the hot loop of a walk.

use super::{Malformed, State, Step, Walker};
use crate::hprof::records::{
    be32, identifier, instance_head, is_cut, object_array_head, primitive_array_head, root_width, sub,
};
use crate::hprof::tally::{Body, Tally};

/// Bytes of an identifier of a 64-bit JVM.
const LONG_ID: usize = 8;

impl Walker {
    #[inline(always)]
    pub(super) fn sub_record(&mut self, b: &[u8], tally: &mut impl Tally) -> Result<Step, Malformed> {
        let id = self.id_size;
        match b[0] {
            sub::INSTANCE_DUMP => {
                let head = instance_head(id);
                if b.len() < head {
                    return Ok(Step::Need(head));
                }
                self.must_be_ids(&[identifier(b, 1, id), identifier(b, 5 + id, id)], tally)?;
                self.records.instances += 1;
                let body = u64::from(be32(b, head - 4));
                let body = Body { id: identifier(b, 1, id), at: self.offset + head as u64, bytes: body };
                let step = self.with_body(b, head, body.bytes)?;
                tally.instance(identifier(b, 5 + id, id), body);
                Ok(step)
            }
            sub::OBJ_ARRAY_DUMP => {
                let head = object_array_head(id);
                if b.len() < head {
                    return Ok(Step::Need(head));
                }
                let (array, class) = (identifier(b, 1, id), identifier(b, head - id, id));
                self.must_be_ids(&[array, class], tally)?;
                self.records.object_arrays += 1;
                let body = u64::from(be32(b, 5 + id)) * id as u64;
                let at = self.offset + head as u64;
                self.records.cut_arrays += u64::from(is_cut(head, body, id));
                let step = self.with_body(b, head, body)?;
                if id == LONG_ID {
                    tally.references(Body { id: array, at, bytes: body });
                }
                tally.object_array(class, body);
                Ok(step)
            }
            sub::PRIM_ARRAY_DUMP => {
                let head = primitive_array_head(id);
                if b.len() < head {
                    return Ok(Step::Need(head));
                }
                let width = self.width(b[head - 1])?;
                self.must_be_ids(&[identifier(b, 1, id)], tally)?;
                self.records.primitive_arrays += 1;
                let bytes = u64::from(be32(b, 5 + id)) * width as u64;
                self.records.cut_arrays += u64::from(is_cut(head, bytes, width));
                let body = Body { id: identifier(b, 1, id), at: self.offset + head as u64, bytes };
                let step = self.with_body(b, head, bytes)?;
                tally.primitive_array(b[head - 1], body);
                Ok(step)
            }
            sub::CLASS_DUMP => self.class_dump(b, tally),
            other => self.root(b, other, tally),
        }
    }

    /// Reads a sub-record of a head and opaque bytes, as far as they are here.
    #[inline(always)]
    fn with_body(&mut self, b: &[u8], head: usize, body: u64) -> Result<Step, Malformed> {
        self.book(head as u64 + body)?;
        let here = body.min((b.len() - head) as u64);
        self.state = if here == body { self.next_sub() } else { State::SubBody(body - here) };
        Ok(Step::Used(head + here as usize))
    }

    pub(super) fn sub_body(&mut self, b: &[u8], left: u64) -> Step {
        let n = left.min(b.len() as u64);
        self.state = if n == left { self.next_sub() } else { State::SubBody(left - n) };
        Step::Used(n as usize)
    }

    fn root(&mut self, b: &[u8], tag: u8, tally: &mut impl Tally) -> Result<Step, Malformed> {
        let Some(width) = root_width(tag, self.id_size) else {
            return Err(self.malformed(format!("unknown sub-record tag {tag:#04x}")));
        };
        if b.len() <= width {
            return Ok(Step::Need(1 + width));
        }
        self.must_be_ids(&[identifier(b, 1, self.id_size)], tally)?;
        self.records.roots += 1;
        if tag == sub::ROOT_THREAD_OBJ {
            tally.thread_root(identifier(b, 1, self.id_size));
        }
        self.book(1 + width as u64)?;
        self.state = self.next_sub();
        Ok(Step::Used(1 + width))
    }
}
