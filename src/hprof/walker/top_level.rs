//! Walks through the header of the file and the top-level records.

use super::{Malformed, State, Step, Walker};
use crate::hprof::records::{
    FILE_HEADER, ID_SIZE_AT, MAGIC, TIME_AT, TOP_HEADER, be32, frame_body, identifier, load_class_body, tag,
};
use crate::hprof::tally::{SYMBOL_MAX, Tally};

impl Walker {
    pub(super) fn file_header(&mut self, b: &[u8]) -> Result<Step, Malformed> {
        if !b.starts_with(&MAGIC[..MAGIC.len().min(b.len())]) {
            return Err(self.malformed("it does not begin with JAVA PROFILE 1.0"));
        }
        if b.len() < FILE_HEADER {
            return Ok(Step::Need(FILE_HEADER));
        }
        self.id_size = match be32(b, ID_SIZE_AT) {
            4 => 4,
            8 => 8,
            other => return Err(self.malformed(format!("identifiers of {other} bytes"))),
        };
        if b[18] != 0 {
            return Err(self.malformed("its version does not end with NUL"));
        }
        self.begun_ms = (u64::from(be32(b, TIME_AT)) << 32) | u64::from(be32(b, TIME_AT + 4));
        self.state = State::Top;
        Ok(Step::Used(FILE_HEADER))
    }

    pub(super) fn top(&mut self, b: &[u8], tally: &impl Tally) -> Result<Step, Malformed> {
        if self.has_ended && !is_record(b[0]) {
            return Err(self.malformed("bytes after the end of the dump"));
        }
        if b.len() < TOP_HEADER {
            return Ok(Step::Need(TOP_HEADER));
        }
        let length = u64::from(be32(b, 5));
        self.ends_with_heap_dump = b[0] == tag::HEAP_DUMP && length > 0;
        self.state = match b[0] {
            tag::HEAP_DUMP_END if length == 0 => {
                self.has_ended = true;
                State::Top
            }
            tag::HEAP_DUMP_END => return Err(self.malformed("an end record with a body")),
            tag::HEAP_DUMP | tag::HEAP_DUMP_SEGMENT => {
                self.records.segments += 1;
                self.has_ended = false;
                self.segment_left = length;
                if length == 0 { State::Top } else { State::Sub }
            }
            tag::UTF8..=tag::CONTROL_SETTINGS if !tally.admits_record(b[0], length, self.id_size) => {
                return Err(self.malformed(format!("a record {:#04x} of {length} bytes", b[0])));
            }
            tag::UTF8..=tag::CONTROL_SETTINGS => {
                self.count_top(b[0]);
                if b[0] == tag::TRACE {
                    self.out_of_memory.trace();
                }
                self.top_body(b[0], length)
            }
            other => return Err(self.malformed(format!("unknown record tag {other:#04x}"))),
        };
        if matches!(self.state, State::Body(0)) {
            self.state = State::Top;
        }
        Ok(Step::Used(TOP_HEADER))
    }

    fn top_body(&self, record: u8, length: u64) -> State {
        let told = self.id_size as u64..=(self.id_size + SYMBOL_MAX) as u64;
        match record {
            tag::UTF8 if told.contains(&length) => State::Symbol(length as usize),
            tag::LOAD_CLASS if length == load_class_body(self.id_size) as u64 => State::LoadClass,
            tag::FRAME if length == frame_body(self.id_size) as u64 => State::Frame,
            _ => State::Body(length),
        }
    }

    fn count_top(&mut self, record: u8) {
        let counter = match record {
            tag::UTF8 => &mut self.records.utf8,
            tag::LOAD_CLASS => &mut self.records.load_class,
            tag::FRAME => &mut self.records.stack_frames,
            tag::TRACE => &mut self.records.stack_traces,
            _ => &mut self.records.other,
        };
        *counter += 1;
    }

    pub(super) fn body(&mut self, b: &[u8], left: u64) -> Step {
        let n = left.min(b.len() as u64);
        self.state = if n == left { State::Top } else { State::Body(left - n) };
        Step::Used(n as usize)
    }

    /// Reads the body of a UTF8 record: identifier, text.
    pub(super) fn symbol(&mut self, b: &[u8], bytes: usize, tally: &mut impl Tally) -> Step {
        if b.len() < bytes {
            return Step::Need(bytes);
        }
        let (id, text) = (identifier(b, 0, self.id_size), &b[self.id_size..bytes]);
        self.out_of_memory.symbol(id, text);
        tally.symbol(id, text);
        self.state = State::Top;
        Step::Used(bytes)
    }

    /// Reads the body of a LOAD CLASS record: serial number (u4), class, trace (u4), name.
    pub(super) fn load_class(&mut self, b: &[u8], tally: &mut impl Tally) -> Step {
        let (id, body) = (self.id_size, load_class_body(self.id_size));
        if b.len() < body {
            return Step::Need(body);
        }
        let name = identifier(b, body - id, id);
        self.out_of_memory.load_class(be32(b, 0), name);
        tally.load_class(identifier(b, 4, id), name);
        self.state = State::Top;
        Step::Used(body)
    }

    pub(super) fn frame(&mut self, b: &[u8]) -> Step {
        let body = frame_body(self.id_size);
        if b.len() < body {
            return Step::Need(body);
        }
        self.out_of_memory.frame(b, self.id_size);
        self.state = State::Top;
        Step::Used(body)
    }
}

/// Returns whether a record of a dump may begin with this tag.
fn is_record(record: u8) -> bool {
    matches!(record, tag::UTF8..=tag::CONTROL_SETTINGS | tag::HEAP_DUMP_SEGMENT | tag::HEAP_DUMP_END)
}
