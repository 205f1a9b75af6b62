//! The edge: parse, log, run, print, exit code.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jmap_dump_tool::cli::Cli;
use jmap_dump_tool::commands::{self, Answer};
use jmap_dump_tool::deadline::{Deadline, Reason};
use jmap_dump_tool::error::Error;
use jmap_dump_tool::guard;
use jmap_dump_tool::holder;
use jmap_dump_tool::log_copy;
use jmap_dump_tool::output::{Stderr, write_answer, write_within};
use jmap_dump_tool::printable::{printable, printable_lines, printable_words};
use jmap_dump_tool::{panics, private, private_memory};
use log::LevelFilter;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    panics::note_all();
    match panics::caught(run) {
        Ok(code) if panics::first().is_none() => code,
        _ => report_panic(),
    }
}

/// One line, and 1: whichever thread it was, the program has a fault, and no other status tells it.
fn report_panic() -> ExitCode {
    let what = panics::first().unwrap_or_default();
    let text = format!("error: this program has a fault, {what}; report this line with the output of -v\n");
    log_copy::add(&text);
    let _ = Stderr.write_all(text.as_bytes());
    ExitCode::FAILURE
}

fn run() -> ExitCode {
    private::keep_rights_of_owner();
    if let Some(task) = companion_task() {
        task();
        return ExitCode::SUCCESS;
    }
    let closed = private_memory::close();
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // It repeats the words that it does not know: they may have come from anywhere.
            let words = printable_words(std::env::args_os());
            let error = Cli::read(words).err().unwrap_or(error);
            // A reader that went away is no reason for another code.
            let _ = error.print();
            return ExitCode::from(error.exit_code().clamp(0, 2) as u8);
        }
    };
    let copy = cli.log_to().map(|path| (log_copy::start(&path), path));
    start_log(cli.verbose);
    if let Err(error) = closed {
        log::warn!("other processes of this user may read the memory of this one: {error}");
    }
    if let Some((Err(error), path)) = copy {
        log::warn!("cannot write to {}, which --log-to names: {error}", path.display());
    }
    let ended = commands::run(&cli, &mut |deadline, linger| {
        watch_signals(deadline);
        watch_end(deadline, linger);
    });
    IS_OVER.store(true, Ordering::Relaxed);
    match ended {
        Ok(answer) => match tell(&answer) {
            // An answer that nobody got changes nothing of what was done, if anything else was.
            Err(error) if cli.command.only_answers() && error.kind() != io::ErrorKind::BrokenPipe => {
                ExitCode::from(report(&Error::Untold(error)))
            }
            _ => ExitCode::SUCCESS,
        },
        Err(failed) => {
            let _ = tell(&failed.answer);
            ExitCode::from(report(&failed.error))
        }
    }
}

/// What this process does for the run that started it, if its name says so.
fn companion_task() -> Option<fn()> {
    match std::env::args_os().next()?.to_str()? {
        guard::NAME => Some(commands::guard::keep_watch),
        holder::NAME => Some(holder::hold_pipes),
        _ => None,
    }
}

/// stderr only: stdout carries the receipt, or the dump.
fn start_log(verbosity: u8) {
    let level = match verbosity {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(LevelFilter::Warn).filter_module("jmap_dump_tool", level);
    if verbosity > 2 {
        builder.filter_level(LevelFilter::Trace);
    }
    builder.target(env_logger::Target::Pipe(Box::new(log_copy::Both)));
    // A record is a line: what others have written may be in it.
    builder.format(|out, record| {
        let (time, level) = (out.timestamp_seconds(), record.level());
        writeln!(out, "[{time} {level:<5}] {}", printable(&record.args().to_string()))
    });
    builder.parse_default_env().init();
}

/// The first SIGTERM or SIGINT ends the run in order. SIGHUP ends nothing: the terminal went away, the dump is
/// still wanted.
fn watch_signals(deadline: &Deadline) {
    let cancel = std::sync::Arc::clone(deadline.cancel());
    let watching = Signals::new([SIGINT, SIGTERM, SIGHUP]).and_then(|mut signals| {
        std::thread::Builder::new().spawn(move || {
            for signal in signals.forever().filter(|signal| *signal != SIGHUP) {
                cancel.trip(Reason::Signal(signal));
            }
        })
    });
    if let Err(error) = watching {
        log::warn!("signals do not end this run: {error}");
    }
}

/// The work is done, however it went.
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// A run that has not ended by itself so long after its end hangs in a call to the kernel.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Ends a run that hangs, for example at a network file system whose server has gone. The guard, a process of its own,
/// undoes what the run has made. `linger` is what the run may take for itself after its end.
fn watch_end(deadline: &Deadline, linger: Duration) {
    let deadline = deadline.clone();
    let watching = std::thread::Builder::new().spawn(move || {
        let reason = deadline.watch_over(linger + ENDS_WITHIN);
        // What is left to be done is to be read.
        if IS_OVER.load(Ordering::Relaxed) {
            return;
        }
        let error = Error::Hung { reason, seconds: (linger + ENDS_WITHIN).as_secs() };
        std::process::exit(report(&error).into())
    });
    if let Err(error) = watching {
        log::warn!("a run that hangs at a disk will not be ended: {error}");
    }
}

fn tell(answer: &Answer) -> io::Result<()> {
    log_copy::add(&answer.text);
    let text = printable_lines(&answer.text);
    if answer.aside {
        return write_within(io::stderr().lock(), text.as_bytes(), ASIDE_PATIENCE);
    }
    write_answer(text.as_bytes(), ANSWER_PATIENCE)
}

/// Somebody may page through a long answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The last words matter more than a line of the log.
const ASIDE_PATIENCE: Duration = Duration::from_secs(10);

/// Says what went wrong and what to do next; gives the exit status.
fn report(error: &Error) -> u8 {
    if panics::first().is_some() {
        // That line tells it all.
        return 1;
    }
    let text = format!("error: {}\n{}\n", error.chain(), error.hint());
    log_copy::add(&text);
    let _ = write_within(std::io::stderr().lock(), printable_lines(&text).as_bytes(), ASIDE_PATIENCE);
    error.exit_code()
}
