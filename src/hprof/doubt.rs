//! Tells a record from text that lies where a record should be. In a damaged dump, lost bytes or a wrong length make
//! the walk read text as records.

use super::records::{frame_body, load_class_body, tag};

/// Width of an identifier in bytes. Only identifiers of this width can be told from text.
pub const ID: usize = 8;

/// Returns whether `id` can be an address. Processes have addresses of 47 bits (x86-64) or 48 bits (aarch64) unless
/// they ask for more, and no JVM does. Two characters of a text would fill the upper 16 bits.
#[inline(always)]
pub fn is_address(id: u64) -> bool {
    id >> 48 == 0
}

/// Longest symbol in bytes (JVM specification, 4.4.7).
const SYMBOL_BYTES_MAX: u64 = u16::MAX as u64;

/// Most frames of a stack: 8 MiB of frames of at least 16 bytes. The usual -Xss is 1 MiB.
const FRAMES_MAX: u64 = 1 << 19;

/// Longest record of any other kind, in bytes. Such records are profiles of the `hprof` agent.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Returns whether a record outside of the heap may have `bytes` behind its header. A longer record may have swallowed
/// the heap.
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
