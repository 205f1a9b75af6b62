//! `upload`: dumps that are already files, and what earlier runs have left, through the same stages as one that a
//! JVM makes.

use std::fs::FileType;
use std::path::{Path, PathBuf};

use super::store_file::{Item, store};
use super::{Answer, Outcome, start_clock, tell};
use crate::cli::UploadArgs;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::journal;
use crate::progress::Progress;
use crate::settings::{UploadSettings, UsageError};
use crate::stages::Scrutiny;
use crate::store::key::ObjectKey;
use crate::store::url::StoreUrl;

/// So deep below a directory somebody may have left something: a local store's keys have three levels.
const DEPTH: usize = 5;

pub fn run(args: &UploadArgs, watch_signals: &mut dyn FnMut(&Deadline)) -> Outcome {
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
    // The other process says how it ends.
    if settings.resume.is_some() && matches!(result, Err(Error::Usage(UsageError::Busy { .. }))) {
        let text = format!("{} is being uploaded by another process\n", item.path.display());
        return Outcome { result: Ok(()), answer: Some(Answer { text, aside: false }) };
    }
    tell(receipt, result, settings.common.output, settings.common.store.url == StoreUrl::Stdout).0
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
    let item = |path: PathBuf| Item { path, scrutiny, delete: settings.delete, same_place: settings.resume.is_none() };
    let Some(dir) = &settings.resume else { return Ok(settings.files.iter().map(|file| item(file.into())).collect()) };
    let mut found = Vec::new();
    left_in(Path::new(dir), DEPTH, settings.has_place.then_some(settings), &mut found)
        .map_err(|source| UsageError::File { path: dir.clone(), source })?;
    found.sort();
    found.dedup();
    Ok(found.into_iter().map(item).collect())
}

/// Files with a journal; and with a place to put them, those whose names are those of kept dumps.
fn left_in(dir: &Path, depth: usize, place: Option<&UploadSettings>, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is = |what: fn(&FileType) -> bool| entry.file_type().is_ok_and(|kind| what(&kind));
        if is(FileType::is_dir) && depth > 0 {
            // What cannot be looked into is somebody else's.
            let _ = left_in(&path, depth - 1, place, found);
        } else if is(FileType::is_file)
            && let Some(file) = name.strip_suffix(journal::SUFFIX)
        {
            let file = path.with_file_name(file);
            if file.exists() {
                found.push(file);
            } else {
                // Its file is stored, or was renamed together with another journal.
                let _ = std::fs::remove_file(&path);
            }
        } else if is(FileType::is_file)
            && place.is_some_and(|settings| ObjectKey::of_file(&settings.common.place, &name).is_some())
            && !is_stored_here(&path, place)
        {
            found.push(path);
        }
    }
    Ok(())
}

/// Objects of a local store bear the same names, and are where they belong.
fn is_stored_here(path: &Path, settings: Option<&UploadSettings>) -> bool {
    let Some(StoreUrl::Local { dir }) = settings.map(|settings| &settings.common.store.url) else { return false };
    let absolute = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    absolute(path).starts_with(absolute(Path::new(dir)))
}
