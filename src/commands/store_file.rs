//! One file into the store: walk, compress, upload, verify. What an earlier process has begun is gone on with.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{SecondsFormat, Utc};

use rustix::event::PollFlags;
use rustix::fs::{AtFlags, Mode, OFlags, unlinkat};

use super::dump_stage::SPOOL;
use super::keep;
use super::tell_stored;
use super::temporary::nameless_beside;
use super::verify::{is_gzip, walk};
use crate::classes;
use crate::deadline::Deadline;
use crate::effort::{Effort, processors};
use crate::error::Error;
use crate::gzip;
use crate::heap_dump::{DumpError, NAME, RoomError};
use crate::hprof::{Histogram, Summary};
use crate::incoming::{changed, parts::with_parts};
use crate::journal::{self, Begin, FileState, Journal, JournalError};
use crate::pipeline::{self, Verdict};
use crate::pod::Pod;
use crate::progress::Progress;
use crate::run_id::run_id;
use crate::settings::{Settings, UsageError};
use crate::spool::Spool;
use crate::stages::{Scrutiny, Stream};
use crate::store::key::{ObjectKey, Place, pid_of};
use crate::store::receipt::{DumpFacts, Receipt};
use crate::store::url::StoreUrl;
use crate::store::{Digest, Ledger, StoreError, Upload, Verified, clear_spool, part_size};

/// What is to be stored.
#[derive(Debug, Clone)]
pub struct Item {
    /// `-` is standard input.
    pub path: PathBuf,
    pub scrutiny: Scrutiny,
    /// It goes once it is stored and verified.
    pub delete: bool,
    /// It was named by its user: a link is followed, and what an earlier run has begun counts only when that had the
    /// same place. What was found by itself is no link, and knows its place.
    pub by_name: bool,
}

/// One file on its way.
struct Deposit<'a> {
    item: &'a Item,
    settings: Settings,
    begin: Begin,
    ledger: Option<Ledger>,
    /// An earlier process has begun it.
    resumed: bool,
    /// Beside the file, and stored together with it.
    parts: OnceCell<Vec<PathBuf>>,
    progress: &'a Progress,
    deadline: &'a Deadline,
}

/// Stores it; the receipt tells how far that came.
pub fn store(
    item: &Item,
    settings: &Settings,
    progress: &Progress,
    deadline: &Deadline,
) -> (Receipt, Result<(), Error>) {
    let mut deposit = match Deposit::begin(item, settings, progress, deadline) {
        Ok(deposit) => deposit,
        Err(error) => return (new_receipt(&settings.place), Err(error)),
    };
    let mut receipt = Receipt { object: None, kept: None, error: None, exit_code: 0, ..deposit.begin.receipt.clone() };
    let mut result = deposit.run(&mut receipt);
    // A multipart upload may be gone: a rule of the bucket, or somebody's order, has removed it.
    if is_lost(&result) && deposit.ledger.as_ref().is_some_and(Ledger::lose) {
        result = deposit.run(&mut receipt);
    }
    deposit.end(&mut receipt, &result);
    (receipt, result)
}

pub fn new_receipt(place: &Place) -> Receipt {
    Receipt {
        tool: format!("jmap-dump-tool {}", crate::VERSION),
        run_id: run_id(),
        place: Some(place.to_string()),
        started: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        pod: Pod::current(),
        ..Receipt::default()
    }
}

impl<'a> Deposit<'a> {
    fn begin(
        item: &'a Item,
        settings: &Settings,
        progress: &'a Progress,
        deadline: &'a Deadline,
    ) -> Result<Self, Error> {
        let (begin, ledger, resumed) = if item.path == Path::new("-") {
            (new_begin(item, settings)?, None, false)
        } else {
            recall(item, settings)?
        };
        let place = Place::parse(begin.key.dir()).unwrap_or_else(|| settings.place.clone());
        let (settings, parts) = (settings.at(place), OnceCell::new());
        Ok(Self { item, settings, begin, ledger, resumed, parts, progress, deadline })
    }

    fn run(&self, receipt: &mut Receipt) -> Result<(), Error> {
        let begun = Instant::now();
        let ledger = self.ledger.clone().unwrap_or_default();
        let opened = Upload::go_on(&self.settings.store, &self.begin.key, self.begin.part_size, self.deadline, ledger);
        let mut upload = match opened {
            Ok(upload) => Some(upload),
            Err(error) => return Err(Error::store(error)),
        };
        let result = self.send(&mut upload, receipt);
        // What is not worth storing is not gone on with.
        if let Some(ledger) = upload.as_ref().and_then(Upload::ledger) {
            ledger.decide(!is_damaged(&result));
        }
        receipt.time("upload", begun.elapsed());
        result
    }

    fn send(&self, upload: &mut Option<Upload>, receipt: &mut Receipt) -> Result<(), Error> {
        let path = shown(&self.item.path);
        self.progress.stage(&format!("reading {path}"), self.item.path.metadata().ok().map(|meta| meta.len()));
        let Some(open) = upload else { return Ok(()) };
        let Piece { walk, digest, sent, spool } = self.read(open)?;
        let verdict = self.verdict(&walk);
        if self.scrutiny() != Scrutiny::Anything {
            let facts = receipt.dump.take();
            let known = facts.unwrap_or(DumpFacts { live_only: None, walk: None, words: None, pause: None });
            receipt.dump = Some(DumpFacts { walk: Some(walk.clone()), ..known });
        }
        let verdict = verdict.ok_or(DumpError::Truncated { path, bytes: walk.bytes })?;
        if !walk.complete {
            receipt.warn("the dump is not whole: whoever wrote it did not finish");
        }
        self.progress.stage("finishing the upload", None);
        open.ledger().inspect(|ledger| ledger.decide(true));
        let Some(upload) = upload.take() else { return Ok(()) };
        let finished = sent.and_then(|()| upload.finish(&verdict, &digest, &spool)).map_err(Error::not_stored)?;
        tell_stored(receipt, finished, &self.begin.key, self.begin.context.as_deref());
        Ok(())
    }

    fn scrutiny(&self) -> Scrutiny {
        match self.item.scrutiny {
            Scrutiny::Anything => Scrutiny::Anything,
            // A run's own dump was whole when its journal was begun.
            _ if self.resumed && !self.begin.truncated && !self.item.by_name => Scrutiny::Dump,
            _ if self.begin.truncated => Scrutiny::Remains,
            other => other,
        }
    }

    fn verdict(&self, walk: &Summary) -> Option<Verdict> {
        Verdict::of(walk).or_else(|| (self.scrutiny() == Scrutiny::Remains).then(Verdict::of_remains))
    }

    /// A gzipped file goes as it is, once it was walked; a plain one is compressed on the way.
    fn read(&self, upload: &mut Upload) -> Result<Piece, Error> {
        if self.item.path == Path::new("-") {
            return self.read_stdin(upload);
        }
        let (path, file) = (shown(&self.item.path), open(self.item)?);
        if is_gzip(&file).map_err(|source| unread(&path, source))? {
            return self.send_gzipped(file, &path, upload);
        }
        let (raw, parts) = with_parts(&self.item.path, file).map_err(|source| unread(&path, source))?;
        let _ = self.parts.set(parts);
        self.compress(raw, &path, upload)
    }

    /// What comes gzipped has to be walked before it is sent, and so lies in a file meanwhile.
    fn read_stdin(&self, upload: &mut Upload) -> Result<Piece, Error> {
        let path = "standard input";
        let mut stdin = Patient { stdin: io::stdin(), deadline: self.deadline };
        let mut first = Vec::new();
        stdin.by_ref().take(2).read_to_end(&mut first).map_err(|source| unread(path, source))?;
        let gzipped = first == gzip::MAGIC;
        let mut raw = first.as_slice().chain(stdin);
        if !gzipped {
            return self.compress(raw, path, upload);
        }
        let mut file = nameless_beside(Path::new("."), 0)?;
        io::copy(&mut raw, &mut file).map_err(|source| unread(path, source))?;
        self.send_gzipped(file, path, upload)
    }

    fn send_gzipped(&self, file: File, path: &str, upload: &mut Upload) -> Result<Piece, Error> {
        let spool = Spool::adopt(file, &self.begin.order).map_err(|source| unread(path, source))?;
        let walk = match self.scrutiny() {
            Scrutiny::Anything => Summary {
                bytes: spool.stored_len(),
                complete: true,
                damage: None,
                records: Default::default(),
                classes: None,
            },
            scrutiny => {
                let (raw, mut histogram) = (spool.reader(), Histogram::new());
                let walk = walk(raw, true, path, scrutiny, self.progress, self.deadline, &mut histogram)?;
                Summary { classes: classes::of_spool(&histogram, &spool), ..walk }
            }
        };
        if self.verdict(&walk).is_none() {
            return Err(DumpError::Truncated { path: path.to_owned(), bytes: walk.bytes }.into());
        }
        let sent = pipeline::send(&spool, self.begin.part_size, Some(upload));
        let (digest, sent) = sent.map_err(|source| unread(path, source))?;
        Ok(Piece { walk, digest, sent, spool })
    }

    fn compress(&self, raw: impl Read, path: &str, upload: &mut Upload) -> Result<Piece, Error> {
        let in_store = upload.spool_file(false).map_err(Error::Store)?;
        let spool = Spool::new(
            in_store.map_or_else(|| nameless_beside(&self.item.path, self.begin.file.bytes), |(file, _)| Ok(file))?,
        );
        let effort = Effort::of(processors(), self.settings.level, self.begin.part_size);
        let mut raw = Stream::new(raw, self.scrutiny());
        let piped = pipeline::run(&mut raw, &spool, Some(upload), effort, self.progress, self.deadline, |_, _| {})
            .map_err(|error| Error::from_pipeline(error, path, "the compressed copy"))?;
        Ok(Piece { walk: piped.walk, digest: piped.digest, sent: piped.sent, spool })
    }

    /// Removes what is not needed any more, or says what is still there.
    fn end(&mut self, receipt: &mut Receipt, result: &Result<(), Error>) {
        let path = &self.item.path;
        match result {
            Ok(()) => self.clear_up(receipt),
            Err(Error::NotStored(_) | Error::Stopped(_) | Error::Store(_)) if path != Path::new("-") => {
                receipt.kept = Some(keep::still_there(&shown(path), &self.settings));
            }
            // Only what this attempt has begun: another one's may know the order of the pieces.
            Err(_) if is_damaged(result) && self.ledger.is_some() && !self.resumed => {
                let _ = std::fs::remove_file(journal::path_for(path));
            }
            Err(_) => {}
        }
    }

    fn clear_up(&self, receipt: &mut Receipt) {
        let path = &self.item.path;
        let seen = receipt.object.as_ref().is_some_and(|object| object.verified != Verified::Acknowledged);
        let delete = (self.item.delete || self.begin.delete) && path != Path::new("-");
        let same = std::fs::symlink_metadata(path).is_ok_and(|meta| FileState::of(&meta) == self.begin.file);
        if delete && !seen {
            receipt.warn(format!("{} is not removed: nobody can tell that it is stored", path.display()));
        } else if delete && !same {
            receipt.warn(format!("{} is not removed: it has changed since it was read", path.display()));
        } else if delete && let Err(error) = self.remove_files() {
            receipt.warn(format!("stored, but cannot remove {}: {error}", path.display()));
        }
        if delete && seen && same {
            clear_spool(path);
        }
        // The file first: a journal without a file means nothing, a file without one would be stored again.
        if self.ledger.is_some() {
            let _ = std::fs::remove_file(journal::path_for(path));
        }
        if delete && seen && same && self.begin.delete {
            remove_private_dir(path, self.begin.key.run_id());
        }
    }

    /// The parts first: without their dump they would be stored by themselves.
    fn remove_files(&self) -> io::Result<()> {
        self.parts.get().into_iter().flatten().try_for_each(std::fs::remove_file)?;
        std::fs::remove_file(&self.item.path)
    }
}

/// What came of reading a file.
struct Piece {
    walk: Summary,
    digest: Digest,
    sent: Result<(), StoreError>,
    spool: Spool,
}

/// What is known of a file from its journal, or else a new beginning; its ledger; and whether it was begun before.
fn recall(item: &Item, settings: &Settings) -> Result<(Begin, Option<Ledger>, bool), Error> {
    let path = &item.path;
    let busy = || Error::from(UsageError::Busy { path: shown(path) });
    let past = match Journal::reopen(path) {
        Ok(past) => past,
        Err(JournalError::Locked) => return Err(busy()),
        Err(error) => {
            log::warn!("the journal beside {} is left alone: {error}", path.display());
            let begin = new_begin(item, settings)?;
            return Ok((begin, None, false));
        }
    };
    let new = new_begin(item, settings)?;
    let Some((journal, past)) = past else { return first(item, settings, new, busy) };
    let same_place = !item.by_name || past.begin.key.dir() == settings.place.to_string();
    if past.begin.file == new.file && same_place {
        let ledger = Ledger::in_journal(journal, past.open, past.whole, true);
        return Ok((past.begin, Some(ledger), true));
    }
    if past.begin.file != new.file && !past.begin.order.is_empty() {
        return Err(UsageError::Changed { path: shown(path) }.into());
    }
    // Another file of the same name, or another place: a new beginning, but for where its pieces lie.
    let begin = Begin { order: past.begin.order, ..new };
    let journal = Journal::replace(path, &begin);
    let ledger = journal.map(|journal| Ledger::in_journal(journal, None, None, false));
    let ledger =
        ledger.map_err(|source| RoomError::Io { what: "write a journal beside", path: shown(path), source })?;
    Ok((begin, Some(ledger), false))
}

/// A file whose own name tells its key may be in the store already.
fn first(
    item: &Item,
    settings: &Settings,
    begin: Begin,
    busy: impl Fn() -> Error,
) -> Result<(Begin, Option<Ledger>, bool), Error> {
    let name = item.path.file_name().unwrap_or_default().to_string_lossy();
    let named = ObjectKey::of_file(&settings.place, &name).is_some();
    if settings.store.url == StoreUrl::Stdout {
        return Ok((begin, None, false));
    }
    match Journal::create(&item.path, &begin) {
        Ok(journal) => Ok((begin, Some(Ledger::in_journal(journal, None, None, named)), false)),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(busy()),
        Err(error) => {
            log::info!("no journal beside {}: a cut upload begins at its start: {error}", item.path.display());
            Ok((begin, Some(Ledger::without_journal(named)), false))
        }
    }
}

/// The key is told by the name of a file that waits for the store; else it is made from the file's last change.
fn new_begin(item: &Item, settings: &Settings) -> Result<Begin, Error> {
    let mut receipt = new_receipt(&settings.place);
    let name = item.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (mut file, mut bytes, mut time) = (FileState::default(), None, Utc::now());
    if item.path != Path::new("-") {
        let unreadable = |source| UsageError::File { path: shown(&item.path), source };
        let meta = std::fs::metadata(&item.path).map_err(unreadable)?;
        (file, bytes, time) = (FileState::of(&meta), Some(meta.len()), changed(&meta));
    }
    let key = ObjectKey::of_file(&settings.place, &name).unwrap_or_else(|| {
        let key = ObjectKey::new(&settings.place, time, &receipt.pod.name, pid_of(&name), &receipt.run_id);
        if item.scrutiny == Scrutiny::Anything { key.of_other(&name) } else { key }
    });
    receipt.run_id = key.run_id().to_owned();
    let truncated = item.scrutiny == Scrutiny::Remains;
    let (part_size, order) = (part_size(bytes), Vec::new());
    Ok(Begin { key, file, part_size, order, truncated, delete: false, receipt, context: None })
}

fn is_lost(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::NotStored(error)) if error.is_of_lost_upload())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Of a pipe nobody knows when it ends.
fn open(item: &Item) -> Result<File, Error> {
    let unreadable = |source| Error::from(UsageError::File { path: shown(&item.path), source });
    let flags = OFlags::NONBLOCK | if item.by_name { OFlags::empty() } else { OFlags::NOFOLLOW };
    let options = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&item.path);
    let file = options.map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_file() {
        return Ok(file);
    }
    Err(unreadable(io::Error::other("it is no regular file; '-' is standard input")))
}

fn is_damaged(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::Dump(DumpError::Truncated { .. } | DumpError::Malformed { .. })))
}

/// Standard input, waited for no longer than the run lasts.
struct Patient<'a> {
    stdin: io::Stdin,
    deadline: &'a Deadline,
}

impl Read for Patient<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let patience = self.deadline.remaining();
        self.deadline
            .wait(self.stdin.as_fd(), PollFlags::IN, patience, "reading standard input")
            .map_err(io::Error::other)?;
        Ok(rustix::io::read(&self.stdin, buf)?)
    }
}

fn unread(path: &str, source: io::Error) -> Error {
    DumpError::Read { path: path.to_owned(), source }.into()
}

/// A run's own directory goes with the last of what it kept there.
fn remove_private_dir(path: &Path, run_id: &str) {
    let Some(dir) = path.parent().filter(|dir| dir.ends_with(format!("jmap-dump-tool-{run_id}"))) else { return };
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(held) = rustix::fs::open(dir, flags, Mode::empty()) else { return };
    for name in [SPOOL, NAME] {
        for name in [name.to_owned(), format!("{name}{}", journal::SUFFIX)] {
            let _ = unlinkat(&held, name, AtFlags::empty());
        }
    }
    // Whatever else is there keeps it.
    let _ = std::fs::remove_dir(dir);
}
