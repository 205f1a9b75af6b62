//! Downloads an object to a file, several pieces at a time. If a download was cut, the next one fetches only the
//! missing pieces.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::base::deadline::{Deadline, slowly};
use crate::base::units::hex;
use crate::compress::pages::PAGE;
use crate::files::entry::Entry;
use crate::files::file_from::FileFrom;
use crate::files::regular_file::{Access, open_or_create_in, read_bounded};
use crate::jvm::memory::must_hold;
use crate::kept::names::{PART, PIECES};
use crate::store::{Listed, StoreError, StoreReader};
use crate::terminal::progress::Progress;
use ring::digest::{Context, SHA256};

/// Bytes of one request: large enough for the speed of a link, small enough to be lost.
const PIECE: u64 = 8 << 20;

/// Largest object that is fetched, in bytes. Stores take less in one object (AWS: 50 TB by 10,000 parts, and a dump
/// compresses).
const OBJECT_MAX: u64 = 16 << 40;

/// Longest list of pieces, in bytes: that of an object of 16 TiB. A longer file is no list, and the download begins
/// anew.
const NOTES_MAX: u64 = 16 << 20;

/// A running download: `FILE.part`, and beside it the list of the pieces that it has.
#[derive(Debug)]
pub struct Download {
    part: Entry,
    pieces: Entry,
    file: File,
    notes: File,
    bytes: u64,
    there: BTreeSet<u64>,
}

impl Download {
    /// Begins a download, or continues one if the object is still the same.
    ///
    /// # Errors
    /// When the files cannot be made, or would take memory that is needed, or something else stands there: a link of
    /// another user, for example.
    pub fn open(to: &Entry, object: &Listed) -> io::Result<Self> {
        if object.bytes > OBJECT_MAX {
            let why = format!("the store says that it has {} bytes, more than any dump", object.bytes);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        let part = to.with_end(PART);
        let pieces = part.with_end(PIECES);
        let identity = format!("{} {} {}\n", object.bytes, PIECE, object.e_tag.as_deref().unwrap_or_default());
        let mut notes = own_file(&pieces, Access::ReadAppend)?;
        let known = read_bounded(&notes, NOTES_MAX).ok().and_then(|known| String::from_utf8(known).ok());
        let there = known.as_deref().and_then(|known| known.strip_prefix(&identity));
        let there = there.filter(|_| part.exists()).map(pieces_in);
        let file = own_file(&part, Access::ReadWrite)?;
        if there.is_none() {
            file.set_len(0)?;
            notes.set_len(0)?;
            notes.write_all(identity.as_bytes())?;
        }
        let there = there.unwrap_or_default();
        let download = Self { part, pieces, file, notes, bytes: object.bytes, there };
        if let Err(error) = must_hold(&download.file, download.bytes.saturating_sub(download.has())) {
            // A download that has pieces already stays: a later run continues it when there is room.
            if download.there.is_empty() {
                download.forget();
            }
            return Err(error);
        }
        Ok(download)
    }

    /// Returns the number of bytes that need not be fetched again.
    pub fn has(&self) -> u64 {
        self.there.iter().map(|piece| self.range(*piece)).map(|range| range.end - range.start).sum()
    }

    fn range(&self, piece: u64) -> Range<u64> {
        piece * PIECE..((piece + 1) * PIECE).min(self.bytes)
    }

    /// Fetches the missing pieces.
    ///
    /// # Errors
    /// When the store or the file fails. The fetched pieces stay.
    pub fn fetch(&mut self, reader: &StoreReader, key: &str, progress: &Progress) -> Result<(), StoreError> {
        let all = 0..self.bytes.div_ceil(PIECE);
        let missing = all.filter(|piece| !self.there.contains(piece)).map(|piece| self.range(piece));
        let (file, mut notes, part) = (&self.file, &self.notes, &self.part);
        let error = |source| StoreError::Local { what: "write", path: part.path().display().to_string(), source };
        reader.read_ranges(key, missing, PIECE, |range, bytes| {
            file.write_all_at(bytes, range.start).map_err(error)?;
            // If a crash cuts a line, its piece is fetched again.
            notes.write_all(format!("{}\n", range.start / PIECE).as_bytes()).map_err(error)?;
            progress.add(bytes.len() as u64);
            Ok(())
        })
    }

    /// Returns the file that has the bytes until [`Download::name`].
    pub fn part(&self) -> &Entry {
        &self.part
    }

    /// Returns the open file with the bytes.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its final name. The caller has checked its content.
    ///
    /// # Errors
    /// When the name is taken meanwhile, or the disk fails.
    pub fn name(self, to: &Entry) -> io::Result<()> {
        slowly(|| self.file.sync_all())?;
        // The file has both names until the other one is removed, and both are right.
        self.part.link_new(to)?;
        self.forget();
        Ok(())
    }

    /// Removes a download with a wrong content, so that no run continues it.
    pub fn forget(self) {
        let _ = self.part.remove();
        let _ = self.pieces.remove();
    }
}

/// Opens a new file, or that of an earlier run. A file of another user is an error: it may be a second name of
/// something else, and that user could still write to it.
fn own_file(entry: &Entry, access: Access) -> io::Result<File> {
    // The error names the file that stands in the way.
    let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", entry.path().display()));
    let file = open_or_create_in(entry.dir(), entry.name(), access).map_err(at)?;
    let meta = file.metadata()?;
    if meta.uid() == rustix::process::geteuid().as_raw() && meta.nlink() == 1 {
        return Ok(file);
    }
    let uid = meta.uid();
    Err(at(io::Error::other(format!("another user has made it, uid {uid}, or it has another name: remove it"))))
}

/// Returns the SHA-256 of a file. `path` is its name in errors.
///
/// # Errors
/// When the file cannot be read, or the run is stopped.
pub fn sha256_of(file: &File, path: &Path, deadline: &Deadline) -> Result<String, StoreError> {
    let error = |source| StoreError::Local { what: "read", path: path.display().to_string(), source };
    let (mut hash, mut page) = (Context::new(&SHA256), vec![0; PAGE]);
    let mut raw = file.metadata().map(|meta| FileFrom { file, at: 0 }.take(meta.len())).map_err(error)?;
    loop {
        deadline.check("computing the checksum of what was fetched")?;
        match raw.read(&mut page).map_err(error)? {
            0 => return Ok(hex(hash.finish().as_ref())),
            n => hash.update(&page[..n]),
        }
    }
}

/// Returns the pieces of the list. Only whole lines count.
fn pieces_in(notes: &str) -> BTreeSet<u64> {
    let whole = notes.rfind('\n').map_or("", |end| &notes[..end]);
    whole.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_run_computes_no_checksum() {
        let deadline = Deadline::after(std::time::Duration::ZERO).unwrap();
        let program = std::env::current_exe().unwrap();
        let error = sha256_of(&File::open(&program).unwrap(), &program, &deadline).unwrap_err();
        assert!(matches!(error, StoreError::Stopped(_)), "{error:?}");
    }

    #[test]
    fn only_whole_lines_count_and_another_object_begins_again() {
        assert_eq!(pieces_in("0\n3\n1"), BTreeSet::from([0, 3]));
        let dir = tempfile::tempdir().unwrap();
        let path = Entry::named(&dir.path().join("x.gz")).unwrap();
        let object = |e_tag: &str| Listed {
            key: "x.gz".into(),
            bytes: 3 * PIECE + 1,
            modified: chrono::DateTime::UNIX_EPOCH,
            e_tag: Some(e_tag.into()),
        };
        let download = Download::open(&path, &object("one")).unwrap();
        (&download.notes).write_all(b"3\n0\n").unwrap();
        assert_eq!(Download::open(&path, &object("one")).unwrap().has(), PIECE + 1);
        assert_eq!(Download::open(&path, &object("two")).unwrap().has(), 0);
    }
}
