//! The arguments of `take`, and the words that still mean a dump.

use std::ffi::OsString;

use clap::Args;

use super::groups::*;
use super::words::place_of_dump;

/// The word of the verb.
pub(super) const VERB: &str = "take";

#[derive(Debug, Args)]
#[command(override_usage = "jmap-dump-tool take [OPTIONS] KIND[,KIND…] PROJECT APP ENV")]
pub struct TakeArgs {
    /// What to take: threads, histogram, memory, info; several with ',' between
    #[arg(value_name = "KIND[,KIND…]")]
    pub kinds: String,
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Why it is taken, for its receipt
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub requester: RequesterArgs,
    #[command(flatten)]
    pub jvm: JvmArgs,
    #[command(flatten, next_help_heading = WHERE_TO)]
    pub store: StoreArgs,
    #[command(flatten, next_help_heading = WHEN)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub reach: ReachArgs,
    #[command(flatten)]
    pub user: UserArgs,
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    #[command(flatten)]
    pub reader: ReaderArgs,
    #[command(flatten)]
    pub compress: CompressArgs,
    #[command(flatten)]
    pub attach: AttachArgs,
    #[command(flatten, next_help_heading = ADVANCED)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Returns whether the first word is the project of a dump: the words are a whole command line of `dump`. The oldest
/// form of the command line has three words, and a project may have the name of a later verb. `take` needs four words,
/// so no words can be both.
pub(super) fn is_project(words: &[OsString]) -> bool {
    place_of_dump(words, VERB).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;

    fn read(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("jmap-dump-tool").chain(line.split(' ')).map(OsString::from);
        Cli::read(words).map(|cli| cli.command)
    }

    #[test]
    fn three_words_dump_also_if_the_first_is_take() {
        for line in [
            "take cart prod",
            "take threads prod",
            "take histogram memory",
            "take cart prod --requested-by anna",
            "take --all cart prod",
            "take --redact all cart prod",
            "take --redact cart prod",
            "take --pid 7 threads prod",
            "dump take threads prod",
        ] {
            let Ok(Command::Dump(args)) = read(line) else { panic!("{line}: {:?}", read(line)) };
            assert_eq!(args.place.project, "take", "{line}");
        }
    }

    #[test]
    fn four_words_are_the_verb_wherever_its_flags_stand() {
        for line in [
            "take threads shop cart prod",
            "take threads,info shop cart prod --deadline 5s",
            "take --pid 7 threads shop cart prod",
            "take threads --reason because take take take",
            "take no-kind shop cart prod",
        ] {
            let Ok(Command::Take(args)) = read(line) else { panic!("{line}: {:?}", read(line)) };
            assert!(!args.kinds.is_empty() && args.place.env == "prod" || args.place.env == "take", "{line}");
        }
    }

    #[test]
    fn neither_three_nor_four_words_are_a_usage_error() {
        for line in [
            "take",
            "take threads",
            "take threads shop cart",
            "take threads shop cart prod more",
            "take threads shop cart prod --all",
            "take cart prod --no-such-flag",
            "--pid 7 take cart prod",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(read("take --help").unwrap_err().exit_code(), 0);
    }
}
