//! A local directory as store: the compressed dump is spooled where it will stay, and gets its name only when it
//! is whole and on disk.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use super::key::ObjectKey;
use super::{Beside, Digest, Finished, Ledger, StoreError, StoredObject, Verified};
use crate::deadline::slowly;
use crate::entry::Entry;
use crate::guard::{self, Note, Undo};
use crate::journal;
use crate::regular_file::{self, Links, create};
use crate::rename::rename_new;
use crate::spool::Spool;

/// A file without its final name; removed in `Drop` while it has none.
#[derive(Debug)]
pub struct LocalUpload {
    key: ObjectKey,
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    base: PathBuf,
    /// Directories that were made for this object, the outermost first.
    made: Vec<PathBuf>,
    /// It has its name.
    stored: bool,
    ledger: Ledger,
    /// The file is the spool.
    spooled: bool,
    /// And it may be the only copy of a whole dump: then it stays when the last steps fail.
    only_copy: bool,
    stays: bool,
}

impl LocalUpload {
    pub(super) fn open(dir: &str, key: &ObjectKey, ledger: Ledger) -> Result<Self, StoreError> {
        let base = Path::new(dir);
        let path = base.join(key.dump());
        let parent = path.parent().unwrap_or(base);
        if ledger.is_resumed() {
            remove_left(parent, key);
        }
        let temporary = free_name(parent, key);
        ledger.noted(note(&[temporary.clone(), sorted(&temporary)], &missing(parent)));
        let made = make_dirs(parent).map_err(|source| error("create the directory", parent, source))?;
        let base = base.to_owned();
        match create(&temporary) {
            Ok(file) => {
                let key = key.clone();
                Ok(Self {
                    key,
                    file,
                    temporary,
                    path,
                    base,
                    made,
                    stored: false,
                    ledger,
                    spooled: false,
                    only_copy: false,
                    stays: false,
                })
            }
            Err(source) => {
                remove_dirs(&made);
                Err(error("create", &temporary, source))
            }
        }
    }

    pub(super) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// The file for the spool, empty.
    pub(super) fn spool_file(&mut self, only_copy: bool) -> Result<(File, PathBuf), StoreError> {
        let file = self.file.set_len(0).and_then(|()| self.file.try_clone());
        let file = file.map_err(|source| error("empty", &self.temporary, source))?;
        (self.spooled, self.only_copy) = (true, only_copy);
        Ok((file, self.temporary.clone()))
    }

    pub(super) fn spooled_at(&self) -> Option<String> {
        self.only_copy.then(|| self.temporary.display().to_string())
    }

    /// The temporary name and the journal go when the receipt lies beside the object: whoever goes on after a crash
    /// before that writes it.
    pub(super) fn finish(mut self, digest: &Digest, spool: &Spool) -> Result<Finished, StoreError> {
        self.stays = self.only_copy;
        let whole = self.whole_file(spool)?;
        let synced =
            regular_file::open(&whole).and_then(|file| slowly(|| file.sync_all()).and_then(|()| file.metadata()));
        let there = synced.map_err(|source| error("write", &whole, source))?.len();
        let url = self.path.display().to_string();
        if there != digest.bytes {
            return Err(StoreError::SizeDiffers { url, there, expected: digest.bytes });
        }
        let sent_before = self.ledger.sent_before();
        // What has the object's name already is what was sent first.
        if sent_before.is_none() || !self.path.exists() {
            self.ledger.note_whole(digest);
        }
        let digest = match name_file(&whole, &self.path) {
            Ok(()) => {
                self.ledger.wrote();
                digest.clone()
            }
            Err(source) => self
                .named_before(&source, sent_before.unwrap_or_else(|| digest.clone()))
                .ok_or_else(|| error("name", &self.path, source))?,
        };
        self.stored = true;
        let (key, verified) = (self.key.dump(), Verified::Size);
        let object = StoredObject { url, key, bytes: digest.bytes, sha256: digest.sha256, verified };
        Ok(Finished { object, beside: Beside::Local(self) })
    }

    /// The path of a file with the whole object in its order. A dump that came in parts has its head behind its heap:
    /// its spool stays as its journal describes it until the object has its name.
    fn whole_file(&self, spool: &Spool) -> Result<PathBuf, StoreError> {
        if !self.spooled {
            spool.copy_to(&self.file).map_err(|source| error("write", &self.temporary, source))?;
        }
        if !self.spooled || spool.is_in_order() {
            return Ok(self.temporary.clone());
        }
        let sorted = sorted(&self.temporary);
        let unsorted = |source| StoreError::Unsorted { path: self.temporary.display().to_string(), source };
        create(&sorted).and_then(|file| spool.copy_to(&file)).map_err(unsorted)?;
        Ok(sorted)
    }

    /// What a process sent that died before it could tell, if that has the object's name.
    fn named_before(&self, error: &io::Error, sent: Digest) -> Option<Digest> {
        let same = || std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() == sent.bytes);
        let found = error.kind() == io::ErrorKind::AlreadyExists && self.ledger.is_resumed() && same();
        found.then_some(sent)
    }

    /// What of it has no name of its own, and the journal that would have outlived us.
    fn remove_temporary(&self) {
        let files = [self.temporary.clone(), sorted(&self.temporary), journal::path_for(&self.temporary)];
        let _note = note(&files, &[]);
        for path in &files {
            if let Err(error) = std::fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                log::warn!("cannot remove {}: {error}", path.display());
            }
        }
    }

    /// Nobody sees it before it is complete. One that is there is replaced only beside our own object.
    pub(super) fn put_beside(&self, tail: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.base.join(self.key.beside(tail));
        let new = path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().display()));
        let _note = note(std::slice::from_ref(&new), &[]);
        let _ = std::fs::remove_file(&new);
        let written = create(&new).and_then(|mut file| file.write_all(bytes).and_then(|()| slowly(|| file.sync_all())));
        let named = written.and_then(|()| {
            if self.ledger.may_replace_beside() { std::fs::rename(&new, &path) } else { rename_new(CWD, &new, &path) }
        });
        named.map_err(|source| {
            let _ = std::fs::remove_file(&new);
            error("write", &path, source)
        })
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        if self.stays && !self.stored {
            // A copy, and perhaps what has filled the disk.
            let _ = std::fs::remove_file(sorted(&self.temporary));
            return;
        }
        self.remove_temporary();
        if !self.stored {
            remove_dirs(&self.made);
        }
    }
}

/// For the guard: what a run that is killed leaves here. It may run in another directory than this.
fn note(files: &[PathBuf], dirs: &[PathBuf]) -> Note {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let [files, dirs] = [files, dirs].map(|paths| paths.iter().map(absolute).collect());
    guard::note(Undo::Paths { files, dirs }, &[])
}

fn temporaries<'a>(parent: &'a Path, key: &ObjectKey) -> impl Iterator<Item = PathBuf> + use<'a> {
    let name = key.dump_name();
    let first = std::iter::once(format!(".{name}.part"));
    first.chain((2..10).map(move |n| format!(".{name}.{n}.part"))).map(|name| parent.join(name))
}

/// What a killed process has left of the same upload. What has a journal is a spool that waits.
fn remove_left(parent: &Path, key: &ObjectKey) {
    for path in temporaries(parent, key).filter(|path| !journal::path_for(path).exists()) {
        let _ = std::fs::remove_file(sorted(&path));
        let _ = std::fs::remove_file(path);
    }
}

/// What was spooled here and not named in time may be what is stored now.
fn free_name(parent: &Path, key: &ObjectKey) -> PathBuf {
    let free = temporaries(parent, key).find(|path| !path.exists());
    free.unwrap_or_else(|| parent.join(format!(".{}.part", key.dump_name())))
}

/// See [`super::clear_spool`].
pub(super) fn clear_beside(spool: &Entry) {
    if spool.name().to_string_lossy().ends_with(".hprof.gz.part") {
        let _ = spool.sibling(sorted(Path::new(spool.name()))).remove();
    }
}

fn sorted(temporary: &Path) -> PathBuf {
    temporary.with_extension("sorted")
}

fn error(what: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Local { what, path: path.display().to_string(), source }
}

/// One more name, never that of an existing object; where the file system has but one for each file, the other goes.
fn name_file(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => rename_new(CWD, from, to)?,
        other => other?,
    }
    // The name is safe only when its directory is on disk; some directories can be written but not opened.
    let parent = to.parent().unwrap_or(Path::new("/"));
    if let Err(error) = regular_file::open_dir_in(CWD, parent, Links::Follow).and_then(|dir| slowly(|| dir.sync_all()))
    {
        log::info!("cannot sync {}: {error}", parent.display());
    }
    Ok(())
}

/// Makes what is missing of `dir`; says what that was, the outermost first.
fn make_dirs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for dir in missing(dir) {
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => made.push(dir),
            // Another run was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            Err(error) => {
                remove_dirs(&made);
                return Err(error);
            }
        }
    }
    Ok(made)
}

/// What is missing of `dir`, the outermost first.
fn missing(dir: &Path) -> Vec<PathBuf> {
    let missing = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).map(Path::to_owned);
    let mut missing: Vec<PathBuf> = missing.collect();
    missing.reverse();
    missing
}

/// Those that another run uses by now are not empty, and stay.
fn remove_dirs(made: &[PathBuf]) {
    for dir in made.iter().rev() {
        let _ = std::fs::remove_dir(dir);
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
