//! One file per verb. Each file reads as the list of its stages.

mod arm;
mod artefacts;
mod check;
mod diff;
mod dump;
mod fetch;
pub mod guard;
mod install;
mod link;
mod list;
mod notifier;
mod presign;
mod ps;
mod status;
mod take;
mod upload;
mod verify;
mod watch;

use std::time::Duration;

use crate::base::deadline::Deadline;
use crate::base::printable::printable_lines;
use crate::cli::{Cli, Command};
use crate::error::Error;
use crate::files::open_limit;
use crate::heap_dump::RoomError;
use crate::object::receipt::Receipt;
use crate::settings::Output;
pub use crate::settings::warn_of_unknown_variables;
use crate::store::url::StoreUrl;
use crate::store::{StoreError, StoreReader};
use crate::terminal::output::write_within;
use notifier::Notifier;

/// The text that a command leaves for `main` to print on standard output.
#[derive(Debug, Default)]
pub struct Answer {
    pub text: String,
    /// True if standard output carries the dump. Then the text goes to standard error.
    pub aside: bool,
}

/// A command that did not end with 0.
#[derive(Debug)]
pub struct Failed {
    pub error: Box<Error>,
    /// The receipt, or as much of it as is known.
    pub answer: Answer,
}

impl<E: Into<Error>> From<E> for Failed {
    /// Converts an error that came before there was anything to report.
    fn from(error: E) -> Self {
        Self { error: Box::new(error.into()), answer: Answer::default() }
    }
}

impl Answer {
    fn of(text: String) -> Self {
        Self { text, aside: false }
    }

    /// Returns this answer together with the result of the command.
    fn and(self, result: Result<(), Error>) -> Result<Self, Failed> {
        match result {
            Ok(()) => Ok(self),
            Err(error) => Err(Failed { error: Box::new(error), answer: self }),
        }
    }
}

/// A function that gets the run's deadline as soon as it is known, and how long the run may go on after its end.
pub type WatchSignals<'a> = dyn FnMut(&Deadline, Duration) + 'a;

/// Runs a command.
///
/// # Errors
/// One for each exit status.
pub fn run(cli: &Cli, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let flags = &cli.flags;
    match &cli.command {
        Command::Dump(args) => dump::run(args, flags, watch_signals),
        Command::Take(args) => take::run(args, flags, watch_signals),
        Command::Upload(args) => upload::run(args, flags, watch_signals),
        Command::Watch(args) => watch::run(args, flags, watch_signals),
        Command::List(args) => list::run(args, flags, watch_signals),
        Command::Fetch(args) => fetch::run(args, flags, watch_signals),
        Command::Diff(args) => diff::run(args, flags, watch_signals),
        Command::Presign(args) => presign::run(args, flags, watch_signals),
        Command::Status(args) => status::run(args),
        Command::Verify(args) => verify::run(args, flags),
        Command::Ps(_) => ps::run(flags),
        Command::Arm(args) => arm::run(args, flags, watch_signals),
        Command::Install(args) => install::run(args),
        Command::Check(args) => check::run(args, flags, watch_signals),
    }
}

/// Starts the run's clock, and passes it to `watch_signals`.
fn start_clock(limit: Duration, watch_signals: &mut WatchSignals<'_>) -> Result<Deadline, Error> {
    start_clock_that_lingers(limit, Duration::ZERO, watch_signals)
}

/// Starts the clock of a run that goes on for `linger` when its end has come.
fn start_clock_that_lingers(
    limit: Duration,
    linger: Duration,
    watch_signals: &mut WatchSignals<'_>,
) -> Result<Deadline, Error> {
    open_limit::ensure().map_err(RoomError::from)?;
    let deadline = Deadline::after(limit)
        .map_err(|source| Error::Unexpected { what: "cannot start the run's clock".into(), source })?;
    watch_signals(&deadline, linger);
    Ok(deadline)
}

/// Returns the receipt at this key; `None` if there is none.
fn read_receipt(reader: &StoreReader, key: String) -> Result<Option<Receipt>, StoreError> {
    let Some(json) = reader.read_if_there(&key)? else { return Ok(None) };
    serde_json::from_slice(&json).map(Some).map_err(|source| StoreError::Receipt { key, source })
}

/// Time for which a reader of standard output may stall before it misses the rest.
const EMIT_WITHIN: Duration = Duration::from_secs(1);

/// Prints a receipt of a command that goes on. If the reader is gone or does not read, the command still does all its
/// work.
fn emit(text: &str) {
    crate::terminal::log_copy::add(text);
    let _ = write_within(std::io::stdout().lock(), printable_lines(text).as_bytes(), EMIT_WITHIN);
}

/// Sends the notice of a run that is over, and returns its receipt in the form that the user asked for.
fn tell(
    mut receipt: Receipt,
    result: Result<(), Error>,
    verb: &str,
    notifier: &Notifier<'_>,
) -> Result<Answer, Failed> {
    if let Err(error) = &result {
        receipt.exit_code = error.exit_code();
        receipt.error = Some(crate::object::receipt::Failure { message: error.chain(), hint: error.hint(verb) });
    }
    if let Some(why) = notifier.notice_of(&receipt).and_then(|notice| notifier.send(&notice)) {
        receipt.warn(format!("{NOT_SENT}{why}"));
    }
    let settings = notifier.settings;
    let aside = settings.store.url == StoreUrl::Stdout;
    Answer { text: receipt_text(&receipt, settings.output), aside }.and(result)
}

/// Start of the warning of a notice that was not taken.
const NOT_SENT: &str = "the notice was not sent: ";

fn receipt_text(receipt: &Receipt, output: Output) -> String {
    match output {
        Output::Text => receipt.to_string(),
        Output::Json => receipt.to_json().unwrap_or_default() + "\n",
    }
}
