//! The watcher's second thread: it stores one file after the other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use super::{LOOK_AGAIN, Watcher};
use crate::base::deadline::{Reason, Stopped};
use crate::base::run_id::run_id;
use crate::commands::notifier::Notifier;
use crate::commands::{NOT_SENT, emit, receipt_text};
use crate::compress::source::Scrutiny;
use crate::delivery::Context;
use crate::delivery::file::{Item, store};
use crate::error::Error;
use crate::files::entry::{Entry, HeldDir};
use crate::kept::claim::ClaimError;
use crate::kept::names::{STORED, UNVERIFIED};
use crate::kept::removal;
use crate::object::key::ObjectKey;
use crate::object::receipt::Receipt;
use crate::object::stored::StoredObject;
use crate::store::abandon;
use crate::terminal::progress::Progress;
use crate::watch::parts::parts_of;
use crate::watch::{FIRST_PAUSE, surplus_unverified};

impl Watcher {
    /// Stores what waits until the watcher ends.
    pub(super) fn store_until_over(&self) {
        while let Some(path) = self.next() {
            self.store(&path);
        }
        // The watcher ends. A notice that is not taken leaves no time for the others.
        let notifier = Notifier::new(&self.settings.common, &self.work);
        while self.send_notice(&notifier) {}
    }

    fn next(&self) -> Option<PathBuf> {
        let mut shared = self.lock();
        while !shared.over {
            if let Some(path) = shared.queue.take_due() {
                let bytes = self.entry(&path).and_then(|entry| entry.metadata()).map_or(0, |meta| meta.len());
                shared.status.begins(path.display().to_string(), bytes, self.settings.common.deadline);
                return Some(path);
            }
            shared.status.idles();
            if !shared.notices.is_empty() {
                drop(shared);
                self.send_notice(&Notifier::new(&self.settings.common, &self.work));
                shared = self.lock();
                continue;
            }
            shared = self.changed.wait_timeout(shared, LOOK_AGAIN).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    fn store(&self, path: &Path) {
        let (item, common) = (self.item(path), &self.settings.common);
        let deadline = self.work.at_most(common.deadline);
        let (mut receipt, result) =
            store(&item, common, Context { progress: &Progress::silent(), deadline: &deadline });
        let url = receipt.object.as_ref().map(|object| object.url.clone());
        match result {
            Ok(()) => {
                // With --keep, or because nobody could look at the object, or it could not be removed.
                if let Ok(entry) = self.entry(path)
                    && entry.exists()
                {
                    let is_unverified = receipt.object.as_ref().is_some_and(StoredObject::is_unverified);
                    // A damaged file stays as well, and counts for the same bound: nobody has asked to keep it.
                    self.put_aside(&entry, (is_unverified || receipt.is_damaged) && !self.settings.keep);
                }
                self.done(path);
                self.note(&receipt);
                emit(&receipt_text(&receipt, common.output));
                let mut shared = self.lock();
                shared.status.stores(url);
                shared.status.last_error = None;
                self.write_status(&mut shared);
                let abandoned = shared.abandoned.pop();
                drop(shared);
                // The store is in reach. One at a time: the next dump does not wait for all of them.
                abandoned.inspect(|open| abandon(&common.store, open));
            }
            Err(error) => {
                receipt.exit_code = error.exit_code();
                if self.failed(path, &error) {
                    self.note(&receipt);
                }
            }
        }
        self.changed.notify_all();
    }

    fn done(&self, path: &Path) {
        let mut shared = self.lock();
        if self.is_there(path) {
            shared.finished.insert(path.to_owned());
        }
        shared.queue.done(path);
    }

    /// Notes that a file was not stored. Returns whether this is its first failure.
    fn failed(&self, path: &Path, error: &Error) -> bool {
        let mut shared = self.lock();
        if !self.is_there(path) || self.is_somebody_else_s(path, error) {
            shared.queue.done(path);
            return false;
        }
        let pause = shared.queue.again(path);
        // A run that is at it, or the end of this one, is no failure.
        if matches!(error, Error::Claim(ClaimError::Busy { .. }))
            || matches!(error, Error::Stopped(Stopped { reason: Reason::Signal(_), .. }))
        {
            return false;
        }
        let why = why_not(error);
        log::warn!("{} is not stored yet, trying again in {} s: {why}", path.display(), pause.as_secs());
        shared.status.last_error = Some(why);
        self.write_status(&mut shared);
        pause == FIRST_PAUSE
    }

    /// Notes the notice of a file for later: a dump that waits comes first.
    fn note(&self, receipt: &Receipt) {
        let notice = Notifier::new(&self.settings.common, &self.work).notice_of(receipt);
        self.lock().notices.extend(notice);
    }

    /// Sends the oldest notice. Returns whether it was taken. If the watcher is ended meanwhile, the notice stays.
    fn send_notice(&self, notifier: &Notifier<'_>) -> bool {
        let Some(notice) = self.lock().notices.front().cloned() else { return false };
        let was_stopped = self.work.cancel().reason().is_some();
        let refused = notifier.send(&notice);
        let is_ended_now = !was_stopped && self.work.cancel().reason().is_some();
        if refused.is_some() && is_ended_now {
            return false;
        }
        self.lock().notices.pop_front();
        refused.as_ref().inspect(|why| log::warn!("{NOT_SENT}{why}"));
        refused.is_none()
    }

    fn item(&self, path: &Path) -> Item {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let key = ObjectKey::of_file(&self.settings.common.place, &name);
        let scrutiny = match key {
            Some(key) if key.is_other() => Scrutiny::Anything,
            _ => Scrutiny::Remains,
        };
        let (waiting, dir) = (self.inbox.waiting(), self.inbox.dir());
        let found_in = Some(Arc::clone(if path.starts_with(waiting.path()) { waiting } else { dir }));
        Item { path: path.to_owned(), scrutiny, delete: !self.settings.keep, found_in, has_place: true }
    }

    /// Moves a file to where it is not found again. `--max-local` bounds those of which the store has given its word
    /// only: the oldest go.
    fn put_aside(&self, stored: &Entry, unverified: bool) {
        // Each run calls its spool the same.
        let (id, mark) = (run_id(), if unverified { UNVERIFIED } else { "" });
        let aside = |file: &Entry, dir: &Arc<HeldDir>| {
            let name = file.name().to_string_lossy();
            match file.rename_new(&dir.entry(format!("{mark}{name}"))) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    file.rename_new(&dir.entry(format!("{mark}{id}-{name}")))
                }
                moved => moved,
            }
        };
        // The parts first: without their dump they would be stored by themselves.
        let moved = self.stored_dir().and_then(|dir| {
            parts_of(stored).iter().try_for_each(|part| aside(part, &dir))?;
            aside(stored, &dir).map(|()| dir)
        });
        match moved {
            Ok(dir) if unverified => self.remove_surplus(&dir),
            Ok(_) => {}
            Err(error) => log::warn!("{} is stored, and could not be moved: {error}", stored.path().display()),
        }
    }

    fn remove_surplus(&self, stored: &Arc<HeldDir>) {
        let Some(most) = self.settings.max_local else { return };
        let surplus = surplus_unverified(stored, most);
        for entry in &surplus {
            let path = entry.path();
            log::warn!("{} goes: more unverified dumps lie there than --max-local allows", path.display());
        }
        let _ = removal::remove(surplus);
    }

    fn stored_dir(&self) -> io::Result<Arc<HeldDir>> {
        match mkdirat(self.inbox.waiting(), STORED, Mode::RWXU) {
            Err(error) if error != Errno::EXIST => Err(error.into()),
            _ => self.inbox.waiting().below(STORED),
        }
    }

    /// A run's own file without its journal: if there is one again, it is found again.
    fn is_somebody_else_s(&self, path: &Path, error: &Error) -> bool {
        let has_journal = || self.entry(path).is_ok_and(|entry| entry.journal().exists());
        matches!(error, Error::Claim(ClaimError::Busy { .. })) && !has_journal()
    }
}

/// With what to do, where it is not the store that has to be mended.
fn why_not(error: &Error) -> String {
    match error {
        Error::Usage(_) | Error::Room(_) => format!("{}; {}", error.chain(), error.hint("watch")),
        _ => error.chain(),
    }
}
