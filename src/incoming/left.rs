//! What earlier runs have left to be stored: files with a journal, and files whose names are those of objects.

use std::fs::{DirEntry, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parts::main_of;
use super::{STORED, WAITING};
use crate::journal;
use crate::store::key::{ObjectKey, Place};

/// A journal without its file is older than this, or its file is still to come.
const ORPHAN: Duration = Duration::from_secs(60);

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

/// The same for what a watcher of `dir` and runs with that directory have left there.
pub fn left_for_watcher(dir: &Path, place: &Place, releases: bool) -> Vec<PathBuf> {
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
    let stray = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (main, number) = main_of(&name)?;
        let waits = |path: PathBuf| path.exists() || journal::path_for(&path).exists();
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
    if age.is_some_and(|age| age > ORPHAN) {
        let _ = std::fs::remove_file(entry.path());
    }
    None
}
