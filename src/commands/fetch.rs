//! `fetch`: gets objects out of the store, checks them against their receipts, and walks dumps to their end.

mod gunzip;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::{Answer, Failed, WatchSignals, read_receipt, start_clock};
use crate::base::deadline::Deadline;
use crate::base::printable::printable;
use crate::base::units::{Bytes, Seconds};
use crate::cli::{FetchArgs, Flags};
use crate::compress::dump_reader::DumpReader;
use crate::compress::source::Scrutiny;
use crate::delivery::Context;
use crate::delivery::download::{Download, sha256_of};
use crate::delivery::walk::walk;
use crate::error::Error;
use crate::files::entry::{Entry, HeldDir};
use crate::files::file_from::FileFrom;
use crate::files::regular_file::Access;
use crate::heap_dump::{DumpError, RoomError};
use crate::hprof::Histogram;
use crate::object::key::receipt_of;
use crate::object::receipt::Receipt;
use crate::settings::{FetchSettings, Output};
use crate::store::{Listed, StoreError, StoreReader};
use crate::terminal::progress::Progress;

/// The result for one object.
#[derive(Debug, Serialize)]
struct Fetched {
    key: String,
    file: String,
    bytes: u64,
    sha256: String,
    /// True if the file is the decompressed object. Size and checksum are those of the object.
    #[serde(rename = "decompressed")]
    is_decompressed: bool,
    /// The checksum with which the object was compared.
    verified: &'static str,
    seconds: f64,
}

pub fn run(args: &FetchArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let settings = FetchSettings::of_fetch(args, flags)?;
    let deadline = start_clock(settings.deadline, watch_signals)?;
    let reader = StoreReader::open(&settings.store, &deadline).map_err(Error::store)?;
    let progress = Progress::start();
    let mut text = String::new();
    let result = settings.keys.iter().try_for_each(|key| {
        text += &describe(&fetch(&reader, key, &settings, &progress, &deadline)?, settings.output);
        Ok(())
    });
    if result.is_ok() {
        progress.done();
    }
    drop(progress);
    Answer::of(text).and(result)
}

fn fetch(
    reader: &StoreReader,
    key: &str,
    settings: &FetchSettings,
    progress: &Progress,
    deadline: &Deadline,
) -> Result<Fetched, Error> {
    let begun = Instant::now();
    let name = key.rsplit('/').next().unwrap_or_default();
    let object = reader.look(key).map_err(Error::store)?;
    let unmade = |source| RoomError::Io { what: "make the directory", path: shown(&settings.to), source };
    let to = HeldDir::named_or_new(&settings.to).map_err(unmade)?;
    let gz = to.entry(name);
    let plain = settings.gunzip.then(|| name.strip_suffix(".gz")).flatten().map(|name| to.entry(name));
    let wanted = plain.as_ref().unwrap_or(&gz);
    if wanted.exists() {
        return Err(Error::Exists { path: shown(&wanted.path()) });
    }
    let got = if gz.exists() { got_before } else { download };
    let (sha256, verified) = got(reader, &object, &gz, progress, deadline)?;
    if let Some(plain) = &plain {
        gunzip::gunzip(&gz, plain, progress, deadline)?;
        // The compressed file stays until then. If a run fails or is stopped, a later one goes on with that file.
        remove_fetched(reader, key, &gz);
    }
    let seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    Ok(Fetched {
        key: key.to_owned(),
        file: shown(&wanted.path()),
        bytes: object.bytes,
        sha256,
        is_decompressed: plain.is_some(),
        verified,
        seconds,
    })
}

/// Removes the compressed file, if a run of this user has made it. The store's own file stays, because the target may
/// be the store's directory.
fn remove_fetched(reader: &StoreReader, key: &str, gz: &Entry) {
    let removed = gz.metadata().and_then(|meta| {
        let is_ours = meta.uid() == rustix::process::geteuid().as_raw() && !reader.has_as(key, &meta);
        if is_ours { gz.remove() } else { Err(io::Error::other("no run of this user has fetched it")) }
    });
    if let Err(error) = removed {
        log::warn!("{}, which is decompressed, stays: {error}", gz.path().display());
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Downloads the object. Returns its SHA-256, and what that was compared with.
fn download(
    reader: &StoreReader,
    object: &Listed,
    to: &Entry,
    progress: &Progress,
    deadline: &Deadline,
) -> Result<(String, &'static str), Error> {
    let local = |source| RoomError::Io { what: "write", path: shown(&to.path()), source };
    let mut download = Download::open(to, object).map_err(local)?;
    progress.stage(&format!("fetching {}", object.key), Some(object.bytes));
    progress.add(download.has());
    download.fetch(reader, &object.key, progress).map_err(Error::fetch)?;
    let part = download.part().path();
    let sha256 = sha256_of(download.file(), &part, deadline).map_err(Error::fetch)?;
    let verified = match check(reader, &object.key, &sha256, (download.file(), &part), progress, deadline) {
        Ok(verified) => verified,
        Err(error) => {
            // No run goes on with a damaged file. If this run was stopped, a later one goes on.
            if matches!(error, Error::Dump(_) | Error::Damaged { .. }) {
                download.forget();
            }
            return Err(error);
        }
    };
    download.name(to).map_err(local)?;
    Ok((sha256, verified))
}

/// Checks a file that an earlier run has fetched, but not decompressed. Returns what [`download`] returns. A file that
/// is not the object belongs to somebody else.
fn got_before(
    reader: &StoreReader,
    object: &Listed,
    to: &Entry,
    progress: &Progress,
    deadline: &Deadline,
) -> Result<(String, &'static str), Error> {
    let path = to.path();
    let another = || Error::Exists { path: shown(&path) };
    if !to.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == object.bytes) {
        return Err(another());
    }
    let unread = |source| DumpError::Read { path: shown(&path), source };
    let file = to.open(Access::Read).map_err(unread)?;
    let sha256 = sha256_of(&file, &path, deadline).map_err(Error::fetch)?;
    match check(reader, &object.key, &sha256, (&file, &path), progress, deadline) {
        Err(Error::Dump(_) | Error::Damaged { .. }) => Err(another()),
        // The right length alone does not make it the object.
        Ok(NO_CHECKSUM | OWN_CHECKSUM) if !object.key.ends_with(".hprof.gz") => Err(another()),
        other => other.map(|verified| (sha256, verified)),
    }
}

const SAME: &str = "the receipt's checksum is that of the file";

const SAME_REMAINS: &str =
    "the receipt's checksum is that of the file; the dump is not whole, and the receipt says so, too";

const NO_CHECKSUM: &str = "there is no checksum to compare";

const OWN_CHECKSUM: &str = "there is no receipt; the file's own checksum is right";

/// Checks a file against its receipt, and walks a dump to its end record.
fn check(
    reader: &StoreReader,
    key: &str,
    sha256: &str,
    (file, path): (&File, &Path),
    progress: &Progress,
    deadline: &Deadline,
) -> Result<&'static str, Error> {
    let receipt = receipt_beside(reader, key).map_err(Error::store)?;
    let expected = receipt.as_ref().and_then(|receipt| receipt.object.as_ref()?.sha256.clone());
    if let Some(expected) = &expected
        && expected != sha256
    {
        let (key, sha256) = (key.to_owned(), sha256.to_owned());
        return Err(Error::Damaged { key, expected: expected.clone(), sha256 });
    }
    if key.ends_with(".gz") {
        let path = shown(path);
        let unread = |source| DumpError::Read { path: path.clone(), source };
        let len = file.metadata().map_err(unread)?.len();
        let raw = FileFrom { file, at: 0 }.take(len);
        if !key.ends_with(".hprof.gz") {
            // Without a receipt, the file's own checksums are the only ones. They also show that an end is missing.
            progress.stage("reading it to its end", None);
            gunzip::read_to_end(raw, &path, progress, deadline)?;
            return Ok(if expected.is_some() { SAME } else { OWN_CHECKSUM });
        }
        progress.stage("reading the dump to its end", None);
        // If the receipt says that the dump was not whole, it need not be whole here.
        let truncated = receipt.and_then(|receipt| receipt.dump?.walk).is_some_and(|walk| !walk.complete);
        let scrutiny = if truncated { Scrutiny::Remains } else { Scrutiny::Dump };
        let mut raw = DumpReader::gzipped(raw, scrutiny);
        let walk = walk(&mut raw, &path, Context { progress, deadline }, &mut Histogram::new())?;
        if !walk.complete && !truncated {
            return Err(DumpError::truncated(path, &walk).into());
        }
        if truncated && expected.is_some() {
            return Ok(SAME_REMAINS);
        }
    }
    Ok(if expected.is_some() { SAME } else { NO_CHECKSUM })
}

/// Returns the receipt; `None` only if there is none. A receipt that cannot be read may say that the object is damaged,
/// or that a truncated dump was stored on purpose.
fn receipt_beside(reader: &StoreReader, key: &str) -> Result<Option<Receipt>, StoreError> {
    read_receipt(reader, receipt_of(key))
}

fn describe(fetched: &Fetched, output: Output) -> String {
    if output == Output::Json {
        return serde_json::to_string(fetched).unwrap_or_default() + "\n";
    }
    let took = Seconds(std::time::Duration::from_secs_f64(fetched.seconds));
    let compressed = if fetched.is_decompressed { " (of the compressed object)" } else { "" };
    format!(
        "fetched {}\n  size       {} ({} bytes){compressed} in {took}\n  sha256     {}{compressed}\n  verified   {}\n",
        printable(&fetched.file),
        Bytes(fetched.bytes),
        fetched.bytes,
        printable(&fetched.sha256),
        fetched.verified
    )
}

impl Error {
    /// Converts an error of the store while it was read. The next run goes on with the bytes that are here.
    fn fetch(error: StoreError) -> Self {
        match error {
            StoreError::Local { what, path, source } => RoomError::Io { what, path, source }.into(),
            other => Self::store(other),
        }
    }
}
