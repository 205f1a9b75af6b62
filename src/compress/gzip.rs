//! Compresses blocks to gzip members that are independent of all others. So workers need no order, and a reader can
//! start at any member.
//!
//! The first member of the object has a comment by which Eclipse MAT recognises a dump with random access
//! (`ChunkedGZIPRandomAccessFile`). The JDK writes the same comment (`heapDumperCompression.cpp`, `GZipCompressor`).

use std::io;

use super::block::{Block, GzBlock, Slot};
use super::pages::{PAGE, Page};
#[cfg(feature = "isal")]
use crate::base::sys::{Igzip, IgzipLevel};

/// The first bytes of a member (RFC 1952, section 2.3.1).
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// ID1, ID2, CM=deflate, FLG=FCOMMENT, MTIME=0, XFL=0, OS=unknown (RFC 1952, section 2.3).
const HEADER_WITH_COMMENT: [u8; 10] = [0x1f, 0x8b, 8, 0x10, 0, 0, 0, 0, 0, 255];
/// As [`HEADER_WITH_COMMENT`], but without a comment.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Raw bytes in a member, if the block has as many. MAT inflates a whole member to read one object, and keeps as many of
/// them as have 5 MiB in all (`ChunkedGZIPRandomAccessFile`). Each member costs the compressor the making of its tables:
/// eight in a page took 7 % more time than six.
pub const MEMBER: usize = PAGE.div_ceil(6);

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

    /// Compresses `block` to members in the empty page `gz`.
    ///
    /// # Errors
    /// When deflate refuses.
    pub fn compress(&mut self, block: &Block, mut gz: Page) -> Result<GzBlock, CompressError> {
        let raw = block.raw.as_slice();
        let out = gz.as_mut_vec();
        let mut is_first = block.slot == Slot::FIRST;
        for member in raw.chunks(MEMBER) {
            write_header(out, is_first);
            is_first = false;
            self.deflate.finish_member(member, out).map_err(|cause| CompressError { len: member.len(), cause })?;
        }
        Ok(GzBlock { slot: block.slot, ends: block.ends, gz })
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

    /// Appends all of a member that follows its header: deflated bytes, CRC and length (RFC 1952, section 2.3).
    fn finish_member(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.0.reset();
        match self.0.compress_vec(raw, out, flate2::FlushCompress::Finish) {
            Ok(flate2::Status::StreamEnd) => {}
            Ok(status) => return Err(format!("{status:?} with {} bytes out", out.len())),
            Err(cause) => return Err(cause.to_string()),
        }
        let mut crc = flate2::Crc::new();
        crc.update(raw);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&crc.amount().to_le_bytes());
        Ok(())
    }
}

/// Compresses by ISA-L: three times as fast as flate2's level 2 at the same size. That is fast enough to keep up with a
/// JVM.
#[cfg(feature = "isal")]
struct Deflate(Igzip);

#[cfg(feature = "isal")]
impl Deflate {
    /// Maps the nine levels of flate2 to three of ISA-L.
    fn new(level: u32) -> Self {
        Self(Igzip::new(match level {
            1 => IgzipLevel::Zero,
            2..=5 => IgzipLevel::One,
            _ => IgzipLevel::Three,
        }))
    }

    /// Appends all of a member that follows its header: deflated bytes, CRC and length (RFC 1952, section 2.3).
    fn finish_member(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.0.deflate(raw, out).map_err(|code| format!("ISA-L returns {code}"))
    }
}

fn write_header(out: &mut Vec<u8>, is_first: bool) {
    if is_first {
        out.extend_from_slice(&HEADER_WITH_COMMENT);
        out.extend_from_slice(format!("HPROF BLOCKSIZE={MEMBER}\0").as_bytes());
    } else {
        out.extend_from_slice(&HEADER);
    }
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
    use crate::compress::block::Section;
    use crate::compress::pages::Pool;

    fn members_of(raw: &[u8], slot: Slot) -> Vec<u8> {
        members_at(2, raw, slot)
    }

    fn members_at(level: u32, raw: &[u8], slot: Slot) -> Vec<u8> {
        let pool = Pool::new(2);
        let mut page = pool.take(&Halt::default()).unwrap();
        page.as_mut_vec().extend_from_slice(raw);
        let block = Encoder::new(level)
            .compress(&Block { slot, ends: false, raw: page }, pool.take(&Halt::default()).unwrap())
            .unwrap();
        block.gz.as_slice().to_vec()
    }

    fn gunzip(gz: &[u8]) -> Vec<u8> {
        let mut raw = Vec::new();
        flate2::read::MultiGzDecoder::new(gz).read_to_end(&mut raw).unwrap();
        raw
    }

    #[test]
    fn members_inflate_by_themselves_and_in_a_row() {
        let second = Slot { section: Section::Head, seq: 1 };
        let (a, b) = (members_of(b"one", Slot::FIRST), members_of(b"two", second));
        assert_eq!(gunzip(&b), b"two");
        assert_eq!(gunzip(&[a, b].concat()), b"onetwo");
    }

    #[test]
    fn block_becomes_members_of_one_size_and_a_rest() {
        let raw: Vec<u8> = (0..2 * MEMBER + 5).map(|i| (i / 3) as u8).collect();
        let gz = members_of(&raw, Slot::FIRST);
        let (mut rest, mut lens) = (&gz[..], Vec::new());
        while !rest.is_empty() {
            let mut member = flate2::bufread::GzDecoder::new(rest);
            lens.push(io::copy(&mut member, &mut io::sink()).unwrap());
            rest = member.into_inner();
        }
        assert_eq!(lens, [MEMBER as u64, MEMBER as u64, 5]);
        assert!(gunzip(&gz) == raw);
    }

    #[test]
    fn only_the_first_member_has_the_block_size() {
        let first = members_of(&[0; MEMBER + 1], Slot::FIRST);
        let comments = first.windows(15).filter(|bytes| bytes.starts_with(b"HPROF BLOCKSIZE")).count();
        assert_eq!((first[3], comments), (0x10, 1));
        assert!(first[10..].starts_with(b"HPROF BLOCKSIZE=174763\0"));
        assert_eq!(members_of(b"x", Slot { section: Section::Heap(0), seq: 0 })[3], 0);
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
            assert!(gunzip(&members_at(level, &noise, Slot::FIRST)) == noise, "level {level}");
        }
    }
}
