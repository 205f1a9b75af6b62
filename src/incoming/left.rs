//! What earlier runs have left to be stored: files with a journal, and files whose names are those of objects.

use std::fs::{DirEntry, File, FileType};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parts::main_of;
use super::{STORED, WAITING};
use crate::heap_dump::abandoned;
use crate::journal::{self, Journal};
use crate::store::key::{ObjectKey, Place};

/// A journal without its file is older than this, or its file is still to come.
const ORPHAN: Duration = Duration::from_secs(60);

/// Seconds from a part's move on, within which its dump follows: two renames of one watcher.
const STRAY: i64 = 3;

/// Looks in `dir` and so many levels below it. Without a `place`, only journals count.
///
/// # Errors
/// When `dir` itself cannot be listed.
pub fn left_in(dir: &Path, levels: usize, place: Option<&Place>) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)?.filter_map(Result::ok) {
        let is = |what: fn(&FileType) -> bool| entry.file_type().is_ok_and(|kind| what(&kind));
        if is(FileType::is_dir) && entry.file_name() == STORED {
            continue;
        }
        if is(FileType::is_dir) && levels > 0 {
            // What cannot be looked into is somebody else's.
            found.extend(left_in(&entry.path(), levels - 1, place).unwrap_or_default());
        } else if is(FileType::is_file) {
            found.extend(left_file(&entry, place));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Removes what killed runs have left in `dir` that cannot be stored.
pub fn sweep(dir: &Path) {
    if let Err(error) = File::open(dir).and_then(abandoned::sweep) {
        log::debug!("{} cannot be looked at for what others have left: {error}", dir.display());
    }
}

/// The same for what a watcher of `dir` and runs with that directory have left there.
pub fn left_for_watcher(dir: &Path, place: &Place, releases: bool) -> Vec<PathBuf> {
    sweep(dir);
    if releases {
        release_parts(&dir.join(WAITING), place);
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(WAITING));
    let ours = ours.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    ours.flat_map(|entry| {
        let is_waiting = entry.file_name() == WAITING;
        left_in(&entry.path(), 0, is_waiting.then_some(place)).unwrap_or_default()
    })
    .collect()
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

fn left_file(entry: &DirEntry, place: Option<&Place>) -> Option<PathBuf> {
    let name = entry.file_name().to_string_lossy().into_owned();
    let Some(file) = name.strip_suffix(journal::SUFFIX) else {
        return place.and_then(|place| ObjectKey::of_file(place, &name)).map(|_| entry.path());
    };
    let file = entry.path().with_file_name(file);
    if std::fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_file()) {
        return Some(file);
    }
    let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
    // Another program's file may be called like a journal.
    if age.is_some_and(|age| age > ORPHAN)
        && let Ok(Some(_held)) = Journal::reopen(&file)
    {
        let _ = std::fs::remove_file(entry.path());
    }
    None
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
            File::options().write(true).open(journal::path_for(path)).unwrap().set_modified(old).unwrap();
        }
        assert_eq!(left_in(dir.path(), 0, None).unwrap(), Vec::<PathBuf>::new());
        assert_eq!([&orphan, &young, &foreign].map(|path| journal::path_for(path).exists()), [false, true, true]);
    }
}
