//! `dump`: selects the JVM, takes the turn, and starts the run itself.

pub mod conditions;
pub mod context;
pub mod destination;
pub mod keep;
pub mod redact;
pub mod run;
pub mod sealed;
pub mod stage;
pub mod stored;
pub mod streamed;
pub mod turn;

use std::path::Path;

use super::notifier::Notifier;
use super::{Answer, Failed, WatchSignals, start_clock, tell};
use crate::base::deadline::Deadline;
use crate::cli::{DumpArgs, Flags};
use crate::error::Error;
use crate::guard;
use crate::jvm::{PROC, select};
use crate::object::receipt::Receipt;
use crate::settings::DumpSettings;
use run::Run;
use turn::Turn;

pub fn run(args: &DumpArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let settings = DumpSettings::of_dump(args, flags)?;
    let deadline = start_clock(settings.common.deadline, watch_signals)?;
    let (receipt, result) = find_and_dump(&settings, &deadline);
    tell(receipt, result, "dump", &Notifier::new(&settings.common, &deadline))
}

pub fn find_and_dump(settings: &DumpSettings, deadline: &Deadline) -> (Receipt, Result<(), Error>) {
    let nothing_done = |error: Error| {
        let receipt = settings.common.new_receipt();
        let error = error.beside(&receipt, false);
        (receipt, Err(error))
    };
    let jvm = match select(Path::new(PROC), &settings.target.selection) {
        Ok(jvm) => jvm,
        Err(error) => return nothing_done(error.into()),
    };
    let turn = match Turn::take(&jvm, deadline) {
        Ok(turn) => turn,
        Err(stopped) => return nothing_done(stopped.into()),
    };
    let _watch = guard::start(settings.common.deadline).inspect_err(|error| {
        log::warn!("no guard: {error}; if this run is killed, it leaves its files");
    });
    let mut run = Run::new(settings, deadline, &jvm, turn);
    let result = run.all_stages().map_err(|error| error.beside(&run.receipt, run.jvm_writes));
    if result.is_ok() {
        run.progress.done();
    }
    drop(run.progress);
    (run.receipt, result)
}
