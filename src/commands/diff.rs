//! `diff`: compares two dumps by their receipts.

use std::path::Path;

use serde_json::json;

use super::{Answer, Failed, WatchSignals, read_receipt, start_clock};
use crate::base::printable::printable;
use crate::cli::{DiffArgs, Flags};
use crate::error::Error;
use crate::files::regular_file::{TEXT_MAX, open_named, read_bounded};
use crate::object::comparison::Comparison;
use crate::object::key::receipt_of;
use crate::object::receipt::Receipt;
use crate::settings::{DiffSettings, Output, ReceiptAt, UsageError};
use crate::store::{StoreError, StoreReader};

pub fn run(args: &DiffArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let settings = DiffSettings::of_diff(args, flags)?;
    let deadline = start_clock(settings.deadline, watch_signals)?;
    let reader = settings.store.as_ref().map(|store| StoreReader::open(store, &deadline)).transpose();
    let reader = reader.map_err(Error::store)?;
    let read = |at: &ReceiptAt| receipt(reader.as_ref(), at);
    let (earlier, later) = (read(&settings.earlier)?, read(&settings.later)?);
    let comparison = Comparison::of(&earlier, &later).ok_or(UsageError::NoClasses)?;
    for warning in &comparison.warnings {
        log::warn!("{warning}");
    }
    Ok(Answer::of(match settings.output {
        Output::Json => {
            let [earlier, later] = [&settings.earlier, &settings.later].map(shown);
            json!({ "earlier": earlier, "later": later, "comparison": comparison }).to_string() + "\n"
        }
        Output::Text => comparison.lines().join("\n") + "\n",
    }))
}

fn receipt(reader: Option<&StoreReader>, at: &ReceiptAt) -> Result<Receipt, Error> {
    match (at, reader) {
        (ReceiptAt::File(path), _) => of_file(path),
        (ReceiptAt::Key(key), Some(reader)) => {
            let key = if key.ends_with(".json") { key.clone() } else { receipt_of(key) };
            let receipt = read_receipt(reader, key).map_err(Error::store)?;
            receipt.ok_or_else(|| UsageError::NoReceipt(shown(at)).into())
        }
        (ReceiptAt::Key(_), None) => Err(UsageError::NoStore.into()),
    }
}

/// Reads a receipt, or that beside a dump.
fn of_file(path: &Path) -> Result<Receipt, Error> {
    let shown = path.display().to_string();
    let shown = if shown.ends_with(".gz") { receipt_of(&shown) } else { shown };
    let read = open_named(Path::new(&shown)).and_then(|file| read_bounded(file, TEXT_MAX));
    let json = read.map_err(|source| UsageError::File { path: shown.clone(), source })?;
    serde_json::from_slice(&json).map_err(|source| Error::store(StoreError::Receipt { key: shown, source }))
}

fn shown(at: &ReceiptAt) -> String {
    match at {
        ReceiptAt::File(path) => path.display().to_string(),
        ReceiptAt::Key(key) => printable(key).into_owned(),
    }
}
