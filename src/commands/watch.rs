//! `watch`: the sidecar. One thread takes what is complete out of the JVM's way, another one stores it.

mod automatic;
mod storing;

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::{Answer, Failed, WatchSignals, start_clock, start_clock_that_lingers};
use crate::base::deadline::{Deadline, Stopped};
use crate::base::panics;
use crate::base::printable::{printable, printable_path};
use crate::base::waiting::{joined_or_panic, pause, started};
use crate::cli::{Flags, WatchArgs};
use crate::error::Error;
use crate::files::entry::Entry;
use crate::heap_dump::RoomError;
use crate::kept::journal::{Journal, JournalError, Unfinished};
use crate::kept::removal;
use crate::object::pod::Pod;
use crate::settings::{UsageError, WatchSettings};
use crate::terminal::log_copy;
use crate::terminal::output::Stderr;
use crate::watch::parts::parts_of;
use crate::watch::{AS_THE_JVM, Inbox, Queue, Scan, Status, left_for_watcher, stray_parts};

/// Longer than any pod lives.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How often the directory is looked at, events or not: some file systems have none.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often the watcher looks while a file grows there, and at the end.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Shared {
    queue: Queue,
    status: Status,
    /// The status could not be written the last time: that is told once.
    untold: bool,
    /// Stored, and still there: once is enough.
    finished: BTreeSet<PathBuf>,
    /// Unfinished uploads of dumps that were given up, or have vanished.
    abandoned: Vec<Unfinished>,
    /// Notices that are sent when no dump waits.
    notices: VecDeque<String>,
    over: bool,
}

struct Watcher {
    settings: WatchSettings,
    inbox: Inbox,
    shared: Mutex<Shared>,
    changed: Condvar,
    /// The deadline of the uploads, which may continue after the signal to end.
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
        self.tell_start();
        {
            let mut shared = self.lock();
            shared.status.pid = std::process::id();
            shared.status.idles();
        }
        let ended = std::thread::scope(|scope| {
            let storer = started(scope, || self.store_until_over()).map_err(RoomError::NoThread)?;
            let automatic = self.settings.automatic.as_ref();
            let looker = automatic.map(|settings| started(scope, || self.look_at_levels(settings, life))).transpose();
            let looker = looker.map_err(RoomError::NoThread)?;
            let stopped = self.look_until_over(life, || storer.is_finished());
            // First, so that the storing thread has the last notices to itself.
            if let Some(stopped) = &stopped {
                self.work.cancel().trip(stopped.reason);
            }
            self.lock().over = true;
            self.changed.notify_all();
            if let Some(Err(panic)) = looker.map(joined_or_panic) {
                log::error!("the thread that looks at the heap is gone: {}", panics::message(&*panic));
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

    /// Says what is watched, and where it goes. Standard output carries receipts only.
    fn tell_start(&self) {
        let (common, dir) = (&self.settings.common, printable_path(&self.settings.dir));
        let store = printable(&common.store.url.to_string()).into_owned();
        say(&format!("watching {dir}: each dump is stored in {store} under {}\n", common.place));
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
        // The storing thread has removed each file that it reports as done.
        for path in left.files.into_iter().filter(|path| self.is_there(path)) {
            if !shared.finished.contains(&path) {
                shared.queue.add(path);
            }
        }
        if let Some(most) = self.settings.max_local {
            let surplus = shared.queue.surplus(waiting.path(), most);
            for entry in surplus.iter().filter_map(|path| self.entry(path).ok()) {
                match give_up(&entry) {
                    Ok(unfinished) => {
                        shared.status.given_up += 1;
                        scan.stale.extend(unfinished);
                    }
                    Err(error) => log::debug!("{} stays: {error}", entry.path().display()),
                }
            }
        }
        shared.abandoned.append(&mut scan.stale);
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

    /// Returns the entry at this path, in the directories that are held.
    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let waiting = self.inbox.waiting();
        if path.starts_with(waiting.path()) { waiting.entry_at(path) } else { self.inbox.dir().entry_at(path) }
    }

    fn is_there(&self, path: &Path) -> bool {
        self.entry(path).is_ok_and(|entry| entry.exists())
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a line of text where the messages go, whatever the level of the log.
fn say(line: &str) {
    log_copy::add(line);
    let _ = Stderr.write_all(line.as_bytes());
}

/// Another start has another thread; a watcher that stores nothing must not look well.
fn storer_gone(why: &str) -> Error {
    Error::Unexpected { what: "the thread that stores is gone".into(), source: io::Error::other(why.to_owned()) }
}

/// Removes a dump as `--max-local` wants it, and returns its upload if one is open.
///
/// # Errors
/// When another process stores it, or its journal is for somebody to look at: it stays.
fn give_up(entry: &Entry) -> Result<Option<Unfinished>, JournalError> {
    let past = match Journal::reopen(entry) {
        Err(JournalError::Foreign) => None,
        other => other?,
    };
    log::warn!("{} is given up: more dumps wait than --max-local allows", entry.path().display());
    let _ = removal::remove(parts_of(entry).into_iter().chain([entry.clone(), entry.journal()]));
    Ok(past.and_then(|past| past.unfinished()))
}
