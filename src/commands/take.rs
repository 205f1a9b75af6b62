//! `take`: threads, class histogram, memory and facts of a JVM, each as an object of its own.

use std::path::Path;

use chrono::Utc;

use super::artefacts::{Taken, Taking};
use super::dump::run::facts_of;
use super::dump::turn::Turn;
use super::notifier::Notifier;
use super::upload::all_of;
use super::{Answer, Failed, WatchSignals, start_clock, tell};
use crate::base::deadline::Deadline;
use crate::cli::{Flags, TakeArgs};
use crate::guard;
use crate::jvm::{Jvm, PROC, select};
use crate::object::key::ObjectKey;
use crate::object::receipt::Receipt;
use crate::settings::TakeSettings;
use crate::terminal::progress::Progress;

pub fn run(args: &TakeArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let settings = TakeSettings::of_take(args, flags)?;
    let deadline = start_clock(settings.common.deadline, watch_signals)?;
    let taken = find_and_take(&settings, &deadline);
    let notifier = Notifier::new(&settings.common, &deadline);
    all_of(taken.into_iter().map(|(receipt, result)| tell(receipt, result, "take", &notifier)).collect())
}

fn find_and_take(settings: &TakeSettings, deadline: &Deadline) -> Vec<Taken> {
    match select(Path::new(PROC), &settings.target.selection) {
        Ok(jvm) => take(settings, &jvm, deadline),
        Err(error) => vec![(begun(settings), Err(error.into()))],
    }
}

fn begun(settings: &TakeSettings) -> Receipt {
    Receipt { reason: settings.reason.clone(), ..settings.common.new_receipt() }
}

/// Takes the artefacts of this JVM.
pub fn take(settings: &TakeSettings, jvm: &Jvm, deadline: &Deadline) -> Vec<Taken> {
    let receipt = Receipt { jvm: Some(facts_of(jvm)), ..begun(settings) };
    // An attach listener answers one run after the other, and two runs would have one attach file.
    let _turn = match Turn::take(jvm, deadline) {
        Ok(turn) => turn,
        Err(stopped) => return vec![(receipt, Err(stopped.into()))],
    };
    let _watch = guard::start(settings.common.deadline).inspect_err(|error| {
        log::warn!("no guard: {error}; if this run is killed, it leaves its files");
    });
    log::info!("taking {} of {}", settings.words(), jvm.describe());
    let key = ObjectKey::new(&settings.common.place, Utc::now(), &receipt.pod.name, jvm.pid(), &receipt.run_id);
    let progress = Progress::start();
    let taking = Taking {
        jvm,
        settings: &settings.common,
        attach_timeout: settings.target.attach_timeout,
        progress: &progress,
        deadline,
        key: &key,
        receipt: &receipt,
    };
    taking.all(&settings.kinds, None)
}
