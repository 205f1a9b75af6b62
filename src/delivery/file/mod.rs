//! Stores one file: walk, compress, upload, verify. If an earlier process has begun the upload, this one goes on with
//! it.

mod clear_up;
mod compress;
mod input;
mod read;
mod recall;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, SecondsFormat};
use recall::{new_begin, recall};

use super::{Context, Delivery, tell_stored};
use crate::compress::gzip;
use crate::compress::source::Scrutiny;
use crate::compress::verdict::Verdict;
use crate::error::Error;
use crate::files::entry::{Entry, HeldDir};
use crate::heap_dump::DumpError;
use crate::hprof::Summary;
use crate::kept::journal::{Begin, Journal};
use crate::object::key::Place;
use crate::object::receipt::{DumpFacts, OUT_OF_MEMORY, Receipt};
use crate::settings::{Settings, UsageError};
use crate::store::Upload;

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
    journal: Journal,
    scrutiny: Scrutiny,
    /// The parts of the dump that lie beside the file, and are stored together with it.
    parts: OnceCell<Vec<Entry>>,
    context: Context<'a>,
}

/// Stores the file. The receipt tells how far that came.
pub fn store(item: &Item, settings: &Settings, context: Context<'_>) -> (Receipt, Result<(), Error>) {
    let mut deposit = match Deposit::begin(item, settings, context) {
        Ok(deposit) => deposit,
        Err(error) => return (settings.new_receipt(), Err(error)),
    };
    let begun = deposit.begin.receipt.clone();
    // Nobody waits for a dump that an earlier run has made, so the receipt has no wish.
    let mut receipt = Receipt { object: None, kept: None, error: None, exit_code: 0, wish: None, ..begun };
    let mut result = deposit.run(&mut receipt);
    // A multipart upload may be gone: a rule of the bucket, or somebody's order, has removed it.
    if is_lost(&result) && deposit.journal.lose() {
        result = deposit.run(&mut receipt);
    }
    deposit.end(&mut receipt, &result);
    (receipt, result)
}

impl<'a> Deposit<'a> {
    fn begin(item: &'a Item, settings: &Settings, context: Context<'a>) -> Result<Self, Error> {
        let entry = item.entry()?;
        let (begin, journal) = match &entry {
            None => (new_begin(item, None, settings)?, Journal::default()),
            Some(entry) => recall(item, entry, settings)?,
        };
        let place = Place::parse(begin.key.dir()).unwrap_or_else(|| settings.place.clone());
        let (settings, parts) = (settings.at(place), OnceCell::new());
        let scrutiny = scrutiny(item, &begin, &journal);
        Ok(Self { item, entry, settings, begin, journal, scrutiny, parts, context })
    }

    fn run(&self, receipt: &mut Receipt) -> Result<(), Error> {
        let begun = Instant::now();
        let (store, part_size, journal) = (&self.settings.store, self.begin.part_size, self.journal.clone());
        let opened = Upload::go_on(store, &self.begin.key, part_size, self.context.deadline, journal);
        let mut upload = opened.map_err(Error::store)?;
        let read = self.read_whole(&mut upload, receipt);
        // No later run goes on with the upload of a damaged file.
        self.journal.decide(!read.as_ref().is_err_and(is_damage));
        let result = read.and_then(|(delivery, verdict)| self.complete(delivery, upload, &verdict, receipt));
        receipt.time("upload", begun.elapsed());
        result
    }

    /// Reads the file to its end, while its parts go out. The object is not complete then.
    fn read_whole(&self, upload: &mut Upload, receipt: &mut Receipt) -> Result<(Delivery, Verdict), Error> {
        let path = shown(&self.item.path);
        self.context.progress.stage(&format!("reading {path}"), self.entry.as_ref().map(|_| self.begin.file.bytes));
        let delivery = self.read(upload)?;
        let walk = &delivery.walk;
        if self.scrutiny != Scrutiny::Anything {
            let known = receipt.dump.take().unwrap_or_default();
            receipt.warn_of_cut_arrays(walk.records.cut_arrays);
            if walk.out_of_memory && receipt.reason.is_none() {
                receipt.reason = Some(OUT_OF_MEMORY.to_owned());
            }
            // A JVM that was asked for its dump has other facts in the receipt.
            let (pid, begun) = match walk.out_of_memory {
                true => (self.begin.key.pid(), time_of(walk.begun_ms)),
                false => (known.pid, known.begun.clone()),
            };
            receipt.dump = Some(DumpFacts { walk: Some(walk.clone()), pid, begun, ..known });
        }
        if let Some(redact) = self.redact() {
            receipt.redacted = Some(redact.word().to_owned());
            receipt.warn_of_blanked(delivery.blanked, "write it to a file first, and upload that");
        }
        let verdict = self.verdict(walk).ok_or_else(|| DumpError::truncated(path, walk))?;
        self.warn_of_flaws(receipt, walk);
        Ok((delivery, verdict))
    }

    fn complete(
        &self,
        mut delivery: Delivery,
        upload: Upload,
        verdict: &Verdict,
        receipt: &mut Receipt,
    ) -> Result<(), Error> {
        let finished = delivery.complete(upload, verdict, self.context.progress).map_err(Error::not_stored)?;
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

    fn verdict(&self, walk: &Summary) -> Option<Verdict> {
        Verdict::of(walk).or_else(|| (self.scrutiny != Scrutiny::Dump).then(Verdict::of_remains))
    }
}

fn scrutiny(item: &Item, begin: &Begin, journal: &Journal) -> Scrutiny {
    match item.scrutiny {
        Scrutiny::Anything => Scrutiny::Anything,
        // A run's own dump was whole when its journal was begun.
        _ if journal.is_by_us() && !begin.truncated && !item.by_name() => Scrutiny::Dump,
        _ if begin.truncated => Scrutiny::Remains,
        other => other,
    }
}

/// Returns a time of the header of a dump as RFC 3339; `None` for one beyond the year 9999, or for none at all.
fn time_of(begun_ms: u64) -> Option<String> {
    let ms = i64::try_from(begun_ms).ok().filter(|ms| (1..253_402_300_800_000).contains(ms))?;
    DateTime::from_timestamp_millis(ms).map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn is_lost(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::NotStored(error)) if error.is_of_lost_upload())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Returns whether every later attempt would read the same damage. A disk that fails may work again.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Dump(DumpError::Truncated { .. } | DumpError::Malformed { .. }) => true,
        Error::Dump(DumpError::Read { source, .. }) => gzip::is_damage(source),
        _ => false,
    }
}
