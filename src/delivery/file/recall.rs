//! Recalls from its journal what was begun with a file before, or begins anew.

use std::io;
use std::os::unix::fs::MetadataExt;

use chrono::Utc;

use super::input::open;
use super::{Item, shown};
use crate::compress::source::Scrutiny;
use crate::error::Error;
use crate::files::entry::Entry;
use crate::heap_dump::RoomError;
use crate::kept::claim::ClaimError;
use crate::kept::journal::{Begin, Begun, FORMAT, FileState, Journal, JournalError, Past};
use crate::object::key::{ObjectKey, pid_of};
use crate::object::part_size::part_size;
use crate::settings::{Settings, UsageError};
use crate::store::abandon;
use crate::store::url::StoreUrl;
use crate::watch::changed;

/// Returns the facts of the file from its journal, or a new beginning; and the journal of its upload.
pub(super) fn recall(item: &Item, entry: &Entry, settings: &Settings) -> Result<(Begin, Journal), Error> {
    let path = &item.path;
    let busy = || Error::from(ClaimError::Busy { path: shown(path) });
    let past = match Journal::reopen(entry) {
        Ok(past) => past,
        Err(JournalError::Locked) => return Err(busy()),
        // Another program's file may have the journal's name. That is no reason to leave a file that its user has
        // named, together with its place.
        Err(error @ JournalError::Foreign) if item.by_name() => {
            log::warn!("the journal beside {} is left alone: {error}", path.display());
            return Ok((new_begin(item, Some(entry), settings)?, Journal::default()));
        }
        Err(source) => return Err(ClaimError::Journal { path: shown(path), source }.into()),
    };
    let new = new_begin(item, Some(entry), settings)?;
    let Some(past) = past else { return first(item, entry, settings, new, busy) };
    if past.begin.file != new.file && !past.begin.order.is_empty() {
        return Err(ClaimError::Changed { path: shown(path) }.into());
    }
    if !past.own && !item.has_place {
        let uid = entry.journal().metadata().map_or(0, |meta| meta.uid());
        return Err(ClaimError::JournalOfAnother { path: shown(path), uid }.into());
    }
    let same_place = !item.by_name() || past.begin.key.dir() == settings.place.to_string();
    if past.own && past.begin.file == new.file && same_place && suits(&past.begin, &new) {
        return Ok((past.begin, past.journal));
    }
    begin_anew(entry, settings, new, &past)
        .map_err(|source| RoomError::Io { what: "write a journal beside", path: shown(path), source }.into())
}

/// Begins anew, because another file has the name, the place is another one, or another user has begun the upload.
/// Place, key, store, receipt and the fate of the file are this run's. The journal only tells how the pieces lie, and
/// what else is to be redacted. That of another user also tells which parts the store has, if they are of the same
/// object. Each part is compared with what is read.
fn begin_anew(entry: &Entry, settings: &Settings, new: Begin, past: &Past) -> io::Result<(Begin, Journal)> {
    let redact = new.redact.clone().or_else(|| past.begin.redact.clone());
    let same = past.begin.file == new.file && past.begin.key == new.key && past.begin.redact == redact;
    let begin = Begin { order: past.begin.order.clone(), redact, ..new };
    if settings.store.url == StoreUrl::Stdout {
        // To look at it is not to begin it anew.
        return Ok((begin, Journal::default()));
    }
    past.unfinished().inspect(|open| abandon(&settings.store, open));
    let journal = match past.own {
        true => Journal::default(),
        false => {
            log::info!("the journal beside {} is of another user: it only tells what was sent", entry.path().display());
            Journal::new(Begun::Perhaps, past.journal.so_far().filter(|_| same))
        }
    };
    // The past one is locked until this one is in its place.
    journal.write_over(entry, &begin)?;
    Ok((begin, journal))
}

/// Returns whether the earlier upload is redacted as this run wants it. Otherwise, to go on would send data that has to
/// be redacted.
fn suits(past: &Begin, new: &Begin) -> bool {
    let Some(wanted) = &new.redact else { return true };
    let done = past.receipt.redacted.as_deref();
    past.redact.as_ref() == Some(wanted) || done == Some("all") || done == Some(wanted.word())
}

/// Begins the first upload of a file. If the file's own name tells its key, the object may be in the store already.
fn first(
    item: &Item,
    entry: &Entry,
    settings: &Settings,
    begin: Begin,
    busy: impl Fn() -> Error,
) -> Result<(Begin, Journal), Error> {
    let named = ObjectKey::of_file(&settings.place, &entry.name().to_string_lossy()).is_some();
    if settings.store.url == StoreUrl::Stdout {
        return Ok((begin, Journal::default()));
    }
    if !item.by_name() && !named {
        // The file was found by its journal, which is gone. The process that had it has another file for the same
        // object by now.
        return Err(busy());
    }
    let journal = Journal::new(if named { Begun::Perhaps } else { Begun::Never }, None);
    match journal.write_beside(entry, &begin) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(busy()),
        Err(error) => {
            log::info!("no journal beside {}: a cut upload begins at its start: {error}", item.path.display());
        }
        Ok(()) => {}
    }
    Ok((begin, journal))
}

/// Returns a new beginning. The key comes from the name of a file that waits for the store, or else from the file's
/// last change.
pub(super) fn new_begin(item: &Item, entry: Option<&Entry>, settings: &Settings) -> Result<Begin, Error> {
    let mut receipt = settings.new_receipt();
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
