//! `upload`: dumps that are already files, and what earlier runs have left, through the same stages as one that a
//! JVM makes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::store_file::{Item, store};
use super::{Answer, Outcome, WatchSignals, start_clock, tell};
use crate::base::deadline::Deadline;
use crate::base::printable::printable_path;
use crate::cli::UploadArgs;
use crate::compress::compressor::Scrutiny;
use crate::error::Error;
use crate::files::entry::HeldDir;
use crate::kept::journal;
use crate::settings::{UploadSettings, UsageError};
use crate::store::url::StoreUrl;
use crate::terminal::progress::Progress;
use crate::watch::{left_in, sweep};

/// So deep below a directory somebody may have left something: a local store's keys have three levels.
const LEVELS: usize = 5;

pub fn run(args: &UploadArgs, watch_signals: &mut WatchSignals<'_>) -> Outcome {
    let settings = match UploadSettings::of_upload(args) {
        Ok(settings) => settings,
        Err(error) => return Outcome::failed(error),
    };
    let deadline = match start_clock(settings.common.deadline, watch_signals) {
        Ok(deadline) => deadline,
        Err(error) => return Outcome::failed(error),
    };
    let items = match items(&settings) {
        Ok(items) => items,
        Err(error) => return Outcome::failed(error),
    };
    let progress = Progress::start();
    let outcomes: Vec<Outcome> = items.iter().map(|item| store_one(item, &settings, &progress, &deadline)).collect();
    drop(progress);
    if outcomes.is_empty() {
        let text = "nothing is left to be stored\n".to_owned();
        return Outcome { result: Ok(()), answer: Some(Answer { text, aside: false }) };
    }
    all_of(outcomes)
}

fn store_one(item: &Item, settings: &UploadSettings, progress: &Progress, deadline: &Deadline) -> Outcome {
    let (receipt, result) = store(item, &settings.common, progress, deadline);
    // What was found may be another process's, which says how it ends, or be done since.
    let by_another = match &result {
        Err(Error::Usage(UsageError::Busy { .. })) => Some("is being uploaded by another process"),
        Err(_) if is_gone(&item.path) => Some("is not there any more: its upload has ended"),
        _ => None,
    };
    if let Some(words) = by_another.filter(|_| !item.by_name()) {
        let text = format!("{} {words}\n", printable_path(&item.path));
        return Outcome { result: Ok(()), answer: Some(Answer { text, aside: false }) };
    }
    tell(receipt, result, settings.common.output, settings.common.store.url == StoreUrl::Stdout).0
}

/// No other error of looking for it says that.
fn is_gone(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// All receipts; of several failures the first one counts, and the others are told at once.
fn all_of(outcomes: Vec<Outcome>) -> Outcome {
    let (mut text, mut aside, mut result) = (String::new(), false, Ok(()));
    for outcome in outcomes {
        if let Some(answer) = outcome.answer {
            text += &answer.text;
            aside |= answer.aside;
        }
        match outcome.result {
            Err(error) if result.is_err() => log::error!("{}", error.chain()),
            Err(error) => result = Err(error),
            Ok(()) => {}
        }
    }
    Outcome { result, answer: Some(Answer { text, aside }) }
}

fn items(settings: &UploadSettings) -> Result<Vec<Item>, UsageError> {
    let scrutiny = if settings.truncated { Scrutiny::Remains } else { Scrutiny::Dump };
    let (delete, has_place) = (settings.delete, settings.has_place);
    let item = |path: PathBuf, found_in| Item { path, found_in, has_place, scrutiny, delete };
    let Some(dir) = &settings.resume else {
        return Ok(settings.files.iter().map(|file| item(file.clone(), None)).collect());
    };
    let unread = |source| UsageError::File { path: dir.display().to_string(), source };
    let held = HeldDir::named(dir).map_err(unread)?;
    sweep(&held);
    let place = settings.has_place.then_some(&settings.common.place);
    let found = left_in(&held, LEVELS, place).map_err(unread)?;
    found.obstacles.as_slice().iter().for_each(|obstacle| log::error!("{obstacle}"));
    let found = found.files.into_iter().filter(|path| !is_stored_here(path, &settings.common.store.url));
    Ok(found.map(|path| item(path, Some(Arc::clone(&held)))).collect())
}

/// Objects of a local store bear the same names, and are where they belong.
fn is_stored_here(path: &Path, store: &StoreUrl) -> bool {
    let StoreUrl::Local { dir } = store else { return false };
    let absolute = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    !journal::path_for(path).exists() && absolute(path).starts_with(absolute(Path::new(dir)))
}
