//! Stores one file: walk, compress, upload, verify. If an earlier process has begun the upload, this one goes on with
//! it.

mod clear_up;
mod compress;
mod input;
mod recall;

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use input::{Patient, open};
pub use recall::abandon;
use recall::{Recalled, new_begin, recall};

use super::temporary::nameless_in_or_elsewhere;
use super::verify::{is_gzip, reader, walk};
use super::{new_receipt, tell_stored};
use crate::base::deadline::Deadline;
use crate::compress::dump_reader::DumpReader;
use crate::compress::gzip;
use crate::compress::pages::PAGE;
use crate::compress::redaction::Redaction;
use crate::compress::source::{Scrutiny, Source};
use crate::compress::spool::Spool;
use crate::compress::verdict::Verdict;
use crate::delivery::Delivery;
use crate::error::Error;
use crate::files::entry::{Entry, HeldDir};
use crate::heap_dump::{DumpError, RoomError};
use crate::hprof::{Histogram, Redactor, Summary};
use crate::jvm::memory::Rationed;
use crate::kept::journal::Begin;
use crate::kept::ledger::Ledger;
use crate::object::classes;
use crate::object::key::Place;
use crate::object::receipt::{DumpFacts, OUT_OF_MEMORY, Receipt};
use crate::settings::{Settings, UsageError};
use crate::store::Upload;
use crate::terminal::progress::Progress;
use crate::watch::parts::with_parts;

/// A file that is to be stored.
#[derive(Debug, Clone)]
pub struct Item {
    /// `-` is standard input.
    pub path: PathBuf,
    pub scrutiny: Scrutiny,
    /// True if the file is removed once it is stored and verified.
    pub delete: bool,
    /// The directory in which the file was found. `None` if its user has named the file. Then a link is followed, and
    /// an earlier upload counts only if it had the same place. A file that was found is no link, and its journal knows
    /// its place.
    pub found_in: Option<Arc<HeldDir>>,
    /// True if the user has named the place. False if only a journal may tell it.
    pub has_place: bool,
}

impl Item {
    pub fn by_name(&self) -> bool {
        self.found_in.is_none()
    }

    /// Returns the file's entry; `None` for standard input.
    fn entry(&self) -> Result<Option<Entry>, Error> {
        if self.path == Path::new("-") {
            return Ok(None);
        }
        let entry = match &self.found_in {
            Some(dir) => dir.entry_at(&self.path),
            None => Entry::named(&self.path),
        };
        entry.map(Some).map_err(|source| UsageError::File { path: shown(&self.path), source }.into())
    }
}

/// One file while it is stored.
struct Deposit<'a> {
    item: &'a Item,
    /// The file's entry, held from the start on; `None` for standard input.
    entry: Option<Entry>,
    settings: Settings,
    begin: Begin,
    ledger: Option<Ledger>,
    /// True if an earlier process has begun the upload.
    resumed: bool,
    /// The parts of the dump that lie beside the file, and are stored together with it.
    parts: OnceCell<Vec<Entry>>,
    progress: &'a Progress,
    deadline: &'a Deadline,
}

/// Stores the file. The receipt tells how far that came.
pub fn store(
    item: &Item,
    settings: &Settings,
    progress: &Progress,
    deadline: &Deadline,
) -> (Receipt, Result<(), Error>) {
    let mut deposit = match Deposit::begin(item, settings, progress, deadline) {
        Ok(deposit) => deposit,
        Err(error) => return (new_receipt(settings), Err(error)),
    };
    let begun = deposit.begin.receipt.clone();
    // Nobody waits for a dump that an earlier run has made, so the receipt has no wish.
    let mut receipt = Receipt { object: None, kept: None, error: None, exit_code: 0, wish: None, ..begun };
    let mut result = deposit.run(&mut receipt);
    // A multipart upload may be gone: a rule of the bucket, or somebody's order, has removed it.
    if is_lost(&result) && deposit.ledger.as_ref().is_some_and(Ledger::lose) {
        result = deposit.run(&mut receipt);
    }
    deposit.end(&mut receipt, &result);
    (receipt, result)
}

impl<'a> Deposit<'a> {
    fn begin(
        item: &'a Item,
        settings: &Settings,
        progress: &'a Progress,
        deadline: &'a Deadline,
    ) -> Result<Self, Error> {
        let entry = item.entry()?;
        let Recalled { begin, ledger, resumed } = match &entry {
            None => Recalled::new(new_begin(item, None, settings)?, None),
            Some(entry) => recall(item, entry, settings)?,
        };
        let place = Place::parse(begin.key.dir()).unwrap_or_else(|| settings.place.clone());
        let (settings, parts) = (settings.at(place), OnceCell::new());
        Ok(Self { item, entry, settings, begin, ledger, resumed, parts, progress, deadline })
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
        // No later run goes on with the upload of a damaged file.
        if let Some(ledger) = upload.as_ref().and_then(Upload::ledger) {
            ledger.decide(!is_damaged(&result));
        }
        receipt.time("upload", begun.elapsed());
        result
    }

    fn send(&self, upload: &mut Option<Upload>, receipt: &mut Receipt) -> Result<(), Error> {
        let path = shown(&self.item.path);
        self.progress.stage(&format!("reading {path}"), self.entry.as_ref().map(|_| self.begin.file.bytes));
        let Some(open) = upload else { return Ok(()) };
        let mut delivery = self.read(open)?;
        let walk = &delivery.walk;
        let verdict = self.verdict(walk);
        if self.scrutiny() != Scrutiny::Anything {
            let known = receipt.dump.take().unwrap_or_default();
            receipt.warn_of_cut_arrays(walk.records.cut_arrays);
            if walk.out_of_memory && receipt.reason.is_none() {
                receipt.reason = Some(OUT_OF_MEMORY.to_owned());
            }
            receipt.dump = Some(DumpFacts { walk: Some(walk.clone()), ..known });
        }
        if let Some(redact) = self.redact() {
            receipt.redacted = Some(redact.word().to_owned());
            receipt.warn_of_blanked(delivery.blanked, "write it to a file first, and upload that");
        }
        let verdict = verdict.ok_or_else(|| DumpError::truncated(path, walk))?;
        self.warn_of_flaws(receipt, walk);
        open.ledger().inspect(|ledger| ledger.decide(true));
        let Some(upload) = upload.take() else { return Ok(()) };
        let finished = delivery.complete(upload, &verdict, self.progress).map_err(Error::not_stored)?;
        tell_stored(receipt, finished, &self.begin.key, self.begin.context.as_deref());
        Ok(())
    }

    fn warn_of_flaws(&self, receipt: &mut Receipt, walk: &Summary) {
        receipt.is_damaged = walk.damage.is_some();
        match &walk.damage {
            Some(damage) => receipt.warn(format!("{} is damaged: {damage}", shown(&self.item.path))),
            None if !walk.complete => receipt.warn("the dump is not whole: whoever wrote it did not finish"),
            None => {}
        }
        if walk.mended {
            receipt.warn(
                "its last segment had no length, so that readers would find none of its objects: it is written \
                          in segments that have one",
            );
        }
    }

    fn scrutiny(&self) -> Scrutiny {
        match self.item.scrutiny {
            Scrutiny::Anything => Scrutiny::Anything,
            // A run's own dump was whole when its journal was begun.
            _ if self.resumed && !self.begin.truncated && !self.item.by_name() => Scrutiny::Dump,
            _ if self.begin.truncated => Scrutiny::Remains,
            other => other,
        }
    }

    fn verdict(&self, walk: &Summary) -> Option<Verdict> {
        Verdict::of(walk).or_else(|| (self.scrutiny() != Scrutiny::Dump).then(Verdict::of_remains))
    }

    /// Reads the file. A gzipped file is sent as it is, after a walk; a plain one is compressed on the way.
    fn read(&self, upload: &mut Upload) -> Result<Delivery, Error> {
        let Some(entry) = &self.entry else { return self.read_stdin(upload) };
        let open = || open(self.item, entry);
        let (path, file) = (shown(&self.item.path), open()?);
        if is_gzip(&file).map_err(|source| unread(&path, source))? {
            return self.read_gzipped(file, &path, upload);
        }
        let (raw, parts) = with_parts(entry, file).map_err(|source| unread(&path, source))?;
        let _ = self.parts.set(parts);
        let again = || {
            let (raw, _) = with_parts(entry, open().map_err(io::Error::other)?)?;
            Ok(DumpReader::plain(raw, self.scrutiny()))
        };
        // Only a single file can be read at any offset, and only redaction needs that.
        let is_single = self.redact().is_some() && self.parts.get().is_none_or(Vec::is_empty);
        let single = is_single.then(open).transpose()?;
        let redactor = self.redactor(&path, again, single.as_ref())?;
        self.compress(DumpReader::plain(raw, self.scrutiny()), &path, redactor, upload)
    }

    /// Reads standard input. Gzipped bytes have to be walked before they are sent, so they lie in a file meanwhile.
    fn read_stdin(&self, upload: &mut Upload) -> Result<Delivery, Error> {
        let path = "standard input";
        let mut stdin = Patient { stdin: io::stdin(), deadline: self.deadline };
        let mut first = Vec::new();
        stdin.by_ref().take(2).read_to_end(&mut first).map_err(|source| unread(path, source))?;
        let gzipped = first == gzip::MAGIC;
        let mut raw = first.as_slice().chain(stdin);
        if !gzipped {
            let raw = DumpReader::plain(raw, self.scrutiny());
            let redactor = self.redact().map(|redact| self.doubting(redact.in_passing("")));
            return self.compress(raw, path, redactor, upload);
        }
        let file = self.nameless_beside(0, 0)?;
        io::copy(&mut raw, &mut Rationed::new(&file)).map_err(|source| uncopied(path, source))?;
        self.read_gzipped(file, path, upload)
    }

    /// Creates a file without a name where the dump lies.
    fn nameless_beside(&self, bytes: u64, least: u64) -> Result<File, Error> {
        let here = || HeldDir::named(Path::new("."));
        let dir = self.entry.as_ref().map_or_else(here, |entry| Ok(Arc::clone(entry.dir())));
        nameless_in_or_elsewhere(dir, bytes, least, &self.settings.disk_limits)
    }

    /// Sends a gzipped file as it is, after a walk. If it has to be redacted, it is compressed again.
    fn read_gzipped(&self, file: File, path: &str, upload: &mut Upload) -> Result<Delivery, Error> {
        let spool = Spool::adopt(file, &self.begin.order).map_err(|source| unread(path, source))?;
        let plain = || DumpReader::gzipped(spool.reader(), self.scrutiny());
        match self.redactor(path, || Ok(plain()), None)? {
            None => self.send_gzipped(spool, path, upload),
            redactor => self.compress(plain(), path, redactor, upload),
        }
    }

    fn send_gzipped(&self, spool: Spool, path: &str, upload: &mut Upload) -> Result<Delivery, Error> {
        let (mut raw, mut histogram) = (reader(spool.reader(), true, self.scrutiny()), Histogram::new());
        let walk = match self.scrutiny() {
            Scrutiny::Anything => self.read_anything(&mut raw, path, spool.stored_len())?,
            _ => {
                let walk = walk(&mut raw, path, self.progress, self.deadline, &mut histogram)?;
                Summary { classes: classes::of_spool(&histogram, &spool), ..walk }
            }
        };
        drop(raw);
        if walk.mended && self.verdict(&walk).is_some() {
            return self.compress(reader(spool.reader(), true, self.scrutiny()), path, None, upload);
        }
        if self.verdict(&walk).is_none() {
            return Err(DumpError::truncated(path.to_owned(), &walk).into());
        }
        Delivery::of_compressed(spool, walk, self.begin.part_size, upload, self.progress)
            .map_err(|source| unread(path, source))
    }

    /// Reads the file to its end, for its checksums.
    fn read_anything(&self, raw: &mut DumpReader<'_>, path: &str, bytes: u64) -> Result<Summary, Error> {
        let mut page = vec![0; PAGE];
        while raw.read(&mut page).map_err(|source| unread(path, source))? > 0 {
            self.deadline.check("reading a compressed file")?;
        }
        Ok(Summary::of_anything(bytes).with(raw.flaws()))
    }

    fn redact(&self) -> Option<&Redaction> {
        self.begin.redact.as_ref().filter(|_| self.scrutiny() != Scrutiny::Anything)
    }

    fn redactor<R: Read>(
        &self,
        path: &str,
        open: impl Fn() -> io::Result<R>,
        file: Option<&File>,
    ) -> Result<Option<Redactor>, Error> {
        let Some(redact) = self.redact() else { return Ok(None) };
        let found = redact.of_file(open, file, self.deadline);
        self.deadline.check("looking for what is to stay readable")?;
        found.map(|redactor| Some(self.doubting(redactor))).map_err(|source| unread(path, source))
    }

    /// Makes the redactor doubt the dump if remains are wanted: only then a damaged dump is stored.
    fn doubting(&self, redactor: Redactor) -> Redactor {
        if self.scrutiny() == Scrutiny::Remains { redactor.doubting() } else { redactor }
    }
}

fn is_lost(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::NotStored(error)) if error.is_of_lost_upload())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Returns whether every later attempt would read the same damage. A disk that fails may work again.
fn is_damaged(result: &Result<(), Error>) -> bool {
    match result {
        Err(Error::Dump(DumpError::Truncated { .. } | DumpError::Malformed { .. })) => true,
        Err(Error::Dump(DumpError::Read { source, .. })) => gzip::is_damage(source),
        _ => false,
    }
}

/// Returns the error of a copy: there is no room for it, or its source cannot be read.
fn uncopied(path: &str, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::StorageFull {
        return unread(path, source);
    }
    RoomError::Io { what: "write a temporary copy of", path: path.to_owned(), source }.into()
}

fn unread(path: &str, source: io::Error) -> Error {
    DumpError::Read { path: path.to_owned(), source }.into()
}
