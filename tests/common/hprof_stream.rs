//! A dump in batches of whole records, so that a dump larger than memory can be read. The crate jvm-hprof wants its
//! input in one slice: each batch stands behind the dump's own header.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use jvm_hprof::{Hprof, parse_hprof};

const BATCH: usize = 4 << 20;
const BUFFER: usize = 1 << 20;

/// A record begins with its tag, a time and the length of its body.
const RECORD_HEAD: u64 = 9;

/// Behind the name of the format: the size of identifiers and the time.
const HEADER_REST: u64 = 12;

/// No name of the format is nearly as long.
const NAME_MAX: u64 = 64;

pub struct Batch<'a> {
    /// The dump's header, and records behind it.
    bytes: &'a [u8],
    header: usize,
    /// Where the records begin in the dump.
    begin: u64,
}

impl<'a> Batch<'a> {
    pub fn parse(&self) -> Result<Hprof<'a>, String> {
        parse_hprof(self.bytes).map_err(|_| "no HPROF header".to_owned())
    }

    /// Where a part of this batch lies in it.
    pub fn index(&self, part: &[u8]) -> usize {
        part.as_ptr() as usize - self.bytes.as_ptr() as usize
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where a byte of this batch lies in the dump.
    pub fn offset(&self, index: usize) -> u64 {
        self.begin + (index - self.header) as u64
    }
}

/// Opens a plain or gzipped dump.
pub fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    let is_gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// Shows all batches in their order, and returns the length of the dump. What is cut is shown as it is.
pub fn each_batch(read: impl Read, mut look: impl FnMut(&Batch<'_>) -> Result<(), String>) -> Result<u64, String> {
    let mut read = BufReader::with_capacity(BUFFER, read);
    let mut bytes = Vec::new();
    read_header(&mut read, &mut bytes).map_err(|e| e.to_string())?;
    let (header, mut begin) = (bytes.len(), bytes.len() as u64);
    loop {
        let is_more = fill(&mut read, &mut bytes, header + BATCH).map_err(|e| e.to_string())?;
        look(&Batch { bytes: &bytes, header, begin })?;
        begin += (bytes.len() - header) as u64;
        bytes.truncate(header);
        if !is_more {
            return Ok(begin);
        }
    }
}

fn read_header(read: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<()> {
    read.by_ref().take(NAME_MAX).read_until(0, bytes)?;
    read.by_ref().take(HEADER_REST).read_to_end(bytes).map(drop)
}

/// Returns whether there is more.
fn fill(read: &mut impl Read, bytes: &mut Vec<u8>, enough: usize) -> io::Result<bool> {
    while bytes.len() < enough {
        let begin = bytes.len();
        read.by_ref().take(RECORD_HEAD).read_to_end(bytes)?;
        let Some(&[_, _, _, _, _, a, b, c, d]) = bytes.get(begin..) else { return Ok(false) };
        let body = u64::from(u32::from_be_bytes([a, b, c, d]));
        if (read.by_ref().take(body).read_to_end(bytes)? as u64) < body {
            return Ok(false);
        }
    }
    Ok(true)
}
