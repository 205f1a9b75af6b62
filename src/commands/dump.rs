//! `dump`: which JVM, whose turn; then the run itself.

use std::path::Path;

use super::dump_run::Run;
use super::link::add_link;
use super::{Answer, Outcome, WatchSignals, new_receipt, start_clock, tell};
use crate::cli::DumpArgs;
use crate::deadline::Deadline;
use crate::discovery::{PROC, select};
use crate::error::Error;
use crate::guard;
use crate::settings::{DumpSettings, Output};
use crate::single_run::{SingleRun, Turn};
use crate::store::receipt::Receipt;
use crate::store::url::StoreUrl;

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
    match SingleRun::take(&jvm, &wish(settings), deadline)? {
        Turn::Theirs(receipt) => retell(&receipt, settings, deadline),
        Turn::Ours(turn, waited_since) => {
            let _watch = guard::start(settings.common.deadline).inspect_err(|error| {
                log::warn!("no guard: {error}; if this run is killed, it leaves its files");
            });
            let mut run = Run::new(settings, deadline, &jvm, turn, waited_since);
            let result = run.all_stages();
            drop(run.progress);
            let turn = run.turn.take();
            let aside = settings.common.store.url == StoreUrl::Stdout;
            let (outcome, json) = tell(run.receipt, result, settings.common.output, aside);
            if let Some(turn) = turn {
                turn.tell(&json);
            }
            Ok(outcome)
        }
    }
}

/// What this run is for: only another with the same wish can stand in for it. A dump that goes to our standard
/// output, and a dry run, are nobody else's.
fn wish(settings: &DumpSettings) -> String {
    let store = &settings.common.store;
    if store.url == StoreUrl::Stdout || settings.dry_run {
        return format!("of process {}", std::process::id());
    }
    let endpoint = store.endpoint.as_deref().unwrap_or_default();
    let (redact, encryption) = (&settings.common.redact, (store.encryption, &store.kms_key_id));
    let (place, live) = (&settings.common.place, settings.target.live);
    format!("{} {endpoint} {place} live={live} {redact:?} {encryption:?}", store.url)
}

/// The receipt of the run that was faster, as our own, but for the link: that run may not have been asked for one.
fn retell(json: &str, settings: &DumpSettings, deadline: &Deadline) -> Result<Outcome, Error> {
    let mut receipt: Receipt = serde_json::from_str(json).map_err(|error| Error::Unexpected {
        what: "cannot read the other run's receipt".into(),
        source: std::io::Error::other(error),
    })?;
    let stored = receipt.object.as_ref().map(|object| object.key.clone());
    if let Some(key) = stored.filter(|_| settings.link.is_some()) {
        (receipt.link, receipt.link_until) = (None, None);
        add_link(&mut receipt, &key, settings, deadline);
    }
    let text = match settings.common.output {
        Output::Text => receipt.to_string(),
        Output::Json => receipt.to_json().unwrap_or_default() + "\n",
    };
    let code = receipt.exit_code;
    let result = if code == 0 { Ok(()) } else { Err(Error::OtherRun(code)) };
    Ok(Outcome { result, answer: Some(Answer { text, aside: false }) })
}
