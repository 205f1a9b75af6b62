//! The binary: parses the command line, starts the log, runs the command, prints the answer and returns the exit
//! status.

#![forbid(unsafe_code)]

use std::io::{self, IsTerminal, Write};
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

/// Prints one line and returns status 1. A panic in any thread is a fault of this program, so the status of the run
/// does not count.
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
            // The message of clap repeats unknown words. They may contain control characters, so clap parses printable
            // words once more.
            let words = printable_words(std::env::args_os());
            let error = Cli::read(words).err().unwrap_or(error);
            // A closed standard output does not change the exit status.
            let _ = error.print();
            return ExitCode::from(error.exit_code().clamp(0, 2) as u8);
        }
    };
    let copy = cli.log_to().map(|path| (log_copy::start(&path), path));
    if let Some(doubt) = cli.doubt.as_deref().filter(|_| is_at_a_terminal()) {
        return refuse(doubt);
    }
    start_log(cli.verbose);
    if let Some(doubt) = &cli.doubt {
        log::warn!("{doubt}; this dumps");
    }
    commands::warn_of_unknown_variables();
    if let Err(error) = closed {
        log::warn!("other processes of this user may read the memory of this one: {error}");
    }
    if let Some((Err(error), path)) = copy {
        log::warn!("cannot write to {}, which --log-to names: {error}", path.display());
    }
    let ended = commands::run(&cli, &mut |deadline, linger| {
        watch_signals(deadline);
        watch_end(deadline, linger, cli.command.verb());
    });
    IS_OVER.store(true, Ordering::Relaxed);
    match ended {
        Ok(answer) => match tell(&answer) {
            // An answer that nobody got changes nothing of what was done, if anything else was.
            Err(error) if cli.command.only_answers() && error.kind() != io::ErrorKind::BrokenPipe => {
                ExitCode::from(report(&Error::Untold(error), cli.command.verb()))
            }
            _ => ExitCode::SUCCESS,
        },
        Err(failed) => {
            let _ = tell(&failed.answer);
            ExitCode::from(report(&failed.error, cli.command.verb()))
        }
    }
}

/// Returns the task of this process if its name is that of a guard or a holder.
fn companion_task() -> Option<fn()> {
    match std::env::args_os().next()?.to_str()? {
        guard::NAME => Some(commands::guard::keep_watch),
        holder::NAME => Some(holder::hold_pipes),
        _ => None,
    }
}

/// Starts the log on stderr. Standard output carries the receipt or the dump.
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
    // Each record stays one line, even if other people's text in it contains line breaks.
    builder.format(|out, record| {
        let (time, level) = (out.timestamp_seconds(), record.level());
        writeln!(out, "[{time} {level:<5}] {}", printable(&record.args().to_string()))
    });
    builder.parse_default_env().init();
}

/// Ends the run in order at the first SIGTERM or SIGINT. SIGHUP ends nothing: the terminal is gone, but the dump is
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

/// True once the command has returned, with or without an error.
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// A run that goes on so long after its deadline or signal, without any progress, hangs in a call to the kernel.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Starts a thread that ends a run that hangs, for example at a network file system whose server is gone. The guard, a
/// second process, then undoes what the run has made. `linger` is the time that the run may take after its deadline or
/// signal.
fn watch_end(deadline: &Deadline, linger: Duration, verb: &'static str) {
    let deadline = deadline.clone();
    let watching = std::thread::Builder::new().spawn(move || {
        let reason = deadline.watch_over(linger + ENDS_WITHIN);
        // The command has returned. Only its answer is still to be read, and [`print`] has its own time limit.
        if IS_OVER.load(Ordering::Relaxed) {
            return;
        }
        let error = Error::Hung { reason, seconds: (linger + ENDS_WITHIN).as_secs() };
        std::process::exit(report(&error, verb).into())
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

/// A user may page through a long answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The receipt and the error matter more than a line of the log, which waits for a shorter time.
const ASIDE_PATIENCE: Duration = Duration::from_secs(10);

/// Returns whether a person types: a dump that was not meant costs that person's application a pause.
fn is_at_a_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal()
}

/// Prints why the words may not be what was meant.
fn refuse(doubt: &str) -> ExitCode {
    let text = format!("error: {doubt}\n");
    log_copy::add(&text);
    let _ = write_within(std::io::stderr().lock(), printable_lines(&text).as_bytes(), ASIDE_PATIENCE);
    ExitCode::from(2)
}

/// Prints what went wrong and what to do next. Returns the exit status.
fn report(error: &Error, verb: &str) -> u8 {
    if panics::first().is_some() {
        // [`report_panic`] prints the only line that matters.
        return 1;
    }
    let text = format!("error: {}\n{}\n", error.chain(), error.hint(verb));
    log_copy::add(&text);
    let _ = write_within(std::io::stderr().lock(), printable_lines(&text).as_bytes(), ASIDE_PATIENCE);
    error.exit_code()
}
