//! Delivers a raw dump without a disk: parts go to the store straight from memory.
//!
//! The last bytes of the head may come behind the heap. Then the head's last part is held back, and its number is kept
//! free before the parts of the heap. Enough of the heap is held with it to make a part that a store takes.

use std::time::Instant;

use bytes::Bytes;
use ring::digest::{Context, SHA256};

use super::Delivery;
use super::spooled::{first_cause, in_order};
use crate::base::units::hex;
use crate::compress::block::Section;
use crate::compress::compressor::{Compression, PipelineError, StageControl, compressed};
use crate::compress::source::Source;
use crate::error::Error;
use crate::hprof::Histogram;
use crate::object::part_size::PART_MIN;
use crate::object::stored::Digest;
use crate::store::{StoreError, Upload};

/// The dump did not get to the store, and is lost.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error("the store failed while the dump was streamed to it")]
    Store(#[source] StoreError),
}

impl StreamError {
    /// Returns the error of a dump at `path` that is kept nowhere else.
    pub fn of_dump(self, path: &str) -> Error {
        match self {
            Self::Store(StoreError::Stopped(stopped)) => stopped.into(),
            Self::Store(error) => Error::StoreLost(error),
            Self::Pipeline(error) => Error::from_pipeline(error, path, path),
        }
    }

    /// Returns the error of a dump that stays in the file at `path`.
    pub fn of_file(self, path: &str) -> Error {
        match self {
            Self::Store(error) => Error::not_stored(error),
            Self::Pipeline(error) => Error::from_pipeline(error, path, path),
        }
    }
}

/// Walks `raw` to its end, counts its objects, compresses it, and sends it. The caller has to complete the object.
///
/// # Errors
/// When the dump is damaged, or the store fails. The dump is lost then.
pub fn run(
    raw: &mut dyn Source,
    upload: &mut Upload,
    mut compression: Compression,
    super::Context { progress, deadline }: super::Context<'_>,
    histogram: &mut Histogram,
) -> Result<Delivery, StreamError> {
    let begun = Instant::now();
    let (pages, part_size) = (compression.cpu_share.pages(), compression.part_size);
    let (control, mut refused) = (StageControl::default(), None);
    let (walked, sent) = compressed(raw, &mut compression, &control, progress, deadline, histogram, |gz_blocks| {
        let mut put = |number, part| upload.put_part(number, part, &|| control.halt.is_tripped());
        let mut parts = Parts::new(&mut put, part_size as usize);
        in_order(&gz_blocks, pages, |block| {
            parts.add(block.slot.section, block.gz.as_slice()).map_err(|error| refuse(&mut refused, error))
        })?;
        parts.finish().map_err(|error| refuse(&mut refused, error))
    });
    match (walked, sent) {
        (Ok(walk), Ok(digest)) => {
            let (sent, spool, took, sending) = (Ok(()), None, begun.elapsed(), None);
            Ok(Delivery { walk, digest, sent, spool, took, sending, blanked: compression.blanked() })
        }
        (walked, sent) => Err(match (first_cause([walked.err(), sent.err()]), refused) {
            (PipelineError::Halted, Some(error)) => StreamError::Store(error),
            (error, _) => StreamError::Pipeline(error),
        }),
    }
}

/// Notes the store's error beside the pipeline, which only knows that a stage has failed.
fn refuse(refused: &mut Option<StoreError>, error: StoreError) -> PipelineError {
    *refused = Some(error);
    PipelineError::Halted
}

/// Sends a part, by its number.
type Put<'a> = dyn FnMut(usize, Bytes) -> Result<(), StoreError> + 'a;

/// The parts of an object that is being sent.
struct Parts<'a> {
    put: &'a mut Put<'a>,
    part_size: usize,
    /// The number of the next part that is sent in its turn.
    next: usize,
    bytes: u64,
    /// `None` if the parts are not sent in the order of the object any more.
    sha256: Option<Context>,
    /// Bytes of the section that is being sent.
    part: Vec<u8>,
    held: Option<HeldBack>,
    /// The end of the object, which may be compressed before the bytes that come before it.
    end: Vec<u8>,
}

/// The head's last part, and the start of the heap that goes with it.
struct HeldBack {
    number: usize,
    head: Vec<u8>,
    heap: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn new(put: &'a mut Put<'a>, part_size: usize) -> Self {
        let sha256 = Some(Context::new(&SHA256));
        Self { put, part_size, next: 0, bytes: 0, sha256, part: Vec::new(), held: None, end: Vec::new() }
    }

    fn add(&mut self, section: Section, gz: &[u8]) -> Result<(), StoreError> {
        self.bytes += gz.len() as u64;
        match (section, &mut self.held) {
            (Section::End, _) => self.end.extend_from_slice(gz),
            (Section::Head, Some(held)) => {
                held.head.extend_from_slice(gz);
                return Ok(());
            }
            (Section::Heap(_), None) => self.hold_back(gz),
            (_, Some(held)) if held.is_small() => held.heap.extend_from_slice(gz),
            _ => self.part.extend_from_slice(gz),
        }
        // Some stores want all parts to have one size.
        while self.part.len() >= self.part_size {
            let rest = self.part.split_off(self.part_size);
            self.send_part()?;
            self.part.extend_from_slice(&rest);
        }
        Ok(())
    }

    /// Holds back the rest of the head until its last bytes come. `gz` is the first block of the heap.
    fn hold_back(&mut self, gz: &[u8]) {
        let head = std::mem::take(&mut self.part);
        self.held = Some(HeldBack { number: self.next, head, heap: gz.to_vec() });
        self.next += 1;
        self.sha256 = None;
    }

    fn send_part(&mut self) -> Result<(), StoreError> {
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(self.part_size));
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(&part);
        }
        (self.put)(self.next, Bytes::from(part))?;
        self.next += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Digest, StoreError> {
        self.part.append(&mut self.end);
        if let Some(mut held) = self.held.take() {
            held.head.append(&mut held.heap);
            // All of the heap was held, so the end follows. The end may have any size, but not behind a small part.
            if held.head.len() < PART_MIN as usize {
                held.head.append(&mut self.part);
            }
            (self.put)(held.number, Bytes::from(held.head))?;
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        let sha256 = self.sha256.map(|sha256| hex(sha256.finish().as_ref()));
        Ok(Digest { bytes: self.bytes, sha256 })
    }
}

impl HeldBack {
    /// Returns whether the part is still too small. Only the last part of an object may be smaller than [`PART_MIN`].
    fn is_small(&self) -> bool {
        self.head.len() + self.heap.len() < PART_MIN as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1 << 20;

    /// Returns the parts in the order of their numbers, for gzip blocks in the order in which they come.
    fn parts_of(blocks: &[(Section, Vec<u8>)]) -> (BTreeMap<usize, Bytes>, Digest) {
        let mut sent = BTreeMap::new();
        let mut put = |number, part| {
            assert!(sent.insert(number, part).is_none(), "part {number} twice");
            Ok(())
        };
        let mut parts = Parts::new(&mut put, PART_MIN as usize);
        for (section, gz) in blocks {
            parts.add(*section, gz).unwrap();
        }
        let digest = parts.finish().unwrap();
        (sent, digest)
    }

    fn assert_object(blocks: &[(Section, Vec<u8>)]) {
        let (parts, digest) = parts_of(blocks);
        let mut ordered = blocks.to_vec();
        ordered.sort_by_key(|(section, _)| *section);
        let object: Vec<u8> = ordered.into_iter().flat_map(|(_, gz)| gz).collect();
        assert!(parts.values().flatten().copied().eq(object.iter().copied()));
        assert!(parts.keys().copied().eq(0..parts.len()), "a gap: {:?}", parts.keys());
        let small = parts.values().filter(|part| part.len() < PART_MIN as usize).count();
        let last_is_small = parts.values().last().is_some_and(|part| part.len() < PART_MIN as usize);
        assert!(small == usize::from(last_is_small), "{:?}", parts.values().map(Bytes::len).collect::<Vec<_>>());
        assert_eq!(digest.bytes, object.len() as u64);
        if let Some(sha256) = digest.sha256 {
            assert_eq!(sha256, hex(ring::digest::digest(&SHA256, &object).as_ref()));
        }
    }

    fn filled(section: Section, len: usize, with: u8) -> (Section, Vec<u8>) {
        (section, vec![with; len])
    }

    #[test]
    fn end_that_is_compressed_early_stays_the_end() {
        let heap = Section::Heap(0);
        assert_object(&[
            filled(Section::Head, 300_000, 1),
            filled(heap, 7 * MIB, 2),
            filled(Section::End, 40, 9),
            filled(Section::Head, 100, 1),
            filled(heap, 3 * MIB, 3),
        ]);
        assert_object(&[filled(Section::End, 40, 9), filled(Section::Head, 6 * MIB, 1)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn parts_are_the_object_and_large_enough_in_any_order(
            head in proptest::collection::vec(0..900_000usize, 0..12),
            heap in proptest::collection::vec(1..900_000usize, 0..30),
            late in 0..900_000usize,
            end_first in any::<bool>(),
        ) {
            let mut blocks: Vec<_> = head.into_iter().map(|len| filled(Section::Head, len, 1)).collect();
            blocks.extend(heap.into_iter().enumerate().map(|(i, len)| filled(Section::Heap(0), len, 2 + i as u8)));
            blocks.push(filled(Section::Head, late, 100));
            let at = if end_first { blocks.len() - 1 } else { blocks.len() };
            blocks.insert(at, filled(Section::End, 40, 101));
            assert_object(&blocks);
        }
    }
}
