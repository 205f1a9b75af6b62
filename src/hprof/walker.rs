//! Walks a dump as it passes by: verifies its structure, counts its records, and notices its end.
//!
//! The caller pushes consecutive pieces of any size, and uses the same bytes afterwards. The walker copies only a
//! record that straddles two pieces, so memory does not grow with the dump.

mod class_dump;
mod sub_record;
mod top_level;

use super::out_of_memory::OutOfMemoryStack;
use super::records::value_width;
use super::summary::{Records, Summary};
use super::tally::Tally;

/// The bytes are not HPROF from this offset on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not HPROF at byte {offset}: {what}")]
pub struct Malformed {
    pub offset: u64,
    pub what: String,
}

/// Most bytes that must be examined at once: a CLASS_DUMP up to its constant pool count, with identifiers of 8 bytes.
const CARRY: usize = 96;

#[derive(Debug, Clone, Copy)]
enum State {
    FileHeader,
    Top,
    /// Opaque bytes of a top-level record.
    Body(u64),
    /// The body of a UTF8 record that is short enough to be passed on, and its bytes.
    Symbol(usize),
    /// The body of a LOAD CLASS of the right length.
    LoadClass,
    /// The body of a FRAME of the right length.
    Frame,
    /// At a sub-record.
    Sub,
    /// Opaque bytes of a sub-record.
    SubBody(u64),
    ConstantPool(u16),
    StaticCount,
    Statics(u16),
    FieldCount,
    Fields(u16),
}

/// The result of one step.
enum Step {
    /// This many bytes are used up.
    Used(usize),
    /// This many bytes are needed to go on.
    Need(usize),
}

/// The state of one walk.
#[derive(Debug)]
pub struct Walker {
    state: State,
    id_size: usize,
    /// Bytes left in the open heap dump or segment.
    segment_left: u64,
    /// True if the last record is a HEAP_DUMP that holds something.
    ends_with_heap_dump: bool,
    /// True if an end record was seen, and no heap dump or segment since.
    has_ended: bool,
    offset: u64,
    carry: [u8; CARRY],
    carried: usize,
    records: Records,
    out_of_memory: OutOfMemoryStack,
    /// Time in the header, in milliseconds since 1970.
    begun_ms: u64,
}

impl Default for Walker {
    fn default() -> Self {
        Self::new()
    }
}

impl Walker {
    pub fn new() -> Self {
        Self {
            state: State::FileHeader,
            id_size: 8,
            segment_left: 0,
            ends_with_heap_dump: false,
            has_ended: false,
            offset: 0,
            carry: [0; CARRY],
            carried: 0,
            records: Records::default(),
            out_of_memory: OutOfMemoryStack::default(),
            begun_ms: 0,
        }
    }

    /// Takes the next bytes of the dump.
    ///
    /// # Errors
    /// When the bytes cannot belong to a heap dump. The walker is of no further use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.push_to(bytes, &mut ())
    }

    /// Takes the next bytes of the dump, and passes its records to `tally`.
    ///
    /// # Errors
    /// As [`Walker::push`].
    pub fn push_to(&mut self, mut bytes: &[u8], tally: &mut impl Tally) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            if self.carried > 0 {
                bytes = self.fill_carry(bytes, tally)?;
                continue;
            }
            match self.step(bytes, tally)? {
                Step::Used(n) => {
                    self.offset += n as u64;
                    bytes = &bytes[n..];
                }
                Step::Need(_) => {
                    self.carry[..bytes.len()].copy_from_slice(bytes);
                    self.carried = bytes.len();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Completes the record that straddles two pieces, and returns the bytes behind it.
    fn fill_carry<'a>(&mut self, bytes: &'a [u8], tally: &mut impl Tally) -> Result<&'a [u8], Malformed> {
        let carry = self.carry;
        let need = match self.step(&carry[..self.carried], tally)? {
            Step::Need(n) => n,
            Step::Used(_) => return Err(self.malformed("a record changed its length")),
        };
        let take = (need - self.carried).min(bytes.len());
        self.carry[self.carried..self.carried + take].copy_from_slice(&bytes[..take]);
        self.carried += take;
        // The walker examines the record even when it is not complete: bytes that cannot become a dump fail as early as
        // in one piece.
        let carry = self.carry;
        if let Step::Used(n) = self.step(&carry[..self.carried], tally)? {
            // A step never uses more than it asked for, and it asked for no more than was there.
            debug_assert_eq!(n, self.carried);
            self.offset += n as u64;
            self.carried = 0;
        }
        Ok(&bytes[take..])
    }

    /// Creates a walker for whole records behind the head of a dump, in a file of their own.
    pub fn after_head() -> Self {
        Self { state: State::Top, ..Self::new() }
    }

    /// Creates a walker for sub-records from the middle of a segment on, which has `left` bytes more.
    pub fn in_segment(id_size: usize, left: u64) -> Self {
        Self { state: State::Sub, id_size, segment_left: left, ..Self::new() }
    }

    /// Joins the walks of all sections, in the order of the dump, into one summary. The dump is whole if the last
    /// section saw the end and the others ended between two records.
    pub fn join(walkers: Vec<Self>) -> Summary {
        let last = walkers.len().saturating_sub(1);
        let complete = !walkers.is_empty();
        let mut joined = Summary { complete, ..Summary::default() };
        for (index, walker) in walkers.into_iter().enumerate() {
            let between = walker.is_between_records() && !walker.has_ended;
            let summary = walker.finish();
            joined.complete &= if index == last { summary.complete } else { between };
            joined.bytes += summary.bytes;
            joined.out_of_memory |= summary.out_of_memory;
            joined.thrower.extend(summary.thrower);
            joined.begun_ms = joined.begun_ms.max(summary.begun_ms);
            joined.records.add(&summary.records);
        }
        joined
    }

    /// Returns whether all bytes so far were whole records.
    pub fn is_between_records(&self) -> bool {
        matches!(self.state, State::Top) && self.carried == 0
    }

    /// Returns whether the dump may end here: its end record was seen. Whole records may follow it, because the `hprof`
    /// agent of JDK 8 writes profiles and further dumps into the same file (JDK: `hprof_io.c`). A dump that is one
    /// HEAP_DUMP needs no end record: its length says where it ends (JDK: `HeapHprofBinWriter.java`, as `jhsdb jmap
    /// --binaryheap` uses it; HPROF 1.0.1 has no end record).
    fn is_at_end(&self) -> bool {
        let is_one = self.ends_with_heap_dump && self.records.segments == 1;
        self.is_between_records() && (self.has_ended || is_one)
    }

    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Returns the result of the walk. [`Summary::complete`] says whether the dump was whole.
    pub fn finish(self) -> Summary {
        Summary {
            bytes: self.offset + self.carried as u64,
            complete: self.is_at_end(),
            out_of_memory: self.out_of_memory.seen,
            thrower: self.out_of_memory.frames,
            begun_ms: self.begun_ms,
            records: self.records,
            ..Summary::default()
        }
    }

    /// Reads one piece of a record. This function and those below with the same attribute are inlined into their loop.
    /// For a tally of its own, the compiler would not inline them, and the walk would take a fifth longer.
    #[inline(always)]
    fn step(&mut self, b: &[u8], tally: &mut impl Tally) -> Result<Step, Malformed> {
        match self.state {
            State::FileHeader => self.file_header(b),
            State::Top => self.top(b, tally),
            State::Body(left) => Ok(self.body(b, left)),
            State::Symbol(bytes) => Ok(self.symbol(b, bytes, tally)),
            State::LoadClass => Ok(self.load_class(b, tally)),
            State::Frame => Ok(self.frame(b)),
            State::Sub => self.sub_record(b, tally),
            State::SubBody(left) => Ok(self.sub_body(b, left)),
            State::ConstantPool(left) => self.constant_pool(b, left, tally),
            State::StaticCount => self.count(b, State::Statics),
            State::Statics(left) => self.statics(b, left, tally),
            State::FieldCount => self.count(b, State::Fields),
            State::Fields(left) => self.fields(b, left, tally),
        }
    }

    fn malformed(&self, what: impl Into<String>) -> Malformed {
        Malformed { offset: self.offset, what: what.into() }
    }

    /// Takes `n` bytes off the open segment.
    #[inline(always)]
    fn book(&mut self, n: u64) -> Result<(), Malformed> {
        self.segment_left =
            self.segment_left.checked_sub(n).ok_or_else(|| self.malformed("a sub-record leaves its segment"))?;
        Ok(())
    }

    /// Returns the state after a complete sub-record.
    fn next_sub(&self) -> State {
        if self.segment_left == 0 { State::Top } else { State::Sub }
    }

    #[inline(always)]
    pub(super) fn must_be_ids(&self, ids: &[u64], tally: &impl Tally) -> Result<(), Malformed> {
        match ids.iter().find(|id| !tally.admits(**id)) {
            Some(id) => Err(self.malformed(format!("identifier {id:#018x}, which is no address"))),
            None => Ok(()),
        }
    }

    #[inline(always)]
    fn width(&self, basic_type: u8) -> Result<usize, Malformed> {
        value_width(basic_type, self.id_size).ok_or_else(|| self.malformed(format!("unknown basic type {basic_type}")))
    }
}

#[cfg(test)]
#[path = "walker_tests.rs"]
mod tests;
