//! The directory that is watched: what is complete is renamed away at once, under a name that is already that of its
//! object.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::Pattern;
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use super::completeness::{Kind, Seen, look};
use super::parts::parts_of;
use super::{AS_THE_JVM, Obstacles, changed, in_the_way};
use crate::base::printable::printable;
use crate::base::run_id::run_id;
use crate::files::entry::{Entry, HeldDir};
use crate::files::private::is_private;
use crate::files::regular_file::{Links, NotRegular, open_dir_in};
use crate::kept::journal::{FileState, Journal, JournalError, Unfinished};
use crate::kept::names::{WAITING, is_journal};
use crate::object::key::{ObjectKey, Place, pid_of};

/// The result of one look at the directory.
#[derive(Debug, Default)]
pub struct Scan {
    /// Files that were taken over: the old name and the new path.
    pub taken: Vec<(OsString, PathBuf)>,
    /// How many somebody still writes.
    pub growing: usize,
    /// Files that cannot be read or taken, and the reasons.
    pub obstacles: Obstacles,
    /// Uploads that were begun with earlier files of these names.
    pub stale: Vec<Unfinished>,
}

/// The watched directory.
#[derive(Debug)]
pub struct Inbox {
    dir: Arc<HeldDir>,
    waiting: Arc<HeldDir>,
    patterns: Vec<Pattern>,
    place: Place,
    pod: String,
    /// `None` where the kernel gives none: then time alone says when to look.
    events: Option<OwnedFd>,
}

impl Inbox {
    /// # Errors
    /// When the directory cannot be read, or nothing can be put into it.
    pub fn open(dir: &Path, patterns: Vec<Pattern>, place: Place, pod: String) -> io::Result<Self> {
        let held = HeldDir::named(dir)?;
        drop(held.names()?);
        match mkdirat(&held, WAITING, Mode::RWXU) {
            Err(error) if error != Errno::EXIST => return Err(error.into()),
            _ => {}
        }
        let waiting = held.below(WAITING);
        must_be_ours(&held.entry(WAITING), &waiting)?;
        let waiting = waiting?;
        let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).and_then(|events| {
            let what = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE;
            // The events are those of the held directory, even if its path now leads elsewhere.
            add_watch(&events, format!("/proc/self/fd/{}", held.as_fd().as_raw_fd()), what).map(|_| events)
        });
        let events = events.inspect_err(|errno| log::info!("no events of {}: {errno}", dir.display())).ok();
        Ok(Self { dir: held, waiting, patterns, place, pod, events })
    }

    /// The directory that is watched.
    pub fn dir(&self) -> &Arc<HeldDir> {
        &self.dir
    }

    /// Where what was taken waits.
    pub fn waiting(&self) -> &Arc<HeldDir> {
        &self.waiting
    }

    /// Readable when something has happened there.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(AsFd::as_fd)
    }

    /// Takes what is complete.
    ///
    /// # Errors
    /// When the directory cannot be listed any more.
    pub fn scan(&self) -> io::Result<Scan> {
        self.drain_events();
        let mut scan = Scan::default();
        for name in self.dir.names()? {
            let entry = self.dir.entry(&name);
            if name.as_bytes().starts_with(b".") || is_journal(&name) {
                continue;
            }
            match entry.metadata().map(|meta| NotRegular::of_mode(meta.mode())) {
                Ok(None) => self.consider(&entry, name, &mut scan),
                Ok(Some(what)) if self.is_wanted(&name, what) => scan.obstacles.add(in_the_way(&entry.path(), what)),
                _ => {}
            }
        }
        Ok(scan)
    }

    /// A file of that name would be taken. Directories are many things.
    fn is_wanted(&self, name: &OsStr, what: NotRegular) -> bool {
        let name = name.to_string_lossy();
        let by_pattern = !what.is_dir() && self.patterns.iter().any(|pattern| pattern.matches(&name));
        name.contains(".hprof") || by_pattern
    }

    fn consider(&self, entry: &Entry, name: OsString, scan: &mut Scan) {
        let lossy = name.to_string_lossy();
        let shown = printable(&lossy);
        match look(&self.dir, &name, &self.patterns) {
            Seen::Foreign => {}
            Seen::Growing => scan.growing += 1,
            Seen::Unreadable(error) => {
                scan.obstacles.add(format!("{shown} cannot be read: {error}; {AS_THE_JVM}"));
            }
            Seen::Complete(kind) => match self.take(entry, &name.to_string_lossy(), kind, &mut scan.stale) {
                Ok(path) => scan.taken.push((name, path)),
                // Another watcher was faster, or the file is being uploaded by hand.
                Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::ResourceBusy].contains(&error.kind()) => {}
                Err(error) => {
                    let denied = error.kind() == io::ErrorKind::PermissionDenied;
                    let next = if denied { format!("; {AS_THE_JVM}") } else { String::new() };
                    scan.obstacles.add(format!("{shown} cannot be taken over: {error}{next}"));
                }
            },
        }
    }

    /// The last step is the dump itself: a name in the waiting place is one that counts.
    fn take(&self, entry: &Entry, name: &str, kind: Kind, stale: &mut Vec<Unfinished>) -> io::Result<PathBuf> {
        let begun = match Journal::reopen(entry) {
            // Of an earlier file of the same name, which is stored or gone: its key is not for this one. Where it alone
            // tells the order of pieces, somebody has to look at it.
            Ok(Some(past)) if past.begin.order.is_empty() && past.begin.file != FileState::of(&entry.metadata()?) => {
                entry.journal().remove()?;
                stale.extend(past.unfinished());
                None
            }
            Ok(begun) => begun,
            Err(JournalError::Locked) => return Err(io::ErrorKind::ResourceBusy.into()),
            // Another program's file is no reason to leave a dump.
            Err(JournalError::Foreign) => None,
            Err(error) => return Err(io::Error::other(format!("{error}; {}", error.hint()))),
        };
        let new = || {
            let key = ObjectKey::new(&self.place, changed(&entry.metadata()?), &self.pod, pid_of(name), &run_id());
            Ok::<_, io::Error>(if matches!(kind, Kind::Other { .. }) { key.of_other(name) } else { key })
        };
        let known = begun.as_ref().filter(|past| past.own);
        let key = known.map_or_else(new, |past| Ok(past.begin.key.clone()))?;
        let (Kind::Dump { gzipped } | Kind::Other { gzipped }) = kind;
        let to = self.waiting.entry(key.waiting_name(gzipped));
        if begun.is_some() {
            entry.journal().rename_new(&to.journal())?;
        }
        for part in parts_of(entry) {
            let end = Path::new(part.name()).extension().and_then(OsStr::to_str).unwrap_or_default();
            part.rename_new(&to.with_end(&format!(".{end}")))?;
        }
        entry.rename_new(&to)?;
        Ok(to.path())
    }

    fn drain_events(&self) {
        let Some(events) = &self.events else { return };
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(events, &mut space);
        while reader.next().is_ok() {}
    }
}

/// Files in this directory are stored and removed. No other user may write to it.
fn must_be_ours(waiting: &Entry, held: &io::Result<Arc<HeldDir>>) -> io::Result<()> {
    let path = waiting.path();
    let held = held.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()));
    let ours = held
        .and_then(|held| open_dir_in(held, ".", Links::Refuse))
        .and_then(|dir| Ok(dir.metadata()?.uid() == rustix::process::geteuid().as_raw() && is_private(&dir, &path)?));
    if matches!(ours, Ok(true)) {
        return Ok(());
    }
    let (meta, shown) = (waiting.metadata()?, path.display());
    let (uid, mode) = (meta.uid(), meta.mode() & 0o7777);
    let why = ours.err().map(|error| format!(": {error}")).unwrap_or_default();
    Err(io::Error::other(format!(
        "{shown} is no directory of this user alone (uid {uid}, mode {mode:o}){why}; run as its owner after \
         'chmod go-w {shown}', or move it away with what waits in it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::journal;
    use crate::kept::journal::Begin;
    use crate::kept::journal::tests::begin;

    #[test]
    fn file_takes_its_key_from_its_own_journal_only() {
        let (dir, place) = (tempfile::tempdir().unwrap(), Place::new("p", "a", "e").unwrap());
        let pattern = vec![Pattern::new("*.log").unwrap()];
        let inbox = Inbox::open(dir.path(), pattern, place.clone(), "pod".into()).unwrap();
        let time = chrono::DateTime::from_timestamp(0, 0).unwrap();
        let key = ObjectKey::new(&place, time, "pod", 1, "abcdef").of_other("gc.log");
        let path = dir.path().join("gc.log");
        for (earlier, has_key) in [(false, true), (true, false)] {
            std::fs::write(&path, "text").unwrap();
            let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
            let state = FileState::of(&path.metadata().unwrap());
            let file = if earlier { FileState { bytes: 3, ..state } } else { state };
            let entry = Entry::named(&path).unwrap();
            let begin = Begin { key: key.clone(), file, order: Vec::new(), ..begin() };
            let journal = Journal::default();
            journal.write_beside(&entry, &begin).unwrap();
            journal.opened("s3://b", "id");
            drop(journal);
            let mut scan = inbox.scan().unwrap();
            let taken = scan.taken.remove(0).1;
            assert_eq!(taken == inbox.waiting().path().join(key.waiting_name(false)), has_key, "{}", taken.display());
            assert_eq!(journal::path_for(&taken).exists(), has_key);
            assert!(!journal::path_for(&path).exists());
            assert_eq!(scan.stale.len(), usize::from(!has_key));
        }
    }
}
