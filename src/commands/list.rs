//! `list`: shows what is in the store, for developers who have no access to the cluster.

mod page;
mod row;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;

use super::{Answer, Failed, WatchSignals, start_clock};
use crate::base::deadline::Deadline;
use crate::base::printable::printable;
use crate::cli::{Flags, ListArgs};
use crate::delivery::resume_command::address_flags;
use crate::error::Error;
use crate::object::key::receipt_of;
use crate::settings::{Form, ListSettings};
use crate::store::{StoreError, StoreReader};
use page::Whence;
use row::Row;

/// Most bytes of text from receipts in one listing. Further objects are listed without such text.
const DETAILS_MAX: usize = 64 << 20;

pub fn run(args: &ListArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let settings = ListSettings::of_list(args, flags)?;
    let deadline = start_clock(settings.deadline, watch_signals)?;
    let rows = rows(&settings, &deadline)?;
    Ok(Answer::of(match settings.form {
        Form::Text if rows.is_empty() => nothing(&settings),
        Form::Text => row::table(&rows),
        Form::Json => serde_json::to_string(&rows).unwrap_or_default() + "\n",
        Form::Html => {
            let store = &settings.store;
            let whence = Whence { under: &settings.under, store: &store.url.to_string(), flags: &address_flags(store) };
            page::page(&whence, &rows, Utc::now())
        }
    }))
}

/// Says where nothing is: the place or the store may be another one than was meant.
fn nothing(settings: &ListSettings) -> String {
    format!("nothing is stored there: {}\n", printable(&settings.store.url.of_key(&settings.under)))
}

fn rows(settings: &ListSettings, deadline: &Deadline) -> Result<Vec<Row>, Error> {
    let reader = StoreReader::open(&settings.store, deadline).map_err(Error::store)?;
    let stored = reader.list(&settings.under, |key| key.ends_with(".gz")).map_err(Error::store)?;
    let mut rows: Vec<Row> =
        stored.iter().map(|object| Row::of(object, settings.store.url.of_key(&object.key))).collect();
    let mut of_receipt: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (row, object) in stored.iter().enumerate() {
        of_receipt.entry(receipt_of(&object.key)).or_default().push(row);
    }
    let mut left = DETAILS_MAX;
    let read = reader.read_small(of_receipt.keys().map(String::as_str), |key, json| {
        let Ok(receipt) = serde_json::from_slice(json) else { return };
        for row in of_receipt.get(key).into_iter().flatten() {
            left = left.saturating_sub(if left == 0 { 0 } else { rows[*row].tell(&receipt) });
        }
    });
    read.map_err(Error::store)?;
    rows.sort_by(|one, other| other.time.cmp(&one.time).then_with(|| one.key.cmp(&other.key)));
    if let Some(valid) = settings.links {
        add_links(&reader, &mut rows, valid)?;
    }
    Ok(rows)
}

/// Adds links to the rows. The listing is good without links: after one failure, no other object is tried.
fn add_links(reader: &StoreReader, rows: &mut [Row], valid: Duration) -> Result<(), Error> {
    let mut none = None;
    for row in rows.iter_mut() {
        let link = match &none {
            None => reader.link(&row.key, valid),
            Some(_) => Ok(None),
        };
        match link {
            Ok(Some(link)) => {
                (row.link_until, row.link_warning) = (link.until(), link.warning());
                row.link = Some(link.url);
                row.context_link = context_link(reader, row, valid);
                continue;
            }
            Err(error @ StoreError::Stopped(_)) => return Err(Error::store(error)),
            Err(error) => none = Some(format!("there are no links: {}", Error::Store(error).chain())),
            Ok(None) => none = none.or_else(|| Some("this store has no links".into())),
        }
        row.link_warning.clone_from(&none);
    }
    if let Some(warning) = rows.iter().find_map(|row| row.link_warning.as_deref()) {
        log::warn!("{warning}");
    }
    Ok(())
}

/// Signs a link to the context. A failure is that of the dump's own link, which is reported.
fn context_link(reader: &StoreReader, row: &Row, valid: Duration) -> Option<String> {
    let signed = reader.link(row.context.as_ref()?, valid);
    signed.ok().flatten().map(|link| link.url)
}
