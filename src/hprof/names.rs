//! Finds the names of a few classes in the head of a dump. HotSpot writes all symbols before the classes that have them
//! as names (JDK: `heapDumper.cpp`, `VM_HeapDumper::doit`). So a walk cannot know which symbols to keep.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::io::{self, BufRead, BufReader, Read};

use jni::strings::JNIStr;

use super::records::{FILE_HEADER, ID_SIZE_AT, TOP_HEADER, be32, identifier, tag};
use super::types::java_name;

/// Longest name in bytes. Class files have no longer names (JVM specification, 4.4.7); a longer text is cut.
const NAME_MAX: u64 = 64 << 10;

/// Bytes of the head that are read. Symbols of a large application take some ten MiB. Reading further is not worth the
/// time.
const HEAD_MAX: u64 = 512 << 20;

/// Returns the names of `wanted` as Java writes them, if they come before the first heap segment. A truncated head
/// gives the names that it has.
///
/// # Errors
/// When the head cannot be read.
pub fn find(head: impl Read, wanted: &[u64]) -> io::Result<BTreeMap<u64, String>> {
    let wanted = RefCell::new(wanted.iter().copied().collect::<BTreeSet<_>>());
    let mut found = BTreeMap::new();
    each(
        head,
        || !wanted.borrow().is_empty(),
        |id| wanted.borrow_mut().remove(&id),
        |id, text| drop(found.insert(id, java_name(&decoded(text.to_vec())))),
    )?;
    Ok(found)
}

/// The head of a dump.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Symbols by their identifiers.
    pub symbols: BTreeMap<u64, String>,
    pub id_size: usize,
    /// Offset of the first heap segment, or of the end of the readable bytes.
    pub end: u64,
}

/// Reads the head of a dump, with the `wanted` symbols as the dump has them.
///
/// # Errors
/// When the head cannot be read.
pub fn which(head: impl Read, wanted: impl Fn(&str) -> bool) -> io::Result<Head> {
    let mut found = BTreeMap::new();
    let (id_size, end) = each(
        head,
        || true,
        |_| true,
        |id, text| {
            let text = String::from_utf8_lossy(text);
            if wanted(&text) {
                found.insert(id, text.into_owned());
            }
        },
    )?;
    Ok(Head { symbols: found, id_size, end })
}

/// Passes the wanted symbols before the first heap segment to `take`, while `go_on` returns true. Returns the bytes of
/// an identifier, and the offset where the reading ended.
fn each(
    head: impl Read,
    go_on: impl Fn() -> bool,
    wanted: impl FnMut(u64) -> bool,
    take: impl FnMut(u64, &[u8]),
) -> io::Result<(usize, u64)> {
    let mut symbols = Symbols { wanted, take, text: Vec::new(), id_size: 8, at: 0 };
    match symbols.read(&mut BufReader::new(head.take(HEAD_MAX)), go_on) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok((symbols.id_size, symbols.at)),
    }
}

struct Symbols<W, T> {
    wanted: W,
    take: T,
    text: Vec<u8>,
    id_size: usize,
    /// Offset of the current record.
    at: u64,
}

impl<W: FnMut(u64) -> bool, T: FnMut(u64, &[u8])> Symbols<W, T> {
    fn read(&mut self, head: &mut impl BufRead, go_on: impl Fn() -> bool) -> io::Result<()> {
        let mut header = [0; FILE_HEADER];
        head.read_exact(&mut header)?;
        self.id_size = if be32(&header, ID_SIZE_AT) == 4 { 4 } else { 8 };
        self.at = FILE_HEADER as u64;
        while go_on() {
            let mut record = [0; TOP_HEADER];
            head.read_exact(&mut record)?;
            let length = u64::from(be32(&record, 5));
            match record[0] {
                tag::HEAP_DUMP | tag::HEAP_DUMP_SEGMENT | tag::HEAP_DUMP_END => break,
                tag::UTF8 if length >= self.id_size as u64 => self.utf8(head, length - self.id_size as u64)?,
                _ => skip(head, length)?,
            }
            self.at += TOP_HEADER as u64 + length;
        }
        Ok(())
    }

    /// Reads the body of a UTF8 record: identifier, text.
    fn utf8(&mut self, head: &mut impl BufRead, length: u64) -> io::Result<()> {
        let (mut id, id_size) = ([0; 8], self.id_size);
        head.read_exact(&mut id[..id_size])?;
        let id = identifier(&id, 0, id_size);
        if !(self.wanted)(id) {
            return skip(head, length);
        }
        self.text.resize(length.min(NAME_MAX) as usize, 0);
        head.read_exact(&mut self.text)?;
        (self.take)(id, &self.text);
        skip(head, length.saturating_sub(NAME_MAX))
    }
}

fn skip(head: &mut impl BufRead, mut n: u64) -> io::Result<()> {
    while n > 0 {
        let here = match head.fill_buf() {
            Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => n.min(bytes.len() as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        head.consume(here as usize);
        n -= here;
    }
    Ok(())
}

/// Decodes a symbol of HotSpot, which is modified UTF-8. Other text is shown as far as possible.
fn decoded(text: Vec<u8>) -> String {
    match CString::new(text) {
        Ok(text) => match JNIStr::from_cstr(&text) {
            Some(text) => text.to_str().into_owned(),
            None => text.to_string_lossy().into_owned(),
        },
        Err(nul) => String::from_utf8_lossy(&nul.into_vec()).into_owned(),
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
