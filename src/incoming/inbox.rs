//! The directory that is watched: what is complete is renamed away at once, under a name that is already that of its
//! object.

use std::ffi::OsStr;
use std::fs::{DirBuilder, DirEntry};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use glob::Pattern;
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::WAITING;
use super::look::{Kind, Seen, look};
use super::parts::parts_of;
use crate::run_id::run_id;
use crate::store::key::{ObjectKey, Place, pid_of};

/// What one look at the directory found.
#[derive(Debug, Default)]
pub struct Scan {
    /// What was taken over, as it was called and as it is called now.
    pub taken: Vec<(String, PathBuf)>,
    /// What somebody still writes.
    pub growing: Vec<String>,
    /// What cannot be read or taken, and why.
    pub obstacles: Vec<String>,
}

/// See the module's words.
#[derive(Debug)]
pub struct Inbox {
    dir: PathBuf,
    waiting: PathBuf,
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
        std::fs::read_dir(dir)?;
        let waiting = dir.join(WAITING);
        match DirBuilder::new().mode(0o700).create(&waiting) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).and_then(|events| {
            let what = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE;
            add_watch(&events, dir, what).map(|_| events)
        });
        let events = events.inspect_err(|errno| log::info!("no events of {}: {errno}", dir.display())).ok();
        Ok(Self { dir: dir.to_owned(), waiting, patterns, place, pod, events })
    }

    /// Where what was taken waits.
    pub fn waiting(&self) -> &Path {
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
        for entry in std::fs::read_dir(&self.dir)?.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_file && !name.starts_with('.') && !name.ends_with(crate::journal::SUFFIX) {
                self.consider(&entry, name, &mut scan);
            }
        }
        Ok(scan)
    }

    fn consider(&self, entry: &DirEntry, name: String, scan: &mut Scan) {
        match look(&self.dir, &name, &self.patterns) {
            Seen::Foreign => {}
            Seen::Growing => scan.growing.push(name),
            Seen::Unreadable(error) => scan.obstacles.push(format!("{name} cannot be read: {error}")),
            Seen::Complete(kind) => match self.take(entry, &name, kind) {
                Ok(path) => scan.taken.push((name, path)),
                Err(error) => scan.obstacles.push(format!("{name} cannot be taken over: {error}")),
            },
        }
    }

    /// The last step is the dump itself: a name in the waiting place is one that counts.
    fn take(&self, entry: &DirEntry, name: &str, kind: Kind) -> io::Result<PathBuf> {
        let time = entry.metadata()?.modified().map_or_else(|_| Utc::now(), DateTime::from);
        let key = ObjectKey::new(&self.place, time, &self.pod, pid_of(name), &run_id());
        let name = match kind {
            Kind::Dump { gzipped } => key.waiting_name(gzipped),
            Kind::Other { gzipped } => key.of_other(name).waiting_name(gzipped),
        };
        let (from, to) = (entry.path(), self.waiting.join(name));
        for part in parts_of(&from) {
            let end = part.extension().and_then(OsStr::to_str).unwrap_or_default();
            rename(&part, &PathBuf::from(format!("{}.{end}", to.display())))?;
        }
        rename(&from, &to)?;
        Ok(to)
    }

    fn drain_events(&self) {
        let Some(events) = &self.events else { return };
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(events, &mut space);
        while reader.next().is_ok() {}
    }
}

/// Never over another file. Where the file system cannot say that in one call, the run's own part makes the name unique.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => std::fs::rename(from, to),
        other => Ok(other?),
    }
}
