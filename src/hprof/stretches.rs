//! Divides a dump into stretches, so that a search for a few objects does not read all of it. An identifier is the
//! address of its object, and HotSpot mostly writes objects in the order of addresses. So only few stretches can hold a
//! certain object.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::record_start::RecordStarts;
use super::records::{TOP_HEADER, be32, identifier, sub, tag};

/// A dump that can be read at any offset.
pub trait ReadAt {
    /// Reads at least one byte, except at the end.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, at)
    }
}

/// A segment with more bytes is divided. JDK 8 to 11.0.12 write one of up to 2 GiB. Later versions write a MiB and the
/// rest of an array.
const LONG: u64 = 2 << 20;
const STEP: u64 = 1 << 20;

/// Most stretches of a dump; they take 10 MiB. HotSpot's segments are so large that this is enough for a dump of 256
/// GiB.
const MOST: usize = 1 << 18;

/// Bytes that are searched for the start of a record.
const WINDOW: usize = 64 << 10;

/// Bytes of the header of a segment and the start of its first record: tag, identifier.
const FIRST: usize = TOP_HEADER + 1 + 8;

/// A range of whole records that follow each other in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub at: u64,
    pub end: u64,
    pub segment_end: u64,
    /// The first object; `None` if the first record is something else.
    pub first: Option<u64>,
}

/// All stretches of the heap, in the order of the dump.
#[derive(Debug)]
pub struct Stretches(Vec<Stretch>);

impl Stretches {
    /// Lists the stretches from the record at `from` on, with identifiers of `id` bytes. The list ends at the first
    /// damage. Returns `None` if there are too many.
    ///
    /// # Errors
    /// When the dump cannot be read, or `go_on` fails.
    pub fn of(
        dump: &impl ReadAt,
        id: usize,
        from: u64,
        starts: &RecordStarts,
        go_on: impl Fn() -> io::Result<()>,
    ) -> io::Result<Option<Self>> {
        let (mut all, mut at) = (Vec::new(), from);
        while all.len() < MOST {
            go_on()?;
            let head = piece(dump, at, FIRST)?;
            if head.len() < TOP_HEADER || !(1..=tag::HEAP_DUMP_SEGMENT).contains(&head[0]) {
                return Ok(Some(Self(all)));
            }
            let start = at + TOP_HEADER as u64;
            at = start + u64::from(be32(&head, 5));
            if at > start && matches!(head[0], tag::HEAP_DUMP | tag::HEAP_DUMP_SEGMENT) {
                let first = first_object(&head[TOP_HEADER..], id);
                all.push(Stretch { at: start, end: at, segment_end: at, first });
                divide(dump, id, starts, &mut all, &go_on)?;
            }
        }
        Ok(None)
    }

    /// Returns the stretches that may hold one of `ids`, which are sorted. The last one comes first.
    pub fn with(&self, ids: &[u64]) -> Vec<Stretch> {
        let mut next = None;
        let mut found: Vec<Stretch> = Vec::new();
        for stretch in self.0.iter().rev() {
            if stretch.first.is_none_or(|first| any(ids, first, next)) {
                found.push(*stretch);
            }
            next = stretch.first.or(next);
        }
        found
    }

    /// Returns the last stretches, back to the nearest one that begins with an object. Records behind all objects lie
    /// in these.
    pub fn behind_objects(&self) -> impl Iterator<Item = &Stretch> {
        let mut before = false;
        self.0.iter().rev().take_while(move |stretch| !std::mem::replace(&mut before, stretch.first.is_some()))
    }
}

/// Returns whether one of the sorted `ids` may be in a stretch that begins with `first` and is followed by `next`.
fn any(ids: &[u64], first: u64, next: Option<u64>) -> bool {
    let from = |least: u64| ids.partition_point(|id| *id < least);
    match next {
        Some(next) if next > first => from(first) < from(next),
        // The order of addresses begins anew inside this stretch.
        Some(next) => from(first) < ids.len() || from(next) > 0,
        None => from(first) < ids.len(),
    }
}

/// Divides the last stretch, if it is long.
fn divide(
    dump: &impl ReadAt,
    id: usize,
    starts: &RecordStarts,
    all: &mut Vec<Stretch>,
    go_on: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    while let Some(last) = all.last_mut().filter(|last| last.end - last.at > LONG) {
        let (mut at, end) = (last.at + STEP, last.end);
        let found = loop {
            if at + STEP > end {
                return Ok(());
            }
            go_on()?;
            let window = piece(dump, at, WINDOW)?;
            if let Some(start) = starts.find(&window) {
                break at + start as u64;
            }
            at += STEP;
        };
        last.end = found;
        let (first, segment_end) = (first_object(&piece(dump, found, FIRST)?, id), last.segment_end);
        all.push(Stretch { at: found, end, segment_end, first });
    }
    Ok(())
}

fn first_object(b: &[u8], id: usize) -> Option<u64> {
    let is_object = matches!(b.first()?, &sub::INSTANCE_DUMP | &sub::OBJ_ARRAY_DUMP | &sub::PRIM_ARRAY_DUMP);
    (is_object && b.len() > id).then(|| identifier(b, 1, id))
}

/// Reads `len` bytes, or fewer at the end.
fn piece(dump: &impl ReadAt, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let (mut bytes, mut filled) = (vec![0; len], 0);
    while filled < len {
        match dump.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches(firsts: &[Option<u64>]) -> Stretches {
        let of = |(at, first): (u64, &Option<u64>)| Stretch { at, end: at + 1, segment_end: at + 1, first: *first };
        Stretches((0..).zip(firsts).map(of).collect())
    }

    fn places(stretches: Vec<Stretch>) -> Vec<u64> {
        stretches.into_iter().map(|stretch| stretch.at).rev().collect()
    }

    #[test]
    fn ordered_addresses_leave_one_stretch_for_an_object() {
        let heap = stretches(&[None, Some(10), Some(20), Some(30)]);
        assert_eq!(places(heap.with(&[15])), [0, 1], "what begins with something else may hold objects, too");
        assert_eq!(places(heap.with(&[20, 29])), [0, 2]);
        assert_eq!(places(heap.with(&[99])), [0, 3]);
        assert_eq!(places(heap.with(&[9])), [0]);
        assert_eq!(places(heap.with(&[])), [0]);
    }

    #[test]
    fn stretch_where_the_order_restarts_may_hold_both_ends() {
        // The new generation comes before the old one, which begins inside the second stretch.
        let heap = stretches(&[Some(80), Some(90), Some(10), Some(20)]);
        assert_eq!(places(heap.with(&[5])), [1]);
        assert_eq!(places(heap.with(&[95])), [1, 3]);
        assert_eq!(places(heap.with(&[12])), [2]);
    }

    #[test]
    fn roots_behind_the_objects_are_in_the_last_stretches() {
        let behind =
            |firsts: &[Option<u64>]| stretches(firsts).behind_objects().map(|stretch| stretch.at).collect::<Vec<_>>();
        assert_eq!(behind(&[None, Some(1), Some(2), None, None]), [4, 3, 2]);
        assert_eq!(behind(&[None, Some(1), Some(2)]), [2]);
        assert_eq!(behind(&[]), [0; 0]);
    }
}
