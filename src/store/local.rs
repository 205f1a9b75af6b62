//! A local directory as store. The compressed dump is spooled where it will stay. It gets its final name only when it
//! is whole and on disk.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use super::{Beside, Finished, StoreError};
use crate::base::deadline::slowly;
use crate::compress::spool::Spool;
use crate::files::entry::{Entry, HeldDir};
use crate::files::regular_file::{Access, Links, PRIVATE, create_in, open_dir_in};
use crate::guard::{self, Note, Undo};
use crate::kept::journal::Journal;
use crate::kept::names::{NEW, PART, SORTED_PART};
use crate::kept::removal;
use crate::object::key::ObjectKey;
use crate::object::stored::{Digest, StoredObject, Verified};

/// A file without its final name. `Drop` removes it, unless it got its name.
#[derive(Debug)]
pub struct LocalUpload {
    key: ObjectKey,
    file: File,
    temporary: Entry,
    /// The final name.
    named: Entry,
    /// Directories that were created for this object, the outermost first.
    made: Vec<Entry>,
    journal: Journal,
    content: Content,
    end: End,
}

/// The content of the file without its final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Nothing, or a copy of a spool that lies elsewhere.
    Copy,
    /// The spool of a dump that lies elsewhere, too.
    Spool,
    /// The spool, perhaps the only copy of a whole dump. It stays if the last steps fail.
    OnlySpool,
}

/// The end of the upload, which decides what `Drop` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The upload failed: nothing stays.
    Failed,
    /// The dump is whole, and the object has no name yet: the spool stays.
    Whole,
    /// The object has its name: the other names go.
    Named,
}

impl LocalUpload {
    /// Opens a file for the object. Each directory is held from the base of the store on, so that an exchange of one
    /// for a link leads nowhere else.
    pub(super) fn open(dir: &str, key: &ObjectKey, journal: Journal) -> Result<Self, StoreError> {
        let path = Path::new(dir).join(key.dir());
        let unmade = |source| error("create the directory", &path, source);
        let (from, missing) = HeldDir::as_far_as(&path).map_err(unmade)?;
        let is_there = missing.is_empty();
        if is_there && journal.is_resumed() {
            remove_left(&from, key);
        }
        let temporary = free_name(Some(&from).filter(|_| is_there), key);
        let spool = from.entry(&temporary);
        journal.noted(note(&from, &missing, &[&spool, &sorted(&spool)]));
        let (parent, made) = make_dirs(from, &missing).map_err(unmade)?;
        let (temporary, named) = (parent.entry(temporary), parent.entry(key.dump_name()));
        match create(&temporary) {
            Ok(file) => {
                let key = key.clone();
                Ok(Self { key, file, temporary, named, made, journal, content: Content::Copy, end: End::Failed })
            }
            Err(source) => {
                remove_dirs(&made);
                Err(error("create", &temporary.path(), source))
            }
        }
    }

    /// Returns the empty file for the spool.
    pub(super) fn spool_file(&mut self, only_copy: bool) -> Result<(File, Entry), StoreError> {
        let file = self.file.set_len(0).and_then(|()| self.file.try_clone());
        let file = file.map_err(|source| error("empty", &self.temporary.path(), source))?;
        self.content = if only_copy { Content::OnlySpool } else { Content::Spool };
        Ok((file, self.temporary.clone()))
    }

    pub(super) fn spooled_at(&self) -> Option<Entry> {
        (self.content == Content::OnlySpool).then(|| self.temporary.clone())
    }

    /// Gives the object its name. The temporary name and the journal go only after the receipt is there. If the process
    /// dies before, the next run writes the receipt.
    pub(super) fn finish(mut self, digest: &Digest, spool: &Spool) -> Result<Finished, StoreError> {
        if self.content == Content::OnlySpool {
            self.end = End::Whole;
        }
        let (whole, file) = self.whole_file(spool)?;
        let synced = slowly(|| file.sync_all()).and_then(|()| file.metadata());
        let there = synced.map_err(|source| error("write", &whole.path(), source))?.len();
        let url = self.named.path().display().to_string();
        if there != digest.bytes {
            return Err(StoreError::SizeDiffers { url, there, expected: digest.bytes });
        }
        let sent_before = self.journal.sent_before();
        // A file that already has the object's name has the digest that was noted first.
        if sent_before.is_none() || !self.named.exists() {
            self.journal.note_whole(digest);
        }
        let digest = match name_file(&whole, &self.named) {
            Ok(()) => {
                self.journal.wrote();
                digest.clone()
            }
            Err(source) => self
                .named_before(&source, sent_before.unwrap_or_else(|| digest.clone()))
                .ok_or_else(|| error("name", &self.named.path(), source))?,
        };
        self.end = End::Named;
        let (key, verified) = (self.key.dump(), Verified::Size);
        let object = StoredObject { url, key, bytes: digest.bytes, sha256: digest.sha256, verified };
        Ok(Finished { object, beside: Beside::Local(self) })
    }

    /// Returns a file with the bytes of the object in order. The spool of a dump in parts has its head after its heap,
    /// so this function makes a sorted copy. The spool itself stays as its journal describes it, until the object has
    /// its name.
    fn whole_file(&self, spool: &Spool) -> Result<(Entry, File), StoreError> {
        let unwritten = |source| error("write", &self.temporary.path(), source);
        let is_copy = self.content == Content::Copy;
        if is_copy {
            spool.copy_to(&self.file).map_err(unwritten)?;
        }
        if is_copy || spool.is_in_order() {
            return Ok((self.temporary.clone(), self.file.try_clone().map_err(unwritten)?));
        }
        let sorted = sorted(&self.temporary);
        let unsorted = |source| StoreError::Unsorted { path: self.temporary.path().display().to_string(), source };
        let file = create(&sorted).and_then(|file| spool.copy_to(&file).map(|()| file)).map_err(unsorted)?;
        Ok((sorted, file))
    }

    /// Returns the digest of an earlier process's object, if a file of that size has the object's name.
    fn named_before(&self, error: &io::Error, sent: Digest) -> Option<Digest> {
        let same = || self.named.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == sent.bytes);
        let found = error.kind() == io::ErrorKind::AlreadyExists && self.journal.is_resumed() && same();
        found.then_some(sent)
    }

    /// Removes the files without a final name, and the journal.
    fn remove_temporary(&self) {
        let files = [self.temporary.clone(), sorted(&self.temporary), self.temporary.journal()];
        let _note = note(self.temporary.dir(), &[], &files.each_ref());
        if let Err(error) = removal::remove(files) {
            log::warn!("cannot remove all of {}: {error}", self.temporary.path().display());
        }
    }

    /// Writes a text beside the object. Nobody sees it before it is complete. An existing one is replaced only beside
    /// our own object.
    pub(super) fn put_beside(&self, tail: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let key = self.key.beside(tail);
        let name = key.rsplit('/').next().unwrap_or_default();
        let (to, new) = (self.named.sibling(name), self.named.sibling(format!(".{name}{NEW}")));
        let _note = note(to.dir(), &[], &[&new]);
        let _ = new.remove();
        let written = create(&new).and_then(|mut file| file.write_all(bytes).and_then(|()| slowly(|| file.sync_all())));
        let named = written
            .and_then(|()| if self.journal.may_replace_beside() { new.replace(&to) } else { new.rename_new(&to) });
        named.map_err(|source| {
            let _ = new.remove();
            error("write", &to.path(), source)
        })
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        if self.end == End::Whole {
            // The sorted file is only a copy, and may have filled the disk.
            let _ = sorted(&self.temporary).remove();
            return;
        }
        self.remove_temporary();
        if self.end == End::Failed {
            remove_dirs(&self.made);
        }
    }
}

/// Tells the guard which names below `from` a killed run leaves. The files are in the last one of the directories.
fn note(from: &HeldDir, dirs: &[OsString], files: &[&Entry]) -> Note {
    let files = files.iter().map(|file| file.name().to_owned()).collect();
    guard::note(Undo::Names { dirs: dirs.to_vec(), files }, &[from.as_fd()])
}

fn create(file: &Entry) -> io::Result<File> {
    create_in(file.dir(), file.name(), Access::ReadWrite, PRIVATE)
}

fn temporaries(key: &ObjectKey) -> impl Iterator<Item = String> + use<> {
    let name = key.dump_name();
    let first = std::iter::once(format!(".{name}{PART}"));
    first.chain((2..10).map(move |n| format!(".{name}.{n}{PART}")))
}

/// Removes the files of the same upload that a killed process has left. A file with a journal is a spool that waits, so
/// it stays.
fn remove_left(dir: &Arc<HeldDir>, key: &ObjectKey) {
    let left = temporaries(key).map(|name| dir.entry(name));
    let left = left.filter(|file| !file.journal().exists());
    let _ = removal::remove(left.flat_map(|file| [sorted(&file), file]));
}

/// Returns a temporary name that is free in `dir`. An existing file of that name may be the dump that is stored now.
fn free_name(dir: Option<&Arc<HeldDir>>, key: &ObjectKey) -> String {
    let free = temporaries(key).find(|name| dir.is_none_or(|dir| !dir.entry(name).exists()));
    free.unwrap_or_else(|| format!(".{}{PART}", key.dump_name()))
}

/// Implements [`crate::store::clear_spool`].
pub(super) fn clear_beside(spool: &Entry) {
    if spool.name().to_string_lossy().ends_with(&format!(".hprof.gz{PART}")) {
        let _ = sorted(spool).remove();
    }
}

fn sorted(temporary: &Entry) -> Entry {
    temporary.sibling(Path::new(temporary.name()).with_extension(SORTED_PART))
}

fn error(what: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Local { what, path: path.display().to_string(), source }
}

/// Gives the file a second name, and never replaces an object.
fn name_file(from: &Entry, to: &Entry) -> io::Result<()> {
    from.link_new(to)?;
    // A new name survives a crash only once its directory is synced. Some directories can be written but not opened.
    if let Err(error) = open_dir_in(to.dir(), ".", Links::Refuse).and_then(|dir| slowly(|| dir.sync_all())) {
        log::info!("cannot sync {}: {error}", to.dir().path().display());
    }
    Ok(())
}

/// Creates the directories, one inside the other. Returns the innermost, and those that were new, the outermost first.
fn make_dirs(from: Arc<HeldDir>, names: &[OsString]) -> io::Result<(Arc<HeldDir>, Vec<Entry>)> {
    let (mut dir, mut made) = (from, Vec::new());
    for name in names {
        let below = match mkdirat(&dir, name, Mode::RWXU) {
            Ok(()) => {
                made.push(dir.entry(name));
                dir.below(name)
            }
            // Another run was faster.
            Err(Errno::EXIST) => dir.below(name),
            Err(error) => Err(error.into()),
        };
        dir = below.inspect_err(|_| remove_dirs(&made))?;
    }
    Ok((dir, made))
}

/// Removes the directories that are empty. Those that another run uses by now stay.
fn remove_dirs(made: &[Entry]) {
    for dir in made.iter().rev() {
        let _ = dir.remove_dir();
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
