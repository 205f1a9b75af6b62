//! From a raw dump to its object without a disk: parts go to the store straight from memory.
//!
//! Where the head's last bytes come behind the heap, its part is held back: a place before the heap's parts is kept
//! for it, and so much of the heap is held with it that it is no smaller than a store takes.

use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use ring::digest::{Context, SHA256};

use crate::deadline::Deadline;
use crate::effort::{Effort, Gate};
use crate::pipeline::{Piped, in_order};
use crate::progress::Progress;
use crate::spool::{Member, Section};
use crate::stages::{PipelineError, Source, compressed};
use crate::store::{Digest, PART_MIN, StoreError, Upload};
use crate::units::hex;

/// Walks `raw` to its end, compresses it, and sends it. The object is not completed.
///
/// # Errors
/// When the dump is damaged, or the store fails: the dump is nowhere then.
pub fn run(
    raw: &mut impl Source,
    upload: &mut Upload,
    effort: Effort,
    progress: &Progress,
    deadline: &Deadline,
) -> Result<Piped, PipelineError> {
    let begun = Instant::now();
    let (walked, sent) = compressed(raw, effort, &Gate::default(), progress, deadline, |members| {
        let mut parts = Parts::new(upload, effort.part_size as usize);
        send(&members, &mut parts)?;
        parts.finish()
    });
    // What the walk saw explains why the store got no more, unless the store itself failed.
    let digest = sent.map_err(PipelineError::Store);
    let walk = match (&digest, walked) {
        (Err(_), Err(PipelineError::Stopped(stopped))) => return Err(stopped.into()),
        (_, walked) => walked?,
    };
    Ok(Piped { walk, digest: digest?, sent: Ok(()), took: begun.elapsed() })
}

fn send(members: &Receiver<Member>, parts: &mut Parts<'_>) -> Result<(), StoreError> {
    in_order(members, |member| parts.add(member.slot.section, member.gz.as_slice()))
}

/// The object's parts on their way.
struct Parts<'a> {
    upload: &'a mut Upload,
    part_size: usize,
    /// The number of the next part that is sent in its turn.
    next: usize,
    bytes: u64,
    /// `None` once the order of sending is not that of the object any more.
    sha256: Option<Context>,
    /// Of the section that is sent.
    part: Vec<u8>,
    held: Option<HeldBack>,
}

/// The head's last part, and the start of the heap that goes with it.
struct HeldBack {
    number: usize,
    head: Vec<u8>,
    heap: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn new(upload: &'a mut Upload, part_size: usize) -> Self {
        let sha256 = Some(Context::new(&SHA256));
        Self { upload, part_size, next: 0, bytes: 0, sha256, part: Vec::new(), held: None }
    }

    fn add(&mut self, section: Section, gz: &[u8]) -> Result<(), StoreError> {
        self.bytes += gz.len() as u64;
        match (section, &mut self.held) {
            (Section::Head, Some(held)) => {
                held.head.extend_from_slice(gz);
                return Ok(());
            }
            (Section::Heap(_), None) => self.hold_back(gz),
            (_, Some(held)) if held.is_small() => held.heap.extend_from_slice(gz),
            _ => self.part.extend_from_slice(gz),
        }
        if self.part.len() >= self.part_size {
            self.send_part()?;
        }
        Ok(())
    }

    /// The first of the heap: what is left of the head waits for the rest of it.
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
        self.upload.put_part(self.next, Bytes::from(part))?;
        self.next += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Digest, StoreError> {
        if let Some(mut held) = self.held.take() {
            held.head.append(&mut held.heap);
            // All the heap was held: what follows is the end, which may be of any size, but not behind a small part.
            if held.head.len() < PART_MIN as usize {
                held.head.append(&mut self.part);
            }
            self.upload.put_part(held.number, Bytes::from(held.head))?;
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        let sha256 = self.sha256.map(|sha256| hex(sha256.finish().as_ref()));
        Ok(Digest { bytes: self.bytes, sha256 })
    }
}

impl HeldBack {
    /// Only the last part of an object may be smaller.
    fn is_small(&self) -> bool {
        self.head.len() + self.heap.len() < PART_MIN as usize
    }
}
