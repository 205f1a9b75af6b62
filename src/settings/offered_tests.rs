//! No verb offers a flag that its settings do not read.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;
use crate::cli::{self, Cli, Command};

thread_local! {
    static ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that a setting was asked for.
pub fn note(key: &str) {
    ASKED.with_borrow_mut(|asked| asked.insert(key.to_owned()));
}

fn read(words: &[&str]) -> Result<(), UsageError> {
    let cli = Cli::read(std::iter::once("jmap-dump-tool").chain(words.iter().copied()).map(Into::into)).unwrap();
    let flags = &cli.flags;
    match &cli.command {
        Command::Dump(args) => DumpSettings::of_dump(args, flags).map(drop),
        Command::Take(args) => TakeSettings::of_take(args, flags).map(drop),
        Command::Check(args) => CheckSettings::of_check(args, flags).map(drop),
        Command::Upload(args) => UploadSettings::of_upload(args, flags).map(drop),
        Command::Watch(args) => WatchSettings::of_watch(args, flags).map(drop),
        Command::List(args) => ListSettings::of_list(args, flags).map(drop),
        Command::Fetch(args) => FetchSettings::of_fetch(args, flags).map(drop),
        Command::Diff(args) => DiffSettings::of_diff(args, flags).map(drop),
        Command::Presign(args) => PresignSettings::of_presign(args, flags).map(drop),
        Command::Arm(_) => TargetSettings::of_arm(flags).map(drop),
        Command::Ps(_) | Command::Verify(_) => output_of(flags).map(drop),
        Command::Status(_) | Command::Install(_) => Ok(()),
    }
}

/// The shortest command line of each verb.
const VERBS: &[&[&str]] = &[
    &["dump", "shop", "cart", "prod"],
    &["take", "threads", "shop", "cart", "prod"],
    &["ps"],
    &["check", "shop", "cart", "prod"],
    &["upload", "shop", "cart", "prod", "/x"],
    &["watch", "shop", "cart", "prod", "/x"],
    &["status", "/x"],
    &["list", "shop"],
    &["fetch", "KEY"],
    &["diff", "p/a/e/x", "p/a/e/y"],
    &["presign", "shop", "cart", "prod"],
    &["verify", "/x"],
    &["arm"],
    &["install", "/x"],
];

fn line<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let verb = cli::flags_of(words[0]);
    // A directory signs no URL.
    let store = ["--store", if words[0] == "presign" { "s3://x" } else { "/x" }];
    let store = if verb.iter().any(|flag| flag.key == "store") { &store[..] } else { &[] };
    [&words[..1], store, more, &words[1..]].concat()
}

#[test]
fn each_flag_of_a_verb_is_read_by_its_settings() {
    for words in VERBS {
        ASKED.take();
        let result = read(&line(words, &[]));
        assert!(result.is_ok(), "{words:?}: {result:?}");
        let asked = ASKED.take();
        let ignored: Vec<_> = cli::flags_of(words[0]).into_iter().filter(|flag| !asked.contains(&flag.key)).collect();
        assert!(ignored.is_empty(), "{words:?} offers {ignored:?}, which it does not read");
    }
}

/// The words that the help and the completions offer are those that the settings know.
#[test]
fn each_possible_value_of_a_flag_is_taken_by_its_settings() {
    let mut tried = 0;
    for words in VERBS {
        for flag in cli::flags_of(words[0]) {
            for value in &flag.values {
                let given = format!("--{}={value}", flag.key.replace('_', "-"));
                // A directory has no encryption of its own.
                let more = if flag.key == "encryption" {
                    vec!["--store=s3://b", "--region=r", &given]
                } else {
                    vec![given.as_str()]
                };
                let result = read(&line(words, &more));
                assert!(result.is_ok(), "{words:?} {given}: {result:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 60, "{tried}");
}
