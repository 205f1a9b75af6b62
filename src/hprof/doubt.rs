//! What tells a record from text that stands in its place, in a dump that may be damaged: lost bytes, or a length that is
//! another one, have the walk read texts as records.

use super::records::{frame_body, load_class_body, tag};

/// Bytes of an identifier that can be told from text.
pub const ID: usize = 8;

/// Processes have addresses of 47 bits (x86-64), or 48 (aarch64), unless they ask for more, which no JVM does; two
/// characters of a text fill the others.
#[inline(always)]
pub fn is_address(id: u64) -> bool {
    id >> 48 == 0
}

/// What a symbol can have (JVM specification, 4.4.7).
const SYMBOL_BYTES_MAX: u64 = u16::MAX as u64;

/// Frames of a stack: -Xss is 1 MiB as a rule, of which a frame takes 16 bytes at least.
const FRAMES_MAX: u64 = 1 << 19;

/// Longest other record: profiles of the `hprof` agent.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Whether a record outside of the heap is so long: a longer one may have eaten the heap.
pub fn is_likely(record: u8, bytes: u64, id_size: usize) -> bool {
    match record {
        tag::UTF8 => bytes <= id_size as u64 + SYMBOL_BYTES_MAX,
        tag::LOAD_CLASS => bytes == load_class_body(id_size) as u64,
        tag::FRAME => bytes == frame_body(id_size) as u64,
        tag::TRACE => {
            bytes.checked_sub(12).is_some_and(|ids| ids % id_size as u64 == 0 && ids / id_size as u64 <= FRAMES_MAX)
        }
        _ => bytes <= RECORD_BYTES_MAX,
    }
}
