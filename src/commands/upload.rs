//! `upload`: stores dumps that are already files, and what earlier runs have left. They go through the same stages as a
//! dump that a JVM makes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::notifier::Notifier;
use super::{Answer, Failed, WatchSignals, start_clock, tell};
use crate::base::deadline::Deadline;
use crate::base::printable::printable_path;
use crate::cli::{Flags, UploadArgs};
use crate::compress::source::Scrutiny;
use crate::delivery::Context;
use crate::delivery::file::{Item, store};
use crate::error::Error;
use crate::files::entry::HeldDir;
use crate::kept::claim::ClaimError;
use crate::kept::journal;
use crate::settings::{UploadSettings, UsageError};
use crate::store::url::StoreUrl;
use crate::terminal::progress::Progress;
use crate::watch::{left_in, sweep};

/// Levels of directories that are searched for dumps. A local store's keys have three.
const LEVELS: usize = 5;

pub fn run(args: &UploadArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let settings = UploadSettings::of_upload(args, flags)?;
    let deadline = start_clock(settings.common.deadline, watch_signals)?;
    let items = items(&settings)?;
    let progress = Progress::start();
    let notifier = Notifier::new(&settings.common, &deadline);
    let ended: Vec<_> = items.iter().map(|item| store_one(item, &settings, &progress, &deadline, &notifier)).collect();
    if ended.iter().all(Result::is_ok) {
        progress.done();
    }
    drop(progress);
    if ended.is_empty() {
        return Ok(Answer::of("nothing is left to be stored\n".to_owned()));
    }
    all_of(ended)
}

fn store_one(
    item: &Item,
    settings: &UploadSettings,
    progress: &Progress,
    deadline: &Deadline,
    notifier: &Notifier<'_>,
) -> Result<Answer, Failed> {
    let (receipt, result) = store(item, &settings.common, Context { progress, deadline });
    let result = result.map_err(|error| error.of_named_file().beside(&receipt, false));
    // A file that was found may be another process's, which reports its end itself. Or its upload has ended since.
    let by_another = match &result {
        Err(Error::Claim(busy @ ClaimError::Busy { .. })) => Some(busy.to_string()),
        Err(_) if is_gone(&item.path) => {
            Some(format!("{} is not there any more: its upload has ended", printable_path(&item.path)))
        }
        _ => None,
    };
    if let Some(words) = by_another.filter(|_| !item.by_name()) {
        return Ok(Answer::of(words + "\n"));
    }
    tell(receipt, result, "upload", notifier)
}

/// Returns whether the file is gone. No other error of the lookup says that.
fn is_gone(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Joins all receipts. If several uploads fail, the first error counts, and the others are logged at once.
pub fn all_of(ended: Vec<Result<Answer, Failed>>) -> Result<Answer, Failed> {
    let (mut all, mut result) = (Answer::default(), Ok(()));
    for one in ended {
        let (answer, error) = match one {
            Ok(answer) => (answer, None),
            Err(failed) => (failed.answer, Some(failed.error)),
        };
        all.text += &answer.text;
        all.aside |= answer.aside;
        match error {
            Some(error) if result.is_err() => log::error!("{}", error.chain()),
            Some(error) => result = Err(*error),
            None => {}
        }
    }
    all.and(result)
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

/// Returns whether the file is an object of the local store. Such objects have the same names as kept files, and are
/// where they belong.
fn is_stored_here(path: &Path, store: &StoreUrl) -> bool {
    let Some(dir) = store.local_dir() else { return false };
    let absolute = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    !journal::path_for(path).exists() && absolute(path).starts_with(absolute(dir))
}
