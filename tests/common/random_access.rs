//! Random access to a gzipped dump, by the arithmetic of Eclipse MAT (`ChunkedGZIPRandomAccessFile`). The first member
//! names the size of a block. Each member holds a block or less. A cache of 5 MiB holds whole members, and the one that
//! was not used for longest makes room. A miss inflates one member from its first byte.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::{Decompress, FlushDecompress, Status};

use super::sampled_objects::{Sampled, crc, sample};

const CACHE: usize = 5 << 20;

/// Members that the cache holds, whatever their size.
const CACHED_MAX: usize = 1000;

/// Bytes that one read takes from the file. The head of a member must lie in the first of them.
const READ: usize = 65536;

/// CRC and length of the raw bytes (RFC 1952, section 2.3.1).
const TRAILER: u64 = 8;

pub struct RandomAccessFile {
    file: File,
    pub block_size: usize,
    pub members: Vec<Member>,
    /// Of the dump itself, after gunzip.
    pub raw_len: u64,
    /// The member that was used last comes first.
    cache: VecDeque<(usize, Vec<u8>)>,
    inflater: Decompress,
    input: Vec<u8>,
    /// Members that were inflated for a reader, and their raw bytes.
    pub misses: u64,
    pub inflated: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct Member {
    position: u64,
    offset: u64,
}

impl RandomAccessFile {
    /// Finds all members, as MAT does when it reads a dump for the first time, and checks the CRC of each.
    pub fn open(path: &Path) -> Result<Self, String> {
        let context = |e: String| format!("{}: {e}", path.display());
        let file = File::open(path).map_err(|e| context(e.to_string()))?;
        let mut this = Self {
            file,
            block_size: 0,
            members: Vec::new(),
            raw_len: 0,
            cache: VecDeque::new(),
            inflater: Decompress::new(false),
            input: vec![0; READ],
            misses: 0,
            inflated: 0,
        };
        this.index().map_err(context)?;
        Ok(this)
    }

    fn index(&mut self) -> Result<(), String> {
        let len = self.file.metadata().map_err(|e| e.to_string())?.len();
        let first = self.read_at(0)?;
        self.block_size = block_size(&self.input[..first])?;
        let (mut position, mut raw) = (0, Vec::new());
        while position < len {
            self.members.push(Member { position, offset: self.raw_len });
            let trailer = self.inflate(position, &mut raw)?;
            let mut said = [0; TRAILER as usize];
            self.file.read_exact_at(&mut said, trailer).map_err(|e| e.to_string())?;
            let is = [crc(&raw).to_le_bytes(), (raw.len() as u32).to_le_bytes()].concat();
            if said[..] != is[..] || raw.is_empty() {
                return Err(format!("the member at {position} is damaged or empty"));
            }
            self.raw_len += raw.len() as u64;
            position = trailer + TRAILER;
        }
        Ok(())
    }

    /// Reads to the end of `bytes`, which may lie in several members.
    pub fn read_exact(&mut self, mut offset: u64, mut bytes: &mut [u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            // The first member begins at 0.
            let which = self.members.partition_point(|member| member.offset <= offset) - 1;
            self.load(which)?;
            let skipped = (offset - self.members[which].offset) as usize;
            let rest = self.cache[0].1.get(skipped..).filter(|rest| !rest.is_empty()).ok_or("it ends early")?;
            let count = rest.len().min(bytes.len());
            bytes[..count].copy_from_slice(&rest[..count]);
            (bytes, offset) = (&mut bytes[count..], offset + count as u64);
        }
        Ok(())
    }

    /// Makes a member the first one of the cache.
    fn load(&mut self, which: usize) -> Result<(), String> {
        let cached = self.cache.iter().position(|(member, _)| *member == which);
        if let Some(loaded) = cached.and_then(|place| self.cache.remove(place)) {
            self.cache.push_front(loaded);
            return Ok(());
        }
        let is_full = self.cache.len() >= (CACHE / self.block_size).clamp(1, CACHED_MAX);
        let oldest = if is_full { self.cache.pop_back() } else { None };
        let mut raw = oldest.map(|(_, raw)| raw).unwrap_or_default();
        self.inflate(self.members[which].position, &mut raw)?;
        (self.misses, self.inflated) = (self.misses + 1, self.inflated + raw.len() as u64);
        self.cache.push_front((which, raw));
        Ok(())
    }

    /// Replaces `raw` by what the member at `position` holds, and returns where its trailer is.
    fn inflate(&mut self, position: u64, raw: &mut Vec<u8>) -> Result<u64, String> {
        raw.clear();
        // One more, so that the end is seen behind a full block.
        raw.reserve_exact(self.block_size + 1);
        let mut read = self.read_at(position)?;
        let mut used = head_len(&self.input[..read])?;
        let begin = position + used as u64;
        self.inflater.reset(false);
        loop {
            let input = &self.input[used..read];
            let status = self.inflater.decompress_vec(input, raw, FlushDecompress::None).map_err(|e| e.to_string())?;
            if raw.len() > self.block_size {
                return Err(format!("the member at {position} is larger than {} bytes", self.block_size));
            }
            let end = begin + self.inflater.total_in();
            if status == Status::StreamEnd {
                return Ok(end);
            }
            (read, used) = (self.read_at(end)?, 0);
            if read == 0 {
                return Err(format!("the member at {position} is cut"));
            }
        }
    }

    fn read_at(&mut self, position: u64) -> Result<usize, String> {
        self.file.read_at(&mut self.input, position).map_err(|e| e.to_string())
    }
}

/// FLG bits (RFC 1952, section 2.3.1).
const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;

fn block_size(first: &[u8]) -> Result<usize, String> {
    const PREFIX: &[u8] = b"HPROF BLOCKSIZE=";
    let none = || "its first member names no block size".to_owned();
    let flags = first.get(3).copied().unwrap_or_default();
    if flags & (FEXTRA | FNAME | FCOMMENT) != FCOMMENT {
        return Err(none());
    }
    let digits = first[10..].strip_prefix(PREFIX).ok_or_else(none)?;
    let digits = digits.split(|byte| b" \0".contains(byte)).next().unwrap_or_default();
    let size = String::from_utf8_lossy(digits).parse().ok();
    size.filter(|size| *size > 0).ok_or_else(none)
}

fn head_len(member: &[u8]) -> Result<usize, String> {
    let cut = || "the head of a member is cut or damaged".to_owned();
    let flags = member.strip_prefix(&[0x1f, 0x8b, 8]).and_then(|rest| rest.first()).ok_or_else(cut)?;
    let mut len = 10;
    if flags & FEXTRA != 0 {
        let extra = member.get(len..len + 2).ok_or_else(cut)?;
        len += 2 + usize::from(u16::from_le_bytes([extra[0], extra[1]]));
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let rest = member.get(len..).ok_or_else(cut)?;
            len += 1 + rest.iter().position(|byte| *byte == 0).ok_or_else(cut)?;
        }
    }
    len += if flags & FHCRC != 0 { 2 } else { 0 };
    if len <= member.len() { Ok(len) } else { Err(cut()) }
}

/// Reads each object by itself, compares it with its checksum, and returns the time of all.
pub fn read_objects(file: &mut RandomAccessFile, objects: &[Sampled]) -> Result<Duration, String> {
    let mut bytes = Vec::new();
    let begun = Instant::now();
    for object in objects {
        bytes.resize(object.len, 0);
        file.read_exact(object.offset, &mut bytes)?;
        if crc(&bytes) != object.crc {
            return Err(format!("the object at {} is another one than in a reading from the front", object.offset));
        }
    }
    Ok(begun.elapsed())
}

/// Panics unless a dump of ours can be read from any of its members on.
#[track_caller]
pub fn assert_random_access(path: &Path) {
    const OBJECTS: usize = 50;
    let objects = sample(path, OBJECTS, 7).unwrap_or_else(|e| panic!("{e}"));
    let mut file = RandomAccessFile::open(path).unwrap_or_else(|e| panic!("{e}"));
    read_objects(&mut file, &objects).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
