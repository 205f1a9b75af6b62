//! The arguments of `diff`, and the words that still mean a dump.

use std::ffi::OsString;

use clap::Args;

use super::groups::*;
use super::words::place_of_dump;

/// The word of the verb.
pub(super) const VERB: &str = "diff";

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The earlier dump: its key as 'list' shows it, or a file with its receipt, such as ./a.json
    #[arg(value_name = "EARLIER")]
    pub earlier: String,
    /// The later dump
    #[arg(value_name = "LATER")]
    pub later: String,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten, next_help_heading = WHICH_STORE)]
    pub store: StoreArgs,
    #[command(flatten, next_help_heading = WHEN)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub reach: ReachArgs,
    #[command(flatten)]
    pub user: UserArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Returns whether the first word is the project of a dump. A key and a path have a `/`, and no part of a place has
/// one. So two words without it are APP and ENV of a project that has the name of this verb.
pub(super) fn is_project(words: &[OsString]) -> bool {
    place_of_dump(words, VERB).is_some_and(|place| ![place.app, place.env].iter().any(|word| word.contains('/')))
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
    fn three_words_dump_also_if_the_first_is_diff() {
        for line in ["diff cart prod", "diff --all cart prod", "diff a.json b.json"] {
            let Ok(Command::Dump(args)) = read(line) else { panic!("{line}: {:?}", read(line)) };
            assert_eq!(args.place.project, "diff", "{line}");
        }
    }

    #[test]
    fn keys_and_paths_are_compared() {
        for line in ["diff p/a/e/x.hprof.gz p/a/e/y.hprof.gz", "diff ./a.json ./b.json", "diff --store /s p/a/e/x y"] {
            assert!(matches!(read(line), Ok(Command::Diff(_))), "{line}: {:?}", read(line));
        }
        assert_eq!(read("diff p/a/e/x").unwrap_err().exit_code(), 2);
    }
}
