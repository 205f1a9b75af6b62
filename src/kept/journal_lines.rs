//! The lines of a journal: JSON, one event each. Bytes in, values out.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use crate::compress::redaction::Redaction;
use crate::object::key::ObjectKey;
use crate::object::part_size::PART_MIN;
use crate::object::receipt::Receipt;
use crate::object::stored::Digest;

/// Parts that are held in memory, two at a time: from what S3 takes to ten thousandth of 5 TB, its largest object
/// (AWS: "Amazon S3 multipart upload limits").
const PART_SIZES: std::ops::RangeInclusive<u64> = PART_MIN..=512 << 20;

/// Azure takes most parts of all stores (Azure: "Put Block List").
const PARTS_MAX: usize = 50_000;

/// More pieces than the parts of a dump give: 256 of them, in turn with its head.
const PIECES_MAX: usize = 100_000;

/// A file as it was when it was begun with: the next one of its name is another one. A rename changes neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    pub bytes: u64,
    /// Last change, in nanoseconds since 1970.
    pub changed: i128,
}

impl FileState {
    pub fn of(meta: &Metadata) -> Self {
        Self { bytes: meta.len(), changed: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()) }
    }
}

/// The JVM of a dump, and the options of the run. A run that waited compares them with its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpOf {
    /// The name of the JVM's lock: a hash of its pid namespace, number and start.
    pub process: String,
    pub live: bool,
    pub redact: Option<Redaction>,
}

/// The version of this format. A later version that an older program cannot continue gets a higher number.
pub const FORMAT: u32 = 1;

fn format_of_0_1() -> u32 {
    FORMAT
}

/// The first line: all that is known before the first byte goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// Missing in journals of 0.1.0.
    #[serde(default = "format_of_0_1")]
    pub format: u32,
    pub key: ObjectKey,
    pub file: FileState,
    pub part_size: u64,
    /// Where the pieces of the object lie in the file, as (offset, length); empty when it lies in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<(u64, u64)>,
    /// The file may be truncated.
    #[serde(default)]
    pub truncated: bool,
    /// The file goes when it is stored.
    #[serde(default)]
    pub delete: bool,
    /// As far as it was known.
    pub receipt: Receipt,
    /// The redaction of the file on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redact: Option<Redaction>,
    /// The text that is to lie beside the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// `None` for an upload of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump_of: Option<DumpOf>,
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentPart {
    /// The ETag, or the id in the store.
    pub id: String,
    /// The MD5 of the bytes that were sent.
    pub md5: [u8; 16],
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Begin(Box<Begin>),
    /// A multipart upload was opened in this store.
    Opened {
        store: String,
        id: String,
    },
    Part {
        number: usize,
        #[serde(flatten)]
        part: SentPart,
    },
    /// All parts are out: what the object will be.
    Whole(Digest),
    /// More is known of the dump than at the beginning.
    Receipt(Box<Receipt>),
}

/// A multipart upload as far as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SoFar {
    pub store: String,
    pub id: String,
    pub parts: BTreeMap<usize, SentPart>,
}

/// What the lines of a journal tell.
pub(super) struct Told {
    pub begin: Begin,
    pub open: Option<SoFar>,
    pub whole: Option<Digest>,
}

/// Returns the line of an event.
///
/// # Errors
/// Never for an event of this program.
pub(super) fn line(event: &Event) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line)
}

/// Pieces that do not overlap, and so are no more than the file.
fn are_apart(pieces: &[(u64, u64)], bytes: u64) -> bool {
    let mut sorted = pieces.to_vec();
    sorted.sort_unstable();
    let ends = sorted.iter().try_fold(0u64, |end, (offset, len)| {
        let next = offset.checked_add(*len)?;
        (*offset >= end).then_some(next)
    });
    ends.is_some_and(|end| pieces.is_empty() || end <= bytes)
}

/// Reads the lines of a journal. `None` when the first line is no beginning, is of a later format, or has a key that
/// would leave its place.
pub(super) fn parse(text: &[u8]) -> Option<Told> {
    let mut events = text.split(|byte| *byte == b'\n').map(serde_json::from_slice);
    let Some(Ok(Event::Begin(mut begin))) = events.next() else { return None };
    let sound = begin.format <= FORMAT
        && begin.key.is_sound()
        && PART_SIZES.contains(&begin.part_size)
        && begin.order.len() <= PIECES_MAX;
    if !sound || !are_apart(&begin.order, begin.file.bytes) {
        return None;
    }
    let (mut open, mut whole): (Option<SoFar>, _) = (None, None);
    for event in events.filter_map(Result::ok) {
        match event {
            Event::Begin(_) => {}
            Event::Opened { store, id } => open = Some(SoFar { store, id, parts: BTreeMap::new() }),
            Event::Part { number, .. } if number >= PARTS_MAX => {}
            Event::Part { number, part } => {
                open.as_mut().map(|open| open.parts.insert(number, part));
            }
            Event::Whole(digest) => whole = Some(digest),
            Event::Receipt(receipt) => begin.receipt = *receipt,
        }
    }
    Some(Told { begin: *begin, open, whole })
}
