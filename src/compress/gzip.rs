//! Compresses blocks to gzip members. Each block becomes one member that is independent of all others. So workers need
//! no order, and a reader can start at any member.
//!
//! The first member of the object has a comment by which Eclipse MAT recognises a dump with random access
//! (`ChunkedGZIPRandomAccessFile`). The JDK writes the same comment (`heapDumperCompression.cpp`, `GZipCompressor`).

use std::io;

use flate2::Crc;

use super::block::{Block, Member, Section, Slot};
#[cfg(feature = "isal")]
use super::pages::CAPACITY;
use super::pages::{PAGE, Page};

/// The first bytes of a member (RFC 1952, section 2.3.1).
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// ID1, ID2, CM=deflate, FLG=FCOMMENT, MTIME=0, XFL=0, OS=unknown (RFC 1952, section 2.3).
const HEADER_WITH_COMMENT: [u8; 10] = [0x1f, 0x8b, 8, 0x10, 0, 0, 0, 0, 0, 255];
/// As [`HEADER_WITH_COMMENT`], but without a comment.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The levels of flate2.
pub const LEVELS: std::ops::RangeInclusive<u32> = 1..=9;

/// deflate has failed. A page has room for the worst case, so that should not happen.
#[derive(Debug, thiserror::Error)]
#[error("cannot compress a block of {len} bytes: {cause}")]
pub struct CompressError {
    pub len: usize,
    pub cause: String,
}

/// The compressor of one worker.
pub struct Encoder {
    deflate: Deflate,
}

impl Encoder {
    pub fn new(level: u32) -> Self {
        Self { deflate: Deflate::new(level) }
    }

    /// Compresses `block` to a member in the empty page `gz`.
    ///
    /// # Errors
    /// When deflate refuses.
    pub fn member(&mut self, block: &Block, mut gz: Page) -> Result<Member, CompressError> {
        let raw = block.raw.as_slice();
        let out = gz.as_mut_vec();
        write_header(out, block.slot);
        self.deflate.compress(raw, out).map_err(|cause| CompressError { len: raw.len(), cause })?;
        let mut crc = Crc::new();
        crc.update(raw);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&crc.amount().to_le_bytes());
        Ok(Member { slot: block.slot, gz, raw_len: raw.len() as u32 })
    }
}

/// Compresses by flate2, whose tables are made once and used again for each member.
#[cfg(not(feature = "isal"))]
struct Deflate(flate2::Compress);

#[cfg(not(feature = "isal"))]
impl Deflate {
    fn new(level: u32) -> Self {
        Self(flate2::Compress::new(flate2::Compression::new(level), false))
    }

    fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.0.reset();
        match self.0.compress_vec(raw, out, flate2::FlushCompress::Finish) {
            Ok(flate2::Status::StreamEnd) => Ok(()),
            Ok(status) => Err(format!("{status:?} with {} bytes out", out.len())),
            Err(cause) => Err(cause.to_string()),
        }
    }
}

/// Compresses by ISA-L: three times as fast as flate2's level 2 at the same size. That is fast enough to keep up with a
/// JVM.
#[cfg(feature = "isal")]
struct Deflate {
    level: isal::CompressionLevel,
    /// Made once: a page would have to be filled with zeros for each member.
    out: Vec<u8>,
}

#[cfg(feature = "isal")]
impl Deflate {
    /// Maps the nine levels of flate2 to the three of ISA-L.
    fn new(level: u32) -> Self {
        let level = match level {
            1 => isal::CompressionLevel::Zero,
            2..=5 => isal::CompressionLevel::One,
            _ => isal::CompressionLevel::Three,
        };
        Self { level, out: vec![0; CAPACITY] }
    }

    fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let len = isal::compress_into(raw, &mut self.out, self.level, isal::Codec::Deflate);
        out.extend_from_slice(&self.out[..len.map_err(|cause| cause.to_string())?]);
        Ok(())
    }
}

fn write_header(out: &mut Vec<u8>, slot: Slot) {
    if slot == Slot::FIRST {
        out.extend_from_slice(&HEADER_WITH_COMMENT);
        out.extend_from_slice(format!("HPROF BLOCKSIZE={PAGE}\0").as_bytes());
    } else {
        out.extend_from_slice(&HEADER);
    }
}

impl Slot {
    /// The first block of the object. Blocks may come in any order.
    pub const FIRST: Slot = Slot { section: Section::Head, seq: 0 };
}

/// Returns whether a decompressor's error means damaged bytes, and not a failed read (flate2: `bufread`, `corrupt` and
/// `bad_header`).
pub fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
}

/// Returns the text for such damage.
pub fn damage(error: &io::Error) -> String {
    let what = if error.kind() == io::ErrorKind::UnexpectedEof { "ends early" } else { "is damaged" };
    format!("its gzip stream {what}: {error}")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::base::waiting::Halt;
    use crate::compress::pages::Pool;

    fn member_of(raw: &[u8], slot: Slot) -> Vec<u8> {
        member_at(2, raw, slot)
    }

    fn member_at(level: u32, raw: &[u8], slot: Slot) -> Vec<u8> {
        let pool = Pool::new(2);
        let mut page = pool.take(&Halt::default()).unwrap();
        page.as_mut_vec().extend_from_slice(raw);
        let member =
            Encoder::new(level).member(&Block { slot, raw: page }, pool.take(&Halt::default()).unwrap()).unwrap();
        member.gz.as_slice().to_vec()
    }

    fn gunzip(gz: &[u8]) -> Vec<u8> {
        let mut raw = Vec::new();
        flate2::read::MultiGzDecoder::new(gz).read_to_end(&mut raw).unwrap();
        raw
    }

    #[test]
    fn members_inflate_by_themselves_and_in_a_row() {
        let second = Slot { section: Section::Head, seq: 1 };
        let (a, b) = (member_of(b"one", Slot::FIRST), member_of(b"two", second));
        assert_eq!(gunzip(&b), b"two");
        assert_eq!(gunzip(&[a, b].concat()), b"onetwo");
    }

    #[test]
    fn only_the_first_member_has_the_block_size() {
        let first = member_of(b"x", Slot::FIRST);
        assert_eq!(first[3], 0x10);
        assert!(first[10..].starts_with(b"HPROF BLOCKSIZE=1048576\0"));
        assert_eq!(member_of(b"x", Slot { section: Section::Heap(0), seq: 0 })[3], 0);
    }

    #[test]
    fn bytes_that_do_not_compress_fit_into_a_page() {
        let mut state = 1u64;
        let noise: Vec<u8> = (0..PAGE)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) as u8
            })
            .collect();
        for level in LEVELS {
            assert!(gunzip(&member_at(level, &noise, Slot::FIRST)) == noise, "level {level}");
        }
    }
}
