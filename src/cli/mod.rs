//! Flags and help text only. `settings` checks the values.

mod args;
mod diff;
mod groups;
mod help;
mod take;
mod words;

use std::collections::BTreeMap;
use std::ffi::OsString;

pub use args::*;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
pub use diff::DiffArgs;
pub use groups::*;
pub use take::TakeArgs;
pub use words::{FILE_KEYS, fitting, near_key};

/// Behind all flags of a verb.
const LAST: usize = 1000;

/// Gets the heap dump out of a JVM: attach, dump, compress, verify, store.
#[derive(Debug, Parser)]
#[command(version = crate::VERSION, arg_required_else_help = true, args_override_self = true)]
#[command(override_usage = "jmap-dump-tool [OPTIONS] PROJECT APP ENV\n       jmap-dump-tool COMMAND …")]
#[command(help_template = help::TEMPLATE, before_help = help::THREE_WORDS, after_help = help::STORES_AND_STATUS)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Say more on standard error; -vv says everything
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = ADVANCED, display_order = LAST)]
    pub verbose: u8,
    /// Copy messages and the receipt to this file; /proc/1/fd/1 is the pod's log
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = ADVANCED)]
    #[arg(display_order = LAST)]
    log_to: Option<OsString>,
    /// The flags that are settings, as they were given.
    #[arg(skip)]
    pub flags: Flags,
    /// Why the words may not be what was meant. They are a dump all the same.
    #[arg(skip)]
    pub doubt: Option<String>,
}

/// Settings on the command line, by key, as text.
#[derive(Debug, Clone, Default)]
pub struct Flags(pub BTreeMap<String, String>);

/// Flags that apply to one run only. They have no environment variable and no key in a settings file.
const PER_RUN: &[&str] = &[
    "resume",
    "delete",
    "allow_truncated",
    "to",
    "path",
    "no_attach",
    "config",
    "log_to",
    "verbose",
    "help",
    "version",
];

/// Returns the separator between the values of a flag that is given several times, or of a list in a file.
pub fn separator(key: &str) -> &'static str {
    if key == "dir" { ":" } else { "," }
}

/// Returns the key of each flag that is a setting. Its environment variable is `JMAP_DUMP_KEY`.
pub fn keys() -> Vec<String> {
    let command = Cli::command();
    let flags = command.get_subcommands().flat_map(clap::Command::get_arguments).filter_map(key);
    let mut keys: Vec<String> = flags.collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Returns the key of a flag. `None` for arguments and for flags of one run.
fn key(flag: &clap::Arg) -> Option<String> {
    let key = flag.get_long()?.replace('-', "_");
    (!PER_RUN.contains(&key.as_str())).then_some(key)
}

/// A flag that is a setting, as a verb offers it.
#[cfg(test)]
#[derive(Debug)]
pub struct Offered {
    pub key: String,
    /// All words that it takes. Empty if it takes any text.
    pub values: Vec<String>,
}

/// Returns the flags of a verb that are settings.
#[cfg(test)]
pub fn flags_of(verb: &str) -> Vec<Offered> {
    let command = Cli::command();
    let flags = command.find_subcommand(verb).into_iter().flat_map(clap::Command::get_arguments);
    let offered = |flag: &clap::Arg| {
        let is_switch = !flag.get_action().takes_values();
        let words = flag.get_possible_values().into_iter().map(|value| value.get_name().to_owned());
        Some(Offered { key: key(flag)?, values: if is_switch { Vec::new() } else { words.collect() } })
    };
    flags.filter_map(offered).collect()
}

impl Flags {
    fn of(verb: &clap::Command, matches: &ArgMatches) -> Self {
        let given = verb.get_arguments().filter_map(|flag| {
            let (id, key) = (flag.get_id().as_str(), key(flag)?);
            let is_given = matches.value_source(id) == Some(ValueSource::CommandLine);
            let texts = matches.get_raw(id).filter(|_| is_given)?.map(|text| text.to_string_lossy());
            let text = texts.collect::<Vec<_>>().join(separator(&key));
            Some((key, text))
        });
        Self(given.collect())
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Dump a JVM, and store the dump; the word 'dump' may be left out
    #[command(after_help = help::DUMP)]
    Dump(DumpArgs),
    /// Store threads, class histogram, native memory or facts of a JVM
    #[command(after_help = help::TAKE)]
    Take(TakeArgs),
    /// List the JVMs here, and say whether each can be dumped
    #[command(after_help = help::PS)]
    Ps(PsArgs),
    /// Check attach, disk space and store without dumping
    #[command(after_help = help::CHECK)]
    Check(CheckArgs),
    /// Store a dump that is already a file
    #[command(after_help = help::UPLOAD)]
    Upload(UploadArgs),
    /// Store each dump that appears in a directory; the sidecar
    #[command(after_help = help::WATCH)]
    Watch(WatchArgs),
    /// Report the health of a watcher; for liveness probes
    #[command(after_help = help::STATUS)]
    Status(StatusArgs),
    /// List what is in the store, newest first
    #[command(after_help = help::LIST)]
    List(ListArgs),
    /// Download objects from the store, and verify them
    #[command(after_help = help::FETCH)]
    Fetch(FetchArgs),
    /// Compare two dumps by their receipts: which classes have grown
    #[command(after_help = help::DIFF)]
    Diff(DiffArgs),
    /// Create a signed URL that allows one upload without credentials
    #[command(after_help = help::PRESIGN)]
    Presign(PresignArgs),
    /// Check whether a dump, plain or gzipped, is whole
    #[command(after_help = help::VERIFY)]
    Verify(VerifyArgs),
    /// Have a running JVM write its heap on OutOfMemoryError
    #[command(after_help = help::ARM)]
    Arm(ArmArgs),
    /// Copy this program and its settings file into a directory
    #[command(after_help = help::INSTALL)]
    Install(InstallArgs),
}

impl Command {
    /// Returns the verb, by which hints are worded.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Dump(_) => "dump",
            Self::Ps(_) => "ps",
            Self::Check(_) => "check",
            Self::Take(_) => "take",
            Self::Upload(_) => "upload",
            Self::Watch(_) => "watch",
            Self::Status(_) => "status",
            Self::List(_) => "list",
            Self::Fetch(_) => "fetch",
            Self::Diff(_) => "diff",
            Self::Presign(_) => "presign",
            Self::Verify(_) => "verify",
            Self::Arm(_) => "arm",
            Self::Install(_) => "install",
        }
    }

    /// All that it does is to answer.
    pub fn only_answers(&self) -> bool {
        matches!(self, Self::Ps(_) | Self::List(_) | Self::Diff(_) | Self::Presign(_))
    }
}

/// Words that begin another command than the oldest one.
const COMMANDS: &[&str] = &[
    "dump",
    take::VERB,
    "ps",
    "check",
    "upload",
    "watch",
    "status",
    "list",
    "fetch",
    diff::VERB,
    "presign",
    "verify",
    "arm",
    "install",
    "help",
    "--help",
    "-h",
    "--version",
    "-V",
];

impl Cli {
    /// Reads the command line. If the first word is no command, `dump` is put before it: the oldest form of the command
    /// line is the three words PROJECT APP ENV.
    ///
    /// # Errors
    /// clap's own error, which prints itself.
    pub fn read(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let mut words: Vec<_> = words.into_iter().collect();
        let is_bare = words.get(1).is_some_and(|word| !COMMANDS.iter().any(|command| word == command));
        let is_named_like_a_verb = take::is_project(&words) || diff::is_project(&words);
        if is_bare || is_named_like_a_verb {
            words.insert(1, "dump".into());
        }
        let words = with_values_joined(words);
        let mut definition = Self::command();
        let matches = definition.try_get_matches_from_mut(&words);
        let matches = matches.map_err(|error| words::explained(error, &words, is_bare))?;
        let mut cli = Self::from_arg_matches(&matches)?;
        if let (Command::Dump(args), true) = (&cli.command, is_bare) {
            cli.doubt = words::doubt(&definition, &args.place.project)?;
        }
        if let (Command::Dump(args), true) = (&cli.command, is_named_like_a_verb) {
            cli.doubt = Some(words::few_words(&args.place.project));
        }
        if let Some((verb, matches)) = matches.subcommand()
            && let Some(verb) = definition.find_subcommand(verb)
        {
            cli.flags = Flags::of(verb, matches);
        }
        Ok(cli)
    }

    /// Returns the file for the copy of the log, from the flag or its variable. The log starts before the settings are
    /// read.
    pub fn log_to(&self) -> Option<OsString> {
        let variable = || std::env::var_os("JMAP_DUMP_LOG_TO").filter(|path| !path.is_empty());
        self.log_to.clone().or_else(variable)
    }
}

/// Joins `--redact all` to `--redact=all`. Before any other word, `--redact` has no value, because that word is the
/// project.
fn with_values_joined(words: Vec<OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for word in words {
        match joined.last_mut() {
            Some(last) if last == "--redact" && (word == "all" || word == "strings") => {
                last.push("=");
                last.push(word);
            }
            _ => joined.push(word),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::read(std::iter::once("jmap-dump-tool").chain(words.iter().copied()).map(Into::into))
    }

    #[test]
    fn three_bare_words_are_a_dump() {
        for words in
            [&["shop", "cart", "prod"][..], &["dump", "shop", "cart", "prod"], &["--all", "shop", "cart", "prod"]]
        {
            let Command::Dump(args) = read(words).unwrap().command else { panic!("{words:?}") };
            assert_eq!((args.place.project.as_str(), args.place.env.as_str()), ("shop", "prod"));
        }
    }

    #[test]
    fn redact_takes_no_word_but_its_own() {
        for (words, redact) in [
            (&["--redact", "shop", "cart", "prod"][..], "strings"),
            (&["--redact", "all", "shop", "cart", "prod"], "all"),
            (&["shop", "cart", "prod", "--redact=all"], "all"),
        ] {
            let Command::Dump(args) = read(words).unwrap().command else { panic!("{words:?}") };
            assert_eq!((args.redact.redact.as_deref(), args.place.project.as_str()), (Some(redact), "shop"));
        }
    }

    #[test]
    fn a_missing_word_is_a_usage_error() {
        assert_eq!(read(&["shop", "cart"]).unwrap_err().exit_code(), 2);
        assert_eq!(read(&[]).unwrap_err().exit_code(), 2);
        assert_eq!(read(&["--version"]).unwrap_err().exit_code(), 0);
    }

    #[test]
    fn flags_are_read_by_their_keys() {
        let words =
            ["--dir", "/a", "--dir=/b", "-v", "--if", "heap>1%", "--if", "memory>2%", "--all", "shop", "cart", "prod"];
        let flags = read(&words).unwrap().flags.0;
        let given: Vec<_> = flags.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        assert_eq!(given, [("all", "true"), ("dir", "/a:/b"), ("if", "heap>1%,memory>2%")]);
        assert!(keys().iter().any(|key| key == "path_style") && keys().iter().all(|key| key != "delete"));
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
