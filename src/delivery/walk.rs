//! Reads a dump that lies in a file, plain or gzipped, and walks it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::Context;
use crate::compress::dump_reader::DumpReader;
use crate::compress::gzip;
use crate::compress::pages::PAGE;
use crate::compress::source::{Flaws, Scrutiny, Source};
use crate::compress::spool::Spool;
use crate::error::Error;
use crate::heap_dump::DumpError;
use crate::hprof::{Histogram, Summary, Walker};
use crate::object::classes;

/// Returns whether the file begins as a gzip member does.
pub fn is_gzip(file: &File) -> io::Result<bool> {
    let mut magic = [0; 2];
    Ok(file.read_at(&mut magic, 0)? == 2 && magic == gzip::MAGIC)
}

/// Returns a reader of a dump, plain or gzipped.
pub fn reader<'a>(raw: impl Read + 'a, gzipped: bool, scrutiny: Scrutiny) -> DumpReader<'a> {
    if gzipped { DumpReader::gzipped(raw, scrutiny) } else { DumpReader::plain(raw, scrutiny) }
}

/// Walks a dump, and counts its objects in `tally`.
pub fn walk(
    raw: &mut DumpReader<'_>,
    path: &str,
    Context { progress, deadline }: Context<'_>,
    tally: &mut Histogram,
) -> Result<Summary, Error> {
    let (mut walker, mut page, scrutiny) = (Walker::new(), vec![0; PAGE], raw.scrutiny());
    let mut damage = None;
    loop {
        deadline.check("reading the dump")?;
        match raw.read(&mut page) {
            Ok(0) => break,
            Ok(n) => {
                progress.add(n as u64);
                damage = scrutiny
                    .judge(walker.push_to(&page[..n], tally))
                    .map_err(|source| DumpError::Malformed { path: path.to_owned(), source })?;
                if damage.is_some() {
                    break;
                }
            }
            Err(source) => return Err(DumpError::Read { path: path.to_owned(), source }.into()),
        }
    }
    let flaws = raw.flaws();
    Ok(walker.finish().with(Flaws { damage: damage.or(flaws.damage), ..flaws }))
}

/// Walks a compressed dump before it is sent as it is.
pub fn walk_spool(spool: &Spool, path: &str, scrutiny: Scrutiny, context: Context<'_>) -> Result<Summary, Error> {
    let mut histogram = Histogram::new();
    let mut walk = walk(&mut reader(spool.reader(), true, scrutiny), path, context, &mut histogram)?;
    classes::add_of_spool(&mut walk, &histogram, spool);
    Ok(walk)
}
