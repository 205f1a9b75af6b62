//! Files that earlier runs have left to be stored: those with a journal, and those with the name of an object.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Obstacles, in_the_way};
use crate::files::entry::{Entry, HeldDir};
use crate::files::regular_file::NotRegular;
use crate::kept::journal::Journal;
use crate::kept::names::{STORED, WAITING, file_of, is_journal, part_name, part_of};
use crate::kept::sweep;
use crate::object::key::{ObjectKey, Place};

/// A journal without its file is older than this, or its file is still to come.
const ORPHAN: Duration = Duration::from_secs(60);

/// Seconds from a part's move on, within which its dump follows: two renames of one watcher.
const STRAY: i64 = 3;

/// The files that were found, and the obstacles.
#[derive(Debug, Default)]
pub struct Left {
    pub files: Vec<PathBuf>,
    pub obstacles: Obstacles,
}

/// Looks in `dir` and so many levels below it. Without a `place`, only journals count.
///
/// # Errors
/// When `dir` itself cannot be listed.
pub fn left_in(dir: &Arc<HeldDir>, levels: usize, place: Option<&Place>) -> io::Result<Left> {
    let mut left = Left::default();
    for name in dir.names()? {
        let entry = dir.entry(name);
        let Ok(meta) = entry.metadata() else { continue };
        match NotRegular::of_mode(meta.mode()) {
            None => left.add_file(&entry, place),
            Some(what) if what.is_dir() => {
                if levels > 0 && entry.name() != STORED {
                    // A directory that cannot be opened is another user's.
                    let below = dir.below(entry.name()).and_then(|dir| left_in(&dir, levels - 1, place));
                    left.add(below.unwrap_or_default());
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

fn is_named_like_ours(entry: &Entry, place: Option<&Place>) -> bool {
    let name = entry.name().to_string_lossy();
    is_journal(entry.name()) || place.is_some_and(|place| ObjectKey::of_file(place, &name).is_some())
}

/// Removes what killed runs have left in `dir` that cannot be stored.
pub fn sweep(dir: &Arc<HeldDir>) {
    if let Err(error) = dir.acting(None, || sweep::sweep(dir)) {
        log::debug!("{} cannot be looked at for what others have left: {error}", dir.path().display());
    }
}

/// Looks for the files that a watcher of `dir`, and runs with that directory, have left there.
pub fn left_for_watcher(dir: &Arc<HeldDir>, waiting: &Arc<HeldDir>, place: &Place, releases: bool) -> Left {
    sweep(dir);
    if releases {
        release_parts(waiting, place);
    }
    let names = dir.names().into_iter().flatten();
    let ours = names.filter(|name| name.to_string_lossy().starts_with(WAITING));
    let mut left = Left::default();
    for name in ours {
        let is_waiting = name == WAITING;
        // Our own place stays ours, whatever has its name.
        let below = if is_waiting { Ok(Arc::clone(waiting)) } else { dir.below(name) };
        left.add(below.and_then(|dir| left_in(&dir, 0, is_waiting.then_some(place))).unwrap_or_default());
    }
    left
}

/// A part whose dump is stored without it, or came to be called otherwise, is stored by itself.
fn release_parts(waiting: &Arc<HeldDir>, place: &Place) {
    for (part, key, number) in stray_parts(waiting, place) {
        let _ = part.rename_new(&waiting.entry(key.of_other(&part_name("hprof", number)).waiting_name(false)));
    }
}

/// Parts whose dump waits no more, its key, and their numbers. By itself a part cannot be redacted.
pub fn stray_parts(waiting: &Arc<HeldDir>, place: &Place) -> Vec<(Entry, ObjectKey, u16)> {
    let now = chrono::Utc::now().timestamp();
    let stray = waiting.names().into_iter().flatten().filter_map(|name| {
        let part = waiting.entry(&name);
        let (main, number) = part_of(&name)?;
        let waits = |dump: Entry| dump.exists() || dump.journal().exists();
        // Another watcher may just be moving them, and the dump comes last.
        part.metadata().ok().filter(|meta| meta.ctime() < now - STRAY)?;
        let key = ObjectKey::of_file(place, &main.to_string_lossy()).filter(|_| !waits(waiting.entry(main)))?;
        Some((part, key, number))
    });
    stray.collect()
}

impl Left {
    fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.obstacles.extend(other.obstacles.into_vec());
    }

    fn add_file(&mut self, entry: &Entry, place: Option<&Place>) {
        let Some(file) = file_of(entry.name()) else {
            let named = place.and_then(|place| ObjectKey::of_file(place, &entry.name().to_string_lossy()));
            return self.files.extend(named.map(|_| entry.path()));
        };
        let file = entry.sibling(file);
        match file.metadata().map(|meta| NotRegular::of_mode(meta.mode())) {
            Ok(None) => self.files.push(file.path()),
            Ok(Some(what)) => self.obstacles.add(in_the_way(&file.path(), what)),
            Err(_) => remove_orphan(entry, &file),
        }
    }
}

/// Removes the journal of a file that is not there.
fn remove_orphan(entry: &Entry, file: &Entry) {
    let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
    // Another program's file may be called like a journal.
    if age.is_some_and(|age| age > ORPHAN)
        && let Ok(Some(_held)) = Journal::reopen(file)
    {
        let _ = entry.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::journal;
    use crate::kept::journal::tests::begin;

    #[test]
    fn journal_without_its_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let [orphan, young, foreign] = ["orphan", "young", "foreign"].map(|name| dir.path().join(name));
        for path in [&orphan, &young] {
            Journal::default().write_beside(&Entry::named(path).unwrap(), &begin()).unwrap();
        }
        std::fs::write(journal::path_for(&foreign), "of another program").unwrap();
        for path in [&orphan, &foreign] {
            let old = std::time::SystemTime::now() - 2 * ORPHAN;
            std::fs::File::options().write(true).open(journal::path_for(path)).unwrap().set_modified(old).unwrap();
        }
        assert_eq!(left_in(&HeldDir::named(dir.path()).unwrap(), 0, None).unwrap().files, Vec::<PathBuf>::new());
        assert_eq!([&orphan, &young, &foreign].map(|path| journal::path_for(path).exists()), [false, true, true]);
    }
}
