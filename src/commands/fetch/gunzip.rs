//! Decompresses a fetched file, under another name until the result is whole.

use std::io::{self, Read, Write};

use crate::base::deadline::{Deadline, slowly};
use crate::compress::gunzip::Gunzip;
use crate::compress::pages::PAGE;
use crate::error::Error;
use crate::files::entry::Entry;
use crate::files::regular_file::{Access, PRIVATE, create_in};
use crate::heap_dump::{DumpError, RoomError};
use crate::jvm::memory::Rationed;
use crate::kept::names::PART;
use crate::terminal::progress::Progress;

/// Decompresses `gz` to `plain`.
///
/// # Errors
/// When a file or the disk fails, or the run is stopped.
pub fn gunzip(gz: &Entry, plain: &Entry, progress: &Progress, deadline: &Deadline) -> Result<(), Error> {
    progress.stage("decompressing", None);
    let part = plain.with_end(PART);
    let whole = write(gz, &part, progress, deadline)
        .and_then(|()| part.link_new(plain).map_err(|source| unwritten(plain, source)));
    let _ = part.remove();
    whole
}

fn write(gz: &Entry, part: &Entry, progress: &Progress, deadline: &Deadline) -> Result<(), Error> {
    let unread = |source| DumpError::Read { path: gz.path().display().to_string(), source };
    let from = gz.open(Access::Read).map_err(unread)?;
    let len = from.metadata().map_err(unread)?.len();
    let mut from = Gunzip::new(from.take(len));
    // A file that is there is of a killed run, or somebody's link. Nothing is written to it.
    let _ = part.remove();
    let to = create_in(part.dir(), part.name(), Access::ReadWrite, PRIVATE);
    let (file, mut page) = (to.map_err(|source| unwritten(part, source))?, vec![0; PAGE]);
    // The size of the result is not known before.
    let mut to = Rationed::new(&file);
    loop {
        deadline.check("decompressing what was fetched")?;
        match from.read(&mut page) {
            Ok(0) => break,
            Ok(n) => {
                to.write_all(&page[..n]).map_err(|source| unwritten(part, source))?;
                progress.add(n as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(unread(source).into()),
        }
    }
    slowly(|| file.sync_all()).map_err(|source| unwritten(part, source))
}

/// Reads compressed bytes to their end, and so verifies their own checksums.
///
/// # Errors
/// When the bytes are damaged or cannot be read, or the run is stopped.
pub fn read_to_end(gz: impl Read, path: &str, progress: &Progress, deadline: &Deadline) -> Result<(), Error> {
    let (mut from, mut page) = (Gunzip::new(gz), vec![0; PAGE]);
    loop {
        deadline.check("reading what was fetched")?;
        match from.read(&mut page) {
            Ok(0) => return Ok(()),
            Ok(n) => progress.add(n as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(DumpError::Read { path: path.to_owned(), source }.into()),
        }
    }
}

fn unwritten(file: &Entry, source: io::Error) -> Error {
    RoomError::Io { what: "write", path: file.path().display().to_string(), source }.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_run_whose_time_is_over_leaves_the_compressed_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (gz, plain) = (dir.path().join("x.hprof.gz"), dir.path().join("x.hprof"));
        std::fs::write(&gz, b"not looked at").unwrap();
        let deadline = Deadline::after(Duration::ZERO).unwrap();
        let [from, to] = [&gz, &plain].map(|path| Entry::named(path).unwrap());
        let error = gunzip(&from, &to, &Progress::silent(), &deadline).unwrap_err();
        assert!(matches!(error, Error::Stopped(_)), "{error:?}");
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.path()).collect();
        assert_eq!(left, [gz]);
    }
}
