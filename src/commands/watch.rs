//! `watch`: the sidecar. One thread takes what is complete out of the JVM's way, another one stores it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use super::store_file::{Item, abandon, store};
use super::{Answer, Failed, WatchSignals, emit, receipt_text, start_clock, start_clock_that_lingers};
use crate::base::deadline::{Deadline, Reason, Stopped};
use crate::base::panics;
use crate::base::printable::printable_path;
use crate::base::run_id::run_id;
use crate::base::waiting::{joined_or_panic, pause, started};
use crate::cli::{Flags, WatchArgs};
use crate::compress::source::Scrutiny;
use crate::error::Error;
use crate::files::entry::{Entry, HeldDir};
use crate::heap_dump::RoomError;
use crate::kept::claim::ClaimError;
use crate::kept::journal::{Begin, Journal, JournalError, Past, SoFar};
use crate::kept::names::{STORED, UNVERIFIED};
use crate::object::key::ObjectKey;
use crate::object::pod::Pod;
use crate::object::stored::StoredObject;
use crate::settings::{UsageError, WatchSettings};
use crate::terminal::progress::Progress;
use crate::watch::parts::parts_of;
use crate::watch::{AS_THE_JVM, Inbox, Queue, Scan, Status, left_for_watcher, stray_parts, surplus_unverified};

/// Longer than any pod lives.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How often the directory is looked at, events or not: some file systems have none.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The same while something grows there, and at the end.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Shared {
    queue: Queue,
    status: Status,
    /// The status could not be written the last time: that is told once.
    untold: bool,
    /// Stored, and still there: once is enough.
    finished: BTreeSet<PathBuf>,
    /// What was sent of dumps that were given up, or are not there any more.
    abandoned: Vec<(Begin, SoFar)>,
    over: bool,
}

struct Watcher {
    settings: WatchSettings,
    inbox: Inbox,
    shared: Mutex<Shared>,
    changed: Condvar,
    /// Of the uploads: they may go on when the signal to end has come.
    work: Deadline,
}

pub fn run(args: &WatchArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let settings = WatchSettings::of_watch(args, flags)?;
    let life = start_clock_that_lingers(FOREVER, settings.grace, watch_signals)?;
    let work = start_clock(FOREVER, &mut |_, _| ())?;
    let inbox =
        Inbox::open(&settings.dir, settings.patterns.clone(), settings.common.place.clone(), Pod::current().name)
            .map_err(|source| UsageError::WatchDir { path: settings.dir.display().to_string(), source })?;
    let shared = Mutex::default();
    Watcher { settings, inbox, shared, changed: Condvar::new(), work }.watch(&life)
}

impl Watcher {
    fn watch(&self, life: &Deadline) -> Result<Answer, Failed> {
        log::info!("watching {}", self.settings.dir.display());
        {
            let mut shared = self.lock();
            shared.status.pid = std::process::id();
            shared.status.idles();
        }
        let ended = std::thread::scope(|scope| {
            let storer = started(scope, || self.store_until_over()).map_err(RoomError::NoThread)?;
            let stopped = self.look_until_over(life, || storer.is_finished());
            self.lock().over = true;
            self.changed.notify_all();
            if let Some(stopped) = &stopped {
                self.work.cancel().trip(stopped.reason);
            }
            match joined_or_panic(storer) {
                Ok(()) => stopped.ok_or_else(|| storer_gone("it has ended")),
                Err(panic) => Err(storer_gone(panics::message(&*panic))),
            }
        });
        let stopped = ended?;
        self.tell_status(&Scan::default());
        let waiting: Vec<String> = self.lock().queue.paths().map(printable_path).collect();
        if waiting.is_empty() {
            return Ok(Answer::default());
        }
        let text = format!("not stored, kept for the next start:\n  {}\n", waiting.join("\n  "));
        Answer::of(text).and(Err(Error::Grace(stopped)))
    }

    /// Takes what comes until a signal says that the pod ends, and then what is still coming, as long as there is time.
    /// `None` when nobody is there to store it.
    fn look_until_over(&self, life: &Deadline, storer_is_gone: impl Fn() -> bool) -> Option<Stopped> {
        let mut ending: Option<(Stopped, Instant)> = None;
        loop {
            let scan = self.look();
            let left = self.lock().queue.len() + scan.growing;
            match ending {
                _ if storer_is_gone() => return None,
                Some((stopped, end)) if left == 0 || Instant::now() >= end => return Some(stopped),
                Some(_) => pause(LOOK_AGAIN),
                None => {
                    let pause = if scan.growing == 0 { LOOK_EVERY } else { LOOK_AGAIN };
                    ending =
                        self.wait(life, pause).err().map(|stopped| (stopped, Instant::now() + self.settings.grace));
                }
            }
        }
    }

    fn wait(&self, life: &Deadline, pause: Duration) -> Result<(), Stopped> {
        let what = "waiting for dumps";
        match self.inbox.events() {
            // An application that opens and closes many files there costs no more than this.
            Some(events) => life
                .sleep(LOOK_AGAIN, what)
                .and_then(|()| life.wait(events, PollFlags::IN, pause.saturating_sub(LOOK_AGAIN), what).map(drop)),
            None => life.sleep(pause, what),
        }
    }

    fn look(&self) -> Scan {
        let scan = self.inbox.scan().unwrap_or_else(|error| {
            let obstacle = format!("{} cannot be listed: {error}; {AS_THE_JVM}", self.settings.dir.display());
            Scan { obstacles: obstacle.into(), ..Scan::default() }
        });
        let redacts = self.settings.common.redact.is_some();
        let (dir, waiting) = (self.inbox.dir(), self.inbox.waiting());
        let left = left_for_watcher(dir, waiting, &self.settings.common.place, !redacts);
        let mut scan = scan;
        scan.obstacles.extend(left.obstacles.into_vec());
        if redacts {
            let stray = stray_parts(waiting, &self.settings.common.place);
            scan.obstacles.extend(stray.into_iter().map(|(part, ..)| {
                let path = part.path();
                format!("{} is a part of a dump, which cannot be redacted by itself: it stays there", path.display())
            }));
        }
        let mut shared = self.lock();
        for (name, path) in &scan.taken {
            log::info!("{} is complete, and waits as {}", name.display(), path.display());
        }
        // Whoever stores has removed by now what it says to be done.
        for path in left.files.into_iter().filter(|path| self.is_there(path)) {
            if !shared.finished.contains(&path) {
                shared.queue.add(path);
            }
        }
        if let Some(most) = self.settings.max_local {
            let given_up = shared.queue.surplus(waiting.path(), most);
            for past in given_up.iter().filter_map(|path| give_up(&self.entry(path).ok()?)) {
                shared.status.given_up += 1;
                scan.stale.extend(past);
            }
        }
        let stale = scan.stale.drain(..);
        shared.abandoned.extend(stale.filter_map(|past| Some((past.begin, past.open?))));
        drop(shared);
        self.tell_status(&scan);
        self.changed.notify_all();
        scan
    }

    /// Obstacles are told when they are new.
    fn tell_status(&self, scan: &Scan) {
        let mut shared = self.lock();
        for obstacle in scan.obstacles.as_slice().iter().filter(|obstacle| !shared.status.obstacles.contains(obstacle))
        {
            log::error!("{obstacle}");
        }
        shared.status.obstacles = scan.obstacles.as_slice().to_vec();
        self.write_status(&mut shared);
    }

    fn write_status(&self, shared: &mut Shared) {
        shared.status.waiting = shared.queue.len();
        let written = self.status().and_then(|file| shared.status.write(&file));
        if let Err(error) = &written
            && !shared.untold
        {
            let path = self.settings.status.display();
            log::warn!("cannot write {path}, by which 'status' and a probe know this watcher: {error}");
        }
        shared.untold = written.is_err();
    }

    /// In our own place it is written there, whatever is called like that by now.
    fn status(&self) -> io::Result<Entry> {
        let (path, waiting) = (&self.settings.status, self.inbox.waiting());
        match path.file_name().filter(|_| path.parent() == Some(waiting.path())) {
            Some(name) => Ok(waiting.entry(name)),
            None => Entry::named(path),
        }
    }

    /// What was found at this path, in the directories that are held.
    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let waiting = self.inbox.waiting();
        if path.starts_with(waiting.path()) { waiting.entry_at(path) } else { self.inbox.dir().entry_at(path) }
    }

    fn is_there(&self, path: &Path) -> bool {
        self.entry(path).is_ok_and(|entry| entry.exists())
    }

    fn store_until_over(&self) {
        while let Some(path) = self.next() {
            self.store(&path);
        }
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
            shared = self.changed.wait_timeout(shared, LOOK_AGAIN).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    fn store(&self, path: &Path) {
        let (item, common) = (self.item(path), &self.settings.common);
        let deadline = self.work.at_most(common.deadline);
        let (receipt, result) = store(&item, common, &Progress::silent(), &deadline);
        let url = receipt.object.as_ref().map(|object| object.url.clone());
        match result {
            Ok(()) => {
                // With --keep, or because nobody could look at the object, or it could not be removed.
                if let Ok(entry) = self.entry(path)
                    && entry.exists()
                {
                    let is_unverified = receipt.object.as_ref().is_some_and(StoredObject::is_unverified);
                    // What is damaged stays as well, and nobody has asked for it either.
                    self.put_aside(&entry, (is_unverified || receipt.is_damaged) && !self.settings.keep);
                }
                self.done(path);
                emit(&receipt_text(&receipt, common.output));
                let mut shared = self.lock();
                shared.status.stored += 1;
                shared.status.last_stored = url;
                shared.status.last_error = None;
                self.write_status(&mut shared);
                let abandoned = shared.abandoned.pop();
                drop(shared);
                // The store is in reach. One at a time: the next dump does not wait for all of them.
                abandoned.inspect(|(begin, open)| abandon(common, begin, open));
            }
            Err(error) => self.failed(path, &error),
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

    fn failed(&self, path: &Path, error: &Error) {
        let mut shared = self.lock();
        if !self.is_there(path) || self.is_somebody_else_s(path, error) {
            return shared.queue.done(path);
        }
        let pause = shared.queue.again(path);
        // A run that is at it, or the end of this one, is no failure.
        if matches!(error, Error::Claim(ClaimError::Busy { .. }))
            || matches!(error, Error::Stopped(Stopped { reason: Reason::Signal(_), .. }))
        {
            return;
        }
        let why = why_not(error);
        log::warn!("{} is not stored yet, trying again in {} s: {why}", path.display(), pause.as_secs());
        shared.status.last_error = Some(why);
        self.write_status(&mut shared);
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
        for entry in surplus_unverified(stored, most) {
            let path = entry.path();
            log::warn!("{} goes: more unverified dumps lie there than --max-local allows", path.display());
            let _ = entry.remove();
        }
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

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another start has another thread; a watcher that stores nothing must not look well.
fn storer_gone(why: &str) -> Error {
    Error::Unexpected { what: "the thread that stores is gone".into(), source: io::Error::other(why.to_owned()) }
}

/// With what to do, where it is not the store that has to be mended.
fn why_not(error: &Error) -> String {
    match error {
        Error::Usage(_) | Error::Room(_) => format!("{}; {}", error.chain(), error.hint()),
        _ => error.chain(),
    }
}

/// As --max-local wants it, and what was sent of it; `None` when another process stores it, or its journal is for
/// somebody to look at.
fn give_up(entry: &Entry) -> Option<Option<Past>> {
    let (_held, past) = match Journal::reopen(entry) {
        Ok(found) => found.unzip(),
        Err(JournalError::Foreign) => (None, None),
        Err(_) => return None,
    };
    log::warn!("{} is given up: more dumps wait than --max-local allows", entry.path().display());
    for file in parts_of(entry).iter().chain(&[entry.clone(), entry.journal()]) {
        let _ = file.remove();
    }
    // What another user says of the store is no reason to abort anything there.
    Some(past.filter(|past| past.own))
}
