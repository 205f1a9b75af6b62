//! What was begun with a file before, by its journal; or else a new beginning.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chrono::Utc;

use super::input::open;
use super::{Item, shown};
use crate::commands::new_receipt;
use crate::compress::source::Scrutiny;
use crate::error::Error;
use crate::files::entry::Entry;
use crate::heap_dump::RoomError;
use crate::kept::claim::ClaimError;
use crate::kept::journal::{Begin, FORMAT, FileState, Journal, JournalError, Past, SoFar};
use crate::kept::ledger::{Begun, Ledger};
use crate::object::key::{ObjectKey, pid_of};
use crate::object::part_size::part_size;
use crate::settings::{Settings, UsageError};
use crate::store::abort_at;
use crate::store::url::StoreUrl;
use crate::watch::changed;

/// The upload of one file, begun now or before.
pub(super) struct Recalled {
    pub begin: Begin,
    /// `None` when the upload cannot be continued by another process.
    pub ledger: Option<Ledger>,
    /// An earlier process of ours has begun it.
    pub resumed: bool,
}

impl Recalled {
    pub fn new(begin: Begin, ledger: Option<Ledger>) -> Self {
        Self { begin, ledger, resumed: false }
    }
}

/// What is known of a file from its journal, or else a new beginning; its ledger; and whether it was begun before.
pub(super) fn recall(item: &Item, entry: &Entry, settings: &Settings) -> Result<Recalled, Error> {
    let path = &item.path;
    let busy = || Error::from(ClaimError::Busy { path: shown(path) });
    let past = match Journal::reopen(entry) {
        Ok(past) => past,
        Err(JournalError::Locked) => return Err(busy()),
        // Another program's file of that name is no reason to leave what its user has named, and the place with it.
        Err(error @ JournalError::Foreign) if item.by_name() => {
            log::warn!("the journal beside {} is left alone: {error}", path.display());
            let begin = new_begin(item, Some(entry), settings)?;
            return Ok(Recalled::new(begin, None));
        }
        Err(source) => return Err(ClaimError::Journal { path: shown(path), source }.into()),
    };
    let new = new_begin(item, Some(entry), settings)?;
    let Some((journal, past)) = past else { return first(item, entry, settings, new, busy) };
    if past.begin.file != new.file && !past.begin.order.is_empty() {
        return Err(ClaimError::Changed { path: shown(path) }.into());
    }
    // The lock is held until the journal has another one in its place.
    if !past.own {
        return take_over(item, entry, settings, new, past, &journal);
    }
    let same_place = !item.by_name() || past.begin.key.dir() == settings.place.to_string();
    if past.begin.file == new.file && same_place && suits(&past.begin, &new) {
        let ledger = Ledger::in_journal(journal, past.open, past.whole, Begun::ByUs);
        return Ok(Recalled { begin: past.begin, ledger: Some(ledger), resumed: true });
    }
    // Another file of the same name, or another place: a new beginning, but for where its pieces lie, and what is to be
    // taken out of them.
    let redact = new.redact.clone().or_else(|| past.begin.redact.clone());
    let begin = Begin { order: past.begin.order.clone(), redact, ..new };
    if settings.store.url == StoreUrl::Stdout {
        // To look at it is not to begin it anew.
        return Ok(Recalled::new(begin, None));
    }
    if let Some(open) = &past.open {
        abandon(settings, &past.begin, open);
    }
    let journal = Journal::replace(entry, &begin);
    let ledger = journal.map(|journal| Ledger::in_journal(journal, None, None, Begun::Never));
    Ok(Recalled::new(begin, Some(ledger.map_err(|source| unwritten(path, source))?)))
}

/// Goes on with what another user has begun. His journal chooses nothing: place, key, store, receipt and what becomes of
/// the file are of this run. It only says how the pieces lie, what is to be taken out besides, and which parts the store
/// has, if they are of the same object; each is compared with what is read.
fn take_over(
    item: &Item,
    entry: &Entry,
    settings: &Settings,
    new: Begin,
    past: Past,
    _locked: &Journal,
) -> Result<Recalled, Error> {
    let path = &item.path;
    if !item.has_place {
        let uid = entry.journal().metadata().map_or(0, |meta| meta.uid());
        return Err(ClaimError::JournalOfAnother { path: shown(path), uid }.into());
    }
    let redact = new.redact.clone().or_else(|| past.begin.redact.clone());
    let same = past.begin.file == new.file && past.begin.key == new.key && past.begin.redact == redact;
    let begin = Begin { order: past.begin.order, redact, ..new };
    if settings.store.url == StoreUrl::Stdout {
        return Ok(Recalled::new(begin, None));
    }
    log::info!("the journal beside {} is of another user: it only tells what was sent", path.display());
    let open = past.open.filter(|_| same);
    let ledger = Journal::replace(entry, &begin).and_then(|journal| Ledger::taken_over(journal, open));
    Ok(Recalled::new(begin, Some(ledger.map_err(|source| unwritten(path, source))?)))
}

fn unwritten(path: &Path, source: io::Error) -> Error {
    RoomError::Io { what: "write a journal beside", path: shown(path), source }.into()
}

/// Nothing goes out that is to be taken out: what was begun without would be gone on with.
fn suits(past: &Begin, new: &Begin) -> bool {
    let Some(wanted) = &new.redact else { return true };
    let done = past.receipt.redacted.as_deref();
    past.redact.as_ref() == Some(wanted) || done == Some("all") || done == Some(wanted.word())
}

/// Aborts an upload that nobody goes on with: its parts may hold what is to be taken out now, and cost money.
pub fn abandon(settings: &Settings, past: &Begin, open: &SoFar) {
    let key = past.key.dump();
    if open.store == settings.store.url.to_string()
        && let Err(error) = abort_at(&settings.store, &key, &open.id)
    {
        log::warn!("the unfinished upload to {} could not be aborted: {error}", settings.store.url.of_key(&key));
    }
}

/// A file whose own name tells its key may be in the store already.
fn first(
    item: &Item,
    entry: &Entry,
    settings: &Settings,
    begin: Begin,
    busy: impl Fn() -> Error,
) -> Result<Recalled, Error> {
    let named = ObjectKey::of_file(&settings.place, &entry.name().to_string_lossy()).is_some();
    let begun = if named { Begun::Perhaps } else { Begun::Never };
    if settings.store.url == StoreUrl::Stdout {
        return Ok(Recalled::new(begin, None));
    }
    if !item.by_name() && !named {
        // It was found by its journal, which is gone: whoever had it has another file for the same object by now.
        return Err(busy());
    }
    match Journal::create(entry, &begin) {
        Ok(journal) => Ok(Recalled::new(begin, Some(Ledger::in_journal(journal, None, None, begun)))),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(busy()),
        Err(error) => {
            log::info!("no journal beside {}: a cut upload begins at its start: {error}", item.path.display());
            Ok(Recalled::new(begin, Some(Ledger::without_journal(begun))))
        }
    }
}

/// The key is told by the name of a file that waits for the store; else it is made from the file's last change.
pub(super) fn new_begin(item: &Item, entry: Option<&Entry>, settings: &Settings) -> Result<Begin, Error> {
    let mut receipt = new_receipt(&settings.place);
    let name = item.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (mut file, mut bytes, mut time) = (FileState::default(), None, Utc::now());
    if let Some(entry) = entry {
        let unreadable = |source| UsageError::File { path: shown(&item.path), source };
        let named = item.by_name().then(|| open(item, entry)).transpose()?;
        let meta = named.map_or_else(|| entry.metadata(), |file| file.metadata()).map_err(unreadable)?;
        (file, bytes, time) = (FileState::of(&meta), Some(meta.len()), changed(&meta));
    }
    let key = ObjectKey::of_file(&settings.place, &name).unwrap_or_else(|| {
        let key = ObjectKey::new(&settings.place, time, &receipt.pod.name, pid_of(&name), &receipt.run_id);
        if item.scrutiny == Scrutiny::Anything { key.of_other(&name) } else { key }
    });
    receipt.run_id = key.run_id().to_owned();
    let truncated = item.scrutiny == Scrutiny::Remains;
    let (part_size, order) = (part_size(bytes), Vec::new());
    let redact = settings.redact.clone().filter(|_| item.scrutiny != Scrutiny::Anything);
    let format = FORMAT;
    Ok(Begin {
        format,
        key,
        file,
        part_size,
        order,
        truncated,
        delete: false,
        receipt,
        redact,
        context: None,
        dump_of: None,
    })
}
