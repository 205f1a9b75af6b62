//! The files in which JDK 22 and later write the heap beside the head, and which stay when the JVM dies before it has
//! merged them (facts: `<path>.p0` to `<path>.pN`, whole records each; JDK: `heapDumper.cpp`, `DumpMerger`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use crate::compress::pages::PAGE;
use crate::files::entry::{Entry, HeldDir};
use crate::files::regular_file::Access;
use crate::hprof::Walker;
use crate::kept::names::{part_name, part_of};

/// Whether the file of this name is a part of another one there.
pub fn is_part(dir: &Arc<HeldDir>, name: &OsStr) -> bool {
    part_of(name).is_some_and(|(main, _)| dir.entry(main).exists())
}

/// Returns the parts of a dump, in their order. A JVM makes nothing but files.
pub fn parts_of(file: &Entry) -> Vec<Entry> {
    let part = |number: u16| file.with_end(&part_name("", number));
    let mut parts: Vec<Entry> = (0..=u16::from(u8::MAX)).map(part).take_while(Entry::is_file).collect();
    // The first ones go as they are merged.
    if parts.is_empty() {
        parts = (1..=u16::from(u8::MAX)).map(part).filter(Entry::is_file).collect();
    }
    parts
}

/// A dump and the parts that its JVM did not come to merge, in one stream; and those parts.
///
/// # Errors
/// When one of the files cannot be read.
pub fn with_parts(entry: &Entry, file: File) -> io::Result<(Box<dyn Read + Send>, Vec<Entry>)> {
    let parts = parts_of(entry);
    if parts.is_empty() || !ends_before_the_heap(&file)? {
        return Ok((Box::new(as_it_is(file)?), Vec::new()));
    }
    let mut raw: Box<dyn Read + Send> = Box::new(as_it_is(file)?);
    for part in &parts {
        raw = Box::new(raw.chain(as_it_is(part.open(Access::Read)?)?));
    }
    Ok((raw, parts))
}

/// A file is read only up to its length at the start: another process may add to it for ever.
fn as_it_is(file: File) -> io::Result<io::Take<File>> {
    let len = file.metadata()?.len();
    Ok(file.take(len))
}

/// Once the merging has begun, what a part holds may be in the dump already.
fn ends_before_the_heap(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let (mut walker, mut page, mut at) = (Walker::new(), vec![0; PAGE], 0);
    loop {
        let n = file.read_at(&mut page, at)?;
        let sound = walker.push(&page[..n]).is_ok();
        if n == 0 || !sound || walker.records().segments > 0 {
            return Ok(sound && walker.records().segments == 0 && walker.is_between_records());
        }
        at += n as u64;
    }
}
