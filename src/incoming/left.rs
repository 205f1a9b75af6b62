//! What earlier runs have left to be stored: files with a journal, and files whose names are those of objects.

use std::fs::DirEntry;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::CWD;

use super::parts::main_of;
use super::{Obstacles, STORED, WAITING, in_the_way};
use crate::heap_dump::abandoned;
use crate::journal::{self, Journal};
use crate::regular_file::{Links, NotRegular, open_dir_in};
use crate::store::key::{ObjectKey, Place};

/// A journal without its file is older than this, or its file is still to come.
const ORPHAN: Duration = Duration::from_secs(60);

/// Seconds from a part's move on, within which its dump follows: two renames of one watcher.
const STRAY: i64 = 3;

/// What was found.
#[derive(Debug, Default)]
pub struct Left {
    pub files: Vec<PathBuf>,
    pub obstacles: Obstacles,
}

/// Looks in `dir` and so many levels below it. Without a `place`, only journals count.
///
/// # Errors
/// When `dir` itself cannot be listed.
pub fn left_in(dir: &Path, levels: usize, place: Option<&Place>) -> io::Result<Left> {
    let mut left = Left::default();
    for entry in std::fs::read_dir(dir)?.filter_map(Result::ok) {
        let Ok(meta) = entry.metadata() else { continue };
        match NotRegular::of_mode(meta.mode()) {
            None => left.add_file(&entry, place),
            Some(what) if what.is_dir() => {
                if levels > 0 && entry.file_name() != STORED {
                    // What cannot be looked into is somebody else's.
                    left.add(left_in(&entry.path(), levels - 1, place).unwrap_or_default());
                }
            }
            Some(what) if is_named_like_ours(&entry, place) => left.obstacles.add(in_the_way(&entry.path(), what)),
            Some(_) => {}
        }
    }
    left.files.sort();
    left.files.dedup();
    Ok(left)
}

fn is_named_like_ours(entry: &DirEntry, place: Option<&Place>) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    name.ends_with(journal::SUFFIX) || place.is_some_and(|place| ObjectKey::of_file(place, &name).is_some())
}

/// Removes what killed runs have left in `dir` that cannot be stored.
pub fn sweep(dir: &Path) {
    if let Err(error) = open_dir_in(CWD, dir, Links::Follow).and_then(abandoned::sweep) {
        log::debug!("{} cannot be looked at for what others have left: {error}", dir.display());
    }
}

/// The same for what a watcher of `dir` and runs with that directory have left there.
pub fn left_for_watcher(dir: &Path, place: &Place, releases: bool) -> Left {
    sweep(dir);
    if releases {
        release_parts(&dir.join(WAITING), place);
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(WAITING));
    let ours = ours.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut left = Left::default();
    for entry in ours {
        let is_waiting = entry.file_name() == WAITING;
        left.add(left_in(&entry.path(), 0, is_waiting.then_some(place)).unwrap_or_default());
    }
    left
}

/// A part whose dump is stored without it, or came to be called otherwise, is stored by itself.
fn release_parts(waiting: &Path, place: &Place) {
    for (path, key, number) in stray_parts(waiting, place) {
        let name = key.of_other(&format!("hprof.p{number}")).waiting_name(false);
        let _ = std::fs::rename(path, waiting.join(name));
    }
}

/// Parts whose dump waits no more, its key, and their numbers. By itself a part cannot be redacted.
pub fn stray_parts(waiting: &Path, place: &Place) -> Vec<(PathBuf, ObjectKey, u16)> {
    let entries = std::fs::read_dir(waiting).into_iter().flatten().filter_map(Result::ok);
    let now = chrono::Utc::now().timestamp();
    let stray = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (main, number) = main_of(&name)?;
        let waits = |path: PathBuf| path.exists() || journal::path_for(&path).exists();
        // Another watcher may just be moving them, and the dump comes last.
        entry.metadata().ok().filter(|meta| meta.ctime() < now - STRAY)?;
        let key = ObjectKey::of_file(place, main).filter(|_| !waits(waiting.join(main)))?;
        Some((entry.path(), key, number))
    });
    stray.collect()
}

impl Left {
    fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.obstacles.extend(other.obstacles.into_vec());
    }

    fn add_file(&mut self, entry: &DirEntry, place: Option<&Place>) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(file) = name.strip_suffix(journal::SUFFIX) else {
            let named = place.and_then(|place| ObjectKey::of_file(place, &name));
            return self.files.extend(named.map(|_| entry.path()));
        };
        let file = entry.path().with_file_name(file);
        match std::fs::symlink_metadata(&file).map(|meta| NotRegular::of_mode(meta.mode())) {
            Ok(None) => self.files.push(file),
            Ok(Some(what)) => self.obstacles.add(in_the_way(&file, what)),
            Err(_) => remove_orphan(entry, &file),
        }
    }
}

/// Removes the journal of a file that is not there.
fn remove_orphan(entry: &DirEntry, file: &Path) {
    let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
    // Another program's file may be called like a journal.
    if age.is_some_and(|age| age > ORPHAN)
        && let Ok(Some(_held)) = Journal::reopen(file)
    {
        let _ = std::fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::begin;

    #[test]
    fn a_journal_without_its_file_is_removed_and_what_is_called_like_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let [orphan, young, foreign] = ["orphan", "young", "foreign"].map(|name| dir.path().join(name));
        drop([&orphan, &young].map(|path| Journal::create(path, &begin()).unwrap()));
        std::fs::write(journal::path_for(&foreign), "of another program").unwrap();
        for path in [&orphan, &foreign] {
            let old = std::time::SystemTime::now() - 2 * ORPHAN;
            std::fs::File::options().write(true).open(journal::path_for(path)).unwrap().set_modified(old).unwrap();
        }
        assert_eq!(left_in(dir.path(), 0, None).unwrap().files, Vec::<PathBuf>::new());
        assert_eq!([&orphan, &young, &foreign].map(|path| journal::path_for(path).exists()), [false, true, true]);
    }
}
