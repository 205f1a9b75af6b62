//! Makes segments with right lengths, for a dump that is read while it is written. A segment has the length 0 until the
//! JVM goes back to write it (JDK 8 and 11.0.0 to 11.0.12: `heapDumper.cpp`,
//! `DumpWriter::write_current_dump_record_length`). The sub-records show where a segment ends: the tags of the records
//! that can follow are no tags of sub-records.

use super::records::{self, TOP_HEADER, be32, sub_record_size, tag};
use super::walker::Malformed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FileHeader,
    Top,
    /// Between two sub-records.
    Sub,
    /// This many bytes are copied unchanged.
    Through {
        left: u64,
        in_segment: bool,
    },
}

/// Copies a dump into pages, with new segments.
#[derive(Debug)]
pub struct Reframer {
    state: State,
    id_size: usize,
    input: Vec<u8>,
    used: usize,
    offset: u64,
    /// Offset in the page of the header of the open segment.
    open: Option<usize>,
    page_size: usize,
}

impl Reframer {
    /// Creates a reframer for pages of at most `page_size` bytes.
    pub fn new(page_size: usize) -> Self {
        Self { state: State::FileHeader, id_size: 8, input: Vec::new(), used: 0, offset: 0, open: None, page_size }
    }

    /// Creates a reframer for the bytes behind the header of a segment.
    pub fn in_segment(page_size: usize, id_size: usize) -> Self {
        Self { state: State::Sub, id_size, ..Self::new(page_size) }
    }

    /// Takes the next bytes of the dump as it is written.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.extend_from_slice(bytes);
    }

    /// Fills `page` further. Returns true if the page is full, false if more bytes are needed first.
    ///
    /// # Errors
    /// When the bytes cannot be those of a dump.
    pub fn fill(&mut self, page: &mut Vec<u8>) -> Result<bool, Malformed> {
        loop {
            let filled = match self.state {
                State::FileHeader => self.file_header(page)?,
                State::Top => self.top(page),
                State::Sub => self.sub_records(page)?,
                State::Through { left, in_segment } => self.through(page, left, in_segment),
            };
            match filled {
                Filled::GoOn => {}
                Filled::Page => {
                    self.close(page);
                    return Ok(true);
                }
                Filled::NeedMore => return Ok(false),
            }
        }
    }

    /// Ends the dump: no more bytes will come. A cut sub-record stays cut. Its segment promises more bytes than there
    /// are, as in any cut dump.
    pub fn finish(&mut self, page: &mut Vec<u8>) {
        let is_cut = self.state == State::Sub && !self.rest().is_empty();
        if is_cut && page.len() + TOP_HEADER < self.page_size {
            self.open_segment(page);
        }
        let n = self.rest().len().min(self.page_size - page.len());
        self.copy(page, n);
        let missing = match self.state {
            State::Through { left, in_segment: true } => left as u32,
            _ => u32::from(is_cut),
        };
        self.close_with(page, missing);
    }

    /// Copies the bytes that could not be understood, so that the walker judges them.
    pub fn abandon(&mut self, page: &mut Vec<u8>) {
        self.close(page);
        self.copy(page, self.rest().len());
    }

    fn rest(&self) -> &[u8] {
        &self.input[self.used..]
    }

    fn skip(&mut self, n: usize) {
        self.used += n;
        self.offset += n as u64;
    }

    fn copy(&mut self, page: &mut Vec<u8>, n: usize) {
        page.extend_from_slice(&self.input[self.used..self.used + n]);
        self.skip(n);
    }

    fn malformed(&self, what: &str) -> Malformed {
        Malformed { offset: self.offset, what: what.to_owned() }
    }

    fn file_header(&mut self, page: &mut Vec<u8>) -> Result<Filled, Malformed> {
        if self.rest().len() < records::FILE_HEADER {
            return Ok(Filled::NeedMore);
        }
        if !self.rest().starts_with(records::MAGIC) {
            return Err(self.malformed("it does not begin with JAVA PROFILE 1.0"));
        }
        self.id_size = be32(self.rest(), records::ID_SIZE_AT) as usize;
        if self.id_size != 4 && self.id_size != 8 {
            return Err(self.malformed("identifiers that are neither 4 nor 8 bytes"));
        }
        self.copy(page, records::FILE_HEADER);
        self.state = State::Top;
        Ok(Filled::GoOn)
    }

    fn top(&mut self, page: &mut Vec<u8>) -> Filled {
        if self.rest().len() < TOP_HEADER {
            return Filled::NeedMore;
        }
        if is_segment(self.rest()[0]) {
            self.skip(TOP_HEADER);
            self.state = State::Sub;
            return Filled::GoOn;
        }
        self.close(page);
        if page.len() + TOP_HEADER > self.page_size {
            return Filled::Page;
        }
        let left = u64::from(be32(self.rest(), 5));
        self.copy(page, TOP_HEADER);
        self.state = State::Through { left, in_segment: false };
        Filled::GoOn
    }

    fn through(&mut self, page: &mut Vec<u8>, left: u64, in_segment: bool) -> Filled {
        let n = left.min(self.rest().len() as u64).min((self.page_size - page.len()) as u64) as usize;
        self.copy(page, n);
        let left = left - n as u64;
        if left == 0 {
            self.state = if in_segment { State::Sub } else { State::Top };
            return Filled::GoOn;
        }
        self.state = State::Through { left, in_segment };
        if page.len() == self.page_size { Filled::Page } else { Filled::NeedMore }
    }

    /// Copies the whole sub-records that are here and fit into the page, in one segment.
    fn sub_records(&mut self, page: &mut Vec<u8>) -> Result<Filled, Malformed> {
        let Some(first) = self.rest().first() else { return Ok(Filled::NeedMore) };
        if is_segment(*first) || *first == tag::HEAP_DUMP_END {
            self.state = State::Top;
            return Ok(Filled::GoOn);
        }
        let room = self.page_size.saturating_sub(page.len() + if self.open.is_some() { 0 } else { TOP_HEADER });
        let whole = self.whole_sub_records(room)?;
        if whole > 0 {
            self.open_segment(page);
            self.copy(page, whole);
            return Ok(Filled::GoOn);
        }
        // The next sub-record is not here as a whole, or does not fit.
        let Some(size) = self.size_at(self.used)? else { return Ok(Filled::NeedMore) };
        if size <= room as u64 {
            self.open_segment(page);
        } else if !page.is_empty() {
            return Ok(Filled::Page);
        } else {
            // A sub-record that is larger than a page is alone in its segment.
            let length = u32::try_from(size).map_err(|_| self.malformed("a sub-record of more than 4 GiB"))?;
            write_header(page, length);
        }
        self.state = State::Through { left: size, in_segment: true };
        Ok(Filled::GoOn)
    }

    fn whole_sub_records(&self, room: usize) -> Result<usize, Malformed> {
        let mut whole = 0;
        while let Some(size) = self.size_at(self.used + whole)? {
            if size > (self.rest().len() - whole).min(room - whole) as u64 {
                break;
            }
            whole += size as usize;
        }
        Ok(whole)
    }

    /// Returns the size of the sub-record at `at`; `None` if there is none, or too little of it.
    fn size_at(&self, at: usize) -> Result<Option<u64>, Malformed> {
        let bytes = &self.input[at..];
        match bytes.first() {
            None => Ok(None),
            Some(tag) if is_segment(*tag) || *tag == tag::HEAP_DUMP_END => Ok(None),
            Some(_) => sub_record_size(bytes, self.id_size).map_err(|what| {
                let offset = self.offset + (at - self.used) as u64;
                Malformed { offset, what }
            }),
        }
    }

    fn open_segment(&mut self, page: &mut Vec<u8>) {
        if self.open.is_none() {
            self.open = Some(page.len());
            write_header(page, 0);
        }
    }

    fn close(&mut self, page: &mut [u8]) {
        self.close_with(page, 0);
    }

    /// Writes the length of the open segment. `missing` bytes of the segment are not here.
    fn close_with(&mut self, page: &mut [u8], missing: u32) {
        if let Some(at) = self.open.take() {
            // The length fits: a page is far below 4 GiB.
            let length = (page.len() - at - TOP_HEADER) as u32 + missing;
            page[at + 5..at + TOP_HEADER].copy_from_slice(&length.to_be_bytes());
        }
    }
}

enum Filled {
    GoOn,
    Page,
    NeedMore,
}

/// Returns whether a record of this tag holds sub-records.
pub(super) fn is_segment(record: u8) -> bool {
    record == tag::HEAP_DUMP_SEGMENT || record == tag::HEAP_DUMP
}

/// Writes the header of a segment: tag, time (HotSpot writes 0), length.
fn write_header(page: &mut Vec<u8>, length: u32) {
    page.extend_from_slice(&[tag::HEAP_DUMP_SEGMENT, 0, 0, 0, 0]);
    page.extend_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
#[path = "reframe_tests.rs"]
mod tests;
