//! `dump`: which JVM, whose turn; then the run itself.

pub mod conditions;
pub mod context;
pub mod keep;
pub mod redact;
pub mod run;
pub mod sealed;
pub mod single_run;
pub mod stage;
pub mod stored;
pub mod streamed;

use std::path::Path;

use super::{Outcome, WatchSignals, new_receipt, start_clock, tell};
use crate::base::deadline::Deadline;
use crate::cli::DumpArgs;
use crate::error::Error;
use crate::guard;
use crate::jvm::{PROC, select};
use crate::settings::DumpSettings;
use crate::store::url::StoreUrl;
use run::Run;
use single_run::SingleRun;

pub fn run(args: &DumpArgs, watch_signals: &mut WatchSignals<'_>) -> Outcome {
    let settings = match DumpSettings::of_dump(args) {
        Ok(settings) => settings,
        Err(error) => return Outcome::failed(error),
    };
    let aside = settings.common.store.url == StoreUrl::Stdout;
    match start_clock(settings.common.deadline, watch_signals) {
        Ok(deadline) => match find_and_dump(&settings, &deadline) {
            Ok(outcome) => outcome,
            Err(error) => tell(new_receipt(&settings.common.place), Err(error), settings.common.output, aside).0,
        },
        Err(error) => Outcome::failed(error),
    }
}

fn find_and_dump(settings: &DumpSettings, deadline: &Deadline) -> Result<Outcome, Error> {
    let jvm = select(Path::new(PROC), &settings.target.selection)?;
    let turn = SingleRun::take(&jvm, deadline)?;
    let _watch = guard::start(settings.common.deadline).inspect_err(|error| {
        log::warn!("no guard: {error}; if this run is killed, it leaves its files");
    });
    let mut run = Run::new(settings, deadline, &jvm, turn);
    let result = run.all_stages();
    drop(run.progress);
    let aside = settings.common.store.url == StoreUrl::Stdout;
    Ok(tell(run.receipt, result, settings.common.output, aside).0)
}
