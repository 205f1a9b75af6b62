//! Adds the length of the last segment, for a dump whose JVM died before it wrote that length. The length is 0 until
//! the JVM goes back to write it (JDK 8 and 11.0.0 to 11.0.12: `heapDumper.cpp`,
//! `DumpWriter::write_current_dump_record_length`). Readers see no object of such a segment. All other bytes pass
//! unchanged.

use super::records::{FILE_HEADER, ID_SIZE_AT, MAGIC, TOP_HEADER, be32, sub, tag};
use super::reframe::{Reframer, is_segment};

/// A limit in bytes that no top-level record behind an empty segment reaches.
const RECORD_MAX: u32 = 16 << 20;

#[derive(Debug, Clone, Copy)]
enum State {
    FileHeader,
    Top,
    /// This many bytes of a record are still to come.
    Body(u64),
    /// The bytes of a segment without a length come.
    Open,
    AsItIs,
}

/// Copies a dump, and gives its last segment a length.
#[derive(Debug)]
pub struct Mender {
    state: State,
    id_size: usize,
    input: Vec<u8>,
    reframer: Option<Reframer>,
    /// The page that the reframer has not finished yet.
    page: Vec<u8>,
    page_size: usize,
}

impl Mender {
    /// Creates a mender that makes segments of at most `page_size` bytes.
    pub fn new(page_size: usize) -> Self {
        let (input, page) = (Vec::new(), Vec::new());
        Self { state: State::FileHeader, id_size: 8, input, reframer: None, page, page_size }
    }

    /// Returns whether a segment without a length was found.
    pub fn has_mended(&self) -> bool {
        self.reframer.is_some()
    }

    /// Takes the next bytes, and appends to `out` those that are settled.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.input.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(n) = self.step(used, out) {
            used += n;
        }
        self.input.drain(..used);
    }

    /// Appends the rest to `out`: no more bytes will come.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if matches!(self.state, State::Open)
            && let Some(reframer) = &mut self.reframer
        {
            reframer.finish(&mut self.page);
            out.append(&mut self.page);
        }
        out.append(&mut self.input);
    }

    /// Returns how many bytes were used; `None` if more are needed.
    fn step(&mut self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let rest = &self.input[at..];
        match self.state {
            State::FileHeader => {
                let head = rest.get(..FILE_HEADER)?;
                self.id_size = be32(head, ID_SIZE_AT) as usize;
                let is_dump = head.starts_with(MAGIC) && [4, 8].contains(&self.id_size);
                self.state = if is_dump { State::Top } else { State::AsItIs };
                out.extend_from_slice(head);
                Some(FILE_HEADER)
            }
            State::Top => self.top(at, out),
            State::Body(left) => {
                let n = left.min(rest.len() as u64) as usize;
                out.extend_from_slice(&rest[..n]);
                self.state = if n as u64 == left { State::Top } else { State::Body(left - n as u64) };
                (n > 0).then_some(n)
            }
            State::Open => self.reframe(at, out),
            State::AsItIs => {
                out.extend_from_slice(rest);
                (!rest.is_empty()).then_some(rest.len())
            }
        }
    }

    fn top(&mut self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let rest = &self.input[at..];
        let head = rest.get(..TOP_HEADER)?;
        let left = u64::from(be32(head, 5));
        if left == 0 && is_segment(head[0]) {
            // The first bytes behind the header decide. If they begin no sub-record, they belong to the next record.
            if begins_sub_record(&rest[TOP_HEADER..])? {
                self.reframer = Some(Reframer::in_segment(self.page_size, self.id_size));
                self.state = State::Open;
                return Some(TOP_HEADER);
            }
        }
        out.extend_from_slice(head);
        self.state = if left == 0 { State::Top } else { State::Body(left) };
        Some(TOP_HEADER)
    }

    fn reframe(&mut self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let (rest, reframer) = (&self.input[at..], self.reframer.as_mut()?);
        reframer.push(rest);
        loop {
            match reframer.fill(&mut self.page) {
                Ok(true) => out.append(&mut self.page),
                Ok(false) => break,
                // The walker reports where the dump is damaged.
                Err(_) => {
                    reframer.abandon(&mut self.page);
                    out.append(&mut self.page);
                    self.state = State::AsItIs;
                    break;
                }
            }
        }
        (!rest.is_empty()).then_some(rest.len())
    }
}

/// Returns whether these bytes begin a sub-record, and no record behind an empty segment; `None` if they are too few to
/// tell. The tags of roots are also those of records. HotSpot writes 0 for the time of a record, and these records are
/// not long.
fn begins_sub_record(bytes: &[u8]) -> Option<bool> {
    match *bytes.first()? {
        sub::CLASS_DUMP..=sub::PRIM_ARRAY_DUMP | sub::ROOT_UNKNOWN => Some(true),
        tag::UTF8..=sub::ROOT_THREAD_OBJ => {
            let head = bytes.get(..TOP_HEADER)?;
            Some(be32(head, 1) != 0 || be32(head, 5) > RECORD_MAX)
        }
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Walker;
    use super::*;
    use crate::hprof::sample::Sample;

    const PAGE: usize = 1 << 20;

    fn mended(dump: &[u8], piece: usize) -> (Vec<u8>, bool) {
        let (mut mender, mut out) = (Mender::new(PAGE), Vec::new());
        dump.chunks(piece).for_each(|bytes| mender.push(bytes, &mut out));
        mender.finish(&mut out);
        (out, mender.has_mended())
    }

    /// Builds a dump as JDK 8 writes it: two segments, the second one without its length. Returns also where that
    /// begins.
    fn dump() -> (Vec<u8>, usize) {
        let mut sample = Sample::new().symbol(1, "a").class(0x10, 1, 0, &[(1, 10)]);
        for number in 0..100 {
            sample = sample.instance(0x1000 + number, 0x10, &[0x21; 4]);
        }
        let first = sample.build();
        let end = first.len() - TOP_HEADER;
        let instances = (0..50).fold(Sample::new(), |sample, n| sample.instance(0x2000 + n, 0x10, &[0x21; 4]));
        let segment = [tag::HEAP_DUMP_SEGMENT, 0, 0, 0, 0, 0, 0, 0, 0];
        ([&first[..end], &segment, &instances.records()].concat(), end)
    }

    #[test]
    fn objects_of_a_segment_without_length_are_found() {
        let (dump, at) = dump();
        for piece in [1, 7, 64, 1 << 20] {
            let (out, has_mended) = mended(&dump, piece);
            let mut walker = Walker::new();
            walker.push(&out).unwrap();
            assert_eq!((walker.records().instances, has_mended), (150, true), "{piece}");
            assert_eq!(out.len(), dump.len());
        }
        for cut in 0..dump.len() {
            let (out, has_mended) = mended(&dump[..cut], 33);
            let mut walker = Walker::new();
            walker.push(&out).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            assert!(!walker.finish().complete, "{cut}");
            assert!(has_mended || cut <= at + TOP_HEADER || out == dump[..cut], "{cut}");
        }
    }

    #[test]
    fn dump_with_all_its_lengths_passes_as_it_is() {
        let (dump, at) = dump();
        let end = [tag::HEAP_DUMP_END, 0, 0, 0, 0, 0, 0, 0, 0];
        let empty = [tag::HEAP_DUMP_SEGMENT, 0, 0, 0, 0, 0, 0, 0, 0];
        let symbol = [tag::UTF8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, b'x'];
        let whole = [&dump[..at], &empty, &symbol, &empty, &end].concat();
        for piece in [1, 10, 1 << 20] {
            assert_eq!(mended(&whole, piece), (whole.clone(), false), "{piece}");
            let other = b"something else, and longer than a header of a dump is".to_vec();
            assert_eq!(mended(&other, piece), (other.clone(), false));
        }
    }
}
