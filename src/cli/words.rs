//! Words that cannot be what was meant: a verb behind a flag, a misspelt verb, a secret as a flag. Each gets a tip.
//! Where clap refuses the words, the tip stands in its message.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command as Definition, CommandFactory, FromArgMatches};

use super::{Cli, Command, PlaceArgs, with_values_joined};

/// Keys that are not flags: secrets, files that contain a secret, and keys of a single store.
pub const FILE_KEYS: &[&str] = &[
    "access_key_id",
    "access_key_id_file",
    "secret_access_key",
    "secret_access_key_file",
    "session_token",
    "session_token_file",
    "account_key",
    "account_key_file",
    "password",
    "password_file",
    "cname",
    "notify",
    "notify_file",
    "notify_classes",
];

/// Shortest verb for which a near miss counts. A shorter one is near to too many names of projects.
const SHORTEST: usize = 4;

/// Least likeness (Jaro-Winkler) of an unknown flag to the key of a secret.
const LIKE_A_SECRET: f64 = 0.85;

fn is_verb(definition: &Definition, word: &str) -> bool {
    word == "help" || definition.find_subcommand(word).is_some()
}

/// Returns the verb that `word` nearly is: one letter is wrong, missing, surplus or exchanged with the next one, or it
/// has capitals.
fn near_verb<'a>(definition: &'a Definition, word: &str) -> Option<&'a str> {
    let small = word.to_lowercase();
    let mut verbs = definition.get_subcommands().map(Definition::get_name).filter(|verb| *verb != "help");
    verbs.find(|verb| verb.len() >= SHORTEST && strsim::osa_distance(verb, &small) <= 1)
}

/// Returns the message for a first word that is no verb, in words that are read as a dump. `Err` for a verb that stands
/// behind a flag; `Ok` for a word that is nearly a verb, and may be a project all the same.
pub(super) fn doubt(definition: &Definition, project: &str) -> Result<Option<String>, clap::Error> {
    if is_verb(definition, project) {
        return Err(late_verb(project));
    }
    Ok(near_verb(definition, project).map(|verb| did_you_mean(verb, project)))
}

/// Returns the place, if the words that begin with the later verb `verb` are a whole command line of `dump`.
pub(super) fn place_of_dump(words: &[OsString], verb: &str) -> Option<PlaceArgs> {
    let (program, rest) = words.split_first().filter(|(_, rest)| rest.first().is_some_and(|word| word == verb))?;
    let dump = [program.clone(), "dump".into()].into_iter().chain(rest.iter().cloned());
    let matches = Cli::command().try_get_matches_from(with_values_joined(dump.collect())).ok()?;
    match Cli::from_arg_matches(&matches).ok()?.command {
        Command::Dump(args) => Some(args.place),
        _ => None,
    }
}

/// Returns the message for a project that has the name of a later verb, before words that are PROJECT APP ENV.
pub(super) fn few_words(verb: &str) -> String {
    format!(
        "did you mean the verb '{verb}'? these three words are PROJECT APP ENV; see `{verb} --help`; for a project of that \
         name type `dump {verb} …`"
    )
}

fn late_verb(verb: &str) -> clap::Error {
    let text = format!(
        "'{verb}' is a verb, and a verb comes before its flags: jmap-dump-tool {verb} …\nfor a project of that name type \
         `dump {verb} …`\n"
    );
    clap::Error::raw(ErrorKind::InvalidSubcommand, text)
}

fn did_you_mean(verb: &str, project: &str) -> String {
    format!("did you mean '{verb}'? '{project}' is no verb; for a project of that name type `dump {project} …`")
}

/// Returns clap's error with a tip for what was probably meant. `is_bare`: the verb 'dump' was added to the words.
pub(super) fn explained(error: clap::Error, words: &[OsString], is_bare: bool) -> clap::Error {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
        || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    {
        return error;
    }
    let definition = Cli::command();
    if let Some(project) = project(words).filter(|_| is_bare) {
        match doubt(&definition, &project) {
            Err(late) => return late,
            Ok(Some(doubt)) => return clap::Error::raw(ErrorKind::InvalidSubcommand, doubt + "\n"),
            Ok(None) => {}
        }
    }
    match tip(&error, &definition, words) {
        Some(tip) => with_tip(error, tip, words),
        None => error,
    }
}

/// Returns the first word of a dump that cannot be read.
fn project(words: &[OsString]) -> Option<String> {
    let read = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    read.subcommand_matches("dump")?.try_get_one::<String>("project").ok()?.cloned()
}

/// Puts the tip in the place of clap's own, which is by the spelling alone, and shapes the line of the usage.
fn with_tip(mut error: clap::Error, tip: String, words: &[OsString]) -> clap::Error {
    let mut definition = Cli::command();
    definition.build();
    let verb = words.get(1).and_then(|verb| verb.to_str());
    if let Some(verb) = verb.and_then(|verb| definition.find_subcommand_mut(verb)) {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(verb.render_usage()));
    }
    for other in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue] {
        error.remove(other);
    }
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    error
}

fn tip(error: &clap::Error, definition: &Definition, words: &[OsString]) -> Option<String> {
    let used = words.get(1)?.to_str()?;
    let told = error.get(ContextKind::InvalidArg);
    let unknown = match told.filter(|_| error.kind() == ErrorKind::UnknownArgument) {
        Some(ContextValue::String(unknown)) => Some(unknown.as_str()),
        _ => None,
    };
    match unknown {
        Some(flag) if flag.starts_with("--") => tip_for_flag(definition, flag, used),
        Some(flag) if flag.starts_with('-') => one_hyphen(words, definition),
        Some(word) => project_like_verb(words, used).or_else(|| tip_for_word(word, words, definition)),
        None if used == "dump" => three_words(words),
        None => project_like_verb(words, used),
    }
}

/// Returns the tip for a flag that `used`, the verb, does not have.
fn tip_for_flag(definition: &Definition, flag: &str, used: &str) -> Option<String> {
    let wanted = flag.trim_start_matches('-').replace('-', "_").to_lowercase();
    let others = flags(definition).filter(|(_, other)| *other == wanted).map(|(verb, _)| verb);
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        return Some(format!("'{used}' has no {flag}; it is a flag of {}", others.join(", ")));
    }
    let likeness = |name: &str| strsim::jaro_winkler(name, &wanted);
    let secret = FILE_KEYS.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    let flag_like = flags(definition).map(|(_, other)| likeness(&other)).fold(0.0, f64::max);
    let is_secret = ["secret", "password", "token", "access_key"].iter().any(|word| wanted.contains(word));
    (is_secret || likeness(secret) >= LIKE_A_SECRET && likeness(secret) > flag_like).then(|| {
        let key = secret.trim_end_matches("_file");
        let (name, file) = (key.to_uppercase(), format!("{key}_file"));
        match FILE_KEYS.contains(&file.as_str()) {
            true => format!(
                "secrets are never flags, for each process can read them: set JMAP_DUMP_{name}, or JMAP_DUMP_{name}_FILE"
            ),
            false => format!("it is no flag: set JMAP_DUMP_{name}, or the key {key} in a settings file"),
        }
    })
}

/// Returns each flag with its verb; the names have '_' for '-'.
fn flags(definition: &Definition) -> impl Iterator<Item = (&str, String)> {
    definition.get_subcommands().flat_map(|verb| {
        let names = verb.get_arguments().filter_map(|flag| Some(flag.get_long()?.replace('-', "_")));
        names.map(|name| (verb.get_name(), name))
    })
}

fn one_hyphen(words: &[OsString], definition: &Definition) -> Option<String> {
    let is_flag = |word: &str| flags(definition).any(|(_, flag)| flag == word.replace('-', "_"));
    let short = words.iter().filter_map(|word| word.to_str()?.strip_prefix('-'));
    let name = short.map(|word| word.split('=').next().unwrap_or_default()).find(|word| is_flag(word))?;
    Some(format!("a flag begins with two hyphens: --{name}"))
}

fn tip_for_word(word: &str, words: &[OsString], definition: &Definition) -> Option<String> {
    let before = words.iter().position(|other| other == word)?.checked_sub(1)?;
    let before = words[before].to_str()?;
    if before.starts_with("--") && before.ends_with('=') {
        return Some(format!("leave out the blank behind '=': {before}…"));
    }
    if before == "--redact" {
        return Some("--redact takes strings or all".to_owned());
    }
    if definition.find_subcommand(words[1].to_str()?)?.get_positionals().next().is_none() {
        return Some(format!("'{}' takes flags alone, and no words", words[1].to_str()?));
    }
    let (name, _) = word.split_once('=')?;
    let name = name.to_lowercase().replace('-', "_");
    let flag = flags(definition).find(|(_, flag)| *flag == name)?.1.replace('_', "-");
    Some(format!("a flag begins with two hyphens: --{flag}=…"))
}

/// Returns the tip for words that do not fit their verb, and would be a dump of a project that is called like it.
fn project_like_verb(words: &[OsString], verb: &str) -> Option<String> {
    let mut dump = words.to_vec();
    dump.insert(1, "dump".into());
    let is_dump = Cli::command().try_get_matches_from(dump).is_ok();
    is_dump.then(|| format!("for a project of that name type `dump {verb} …`"))
}

/// Returns the tip for PROJECT/APP/ENV in one word.
fn three_words(words: &[OsString]) -> Option<String> {
    let place = words.iter().skip(2).filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'))?;
    let parts: Vec<_> = place.split('/').filter(|part| !part.is_empty()).collect();
    (parts.len() == 3).then(|| format!("PROJECT APP ENV are three words: {}", parts.join(" ")))
}

/// Leaves out each step of a hint that names a flag which `verb` does not have. Steps are separated by `; `. A flag
/// behind `jmap-dump-tool` and the name of a verb is that verb's. A flag that no verb has is another program's.
pub fn fitting(hint: &str, verb: &str) -> String {
    let definition = Cli::command();
    let all: Vec<(&str, String)> = flags(&definition).collect();
    let has = |verb: &str, flag: &str| all.iter().any(|(owner, name)| *owner == verb && name == flag);
    let fits = |step: &&str| {
        let mut owner = verb;
        let mut words = step.split(|c: char| c.is_whitespace() || "',()`".contains(c)).peekable();
        while let Some(word) = words.next() {
            if word == "jmap-dump-tool" {
                owner = words.peek().copied().filter(|next| is_verb(&definition, next)).unwrap_or("dump");
            }
            let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else { continue };
            let flag = flag.split(['=', '.', ':']).next().unwrap_or_default().replace('-', "_");
            if all.iter().any(|(_, name)| *name == flag) && !has(owner, &flag) {
                return false;
            }
        }
        true
    };
    let steps: Vec<&str> = hint.split("; ").filter(fits).collect();
    let steps = steps.join("; ");
    // A step that has lost the one before it is no alternative any more.
    steps.strip_prefix("or ").map_or(steps.clone(), str::to_owned)
}

/// Returns the known variable that `name` nearly is. Both without their prefix.
pub fn near_key<'a>(known: &'a [String], name: &str) -> Option<&'a String> {
    let name = name.to_lowercase();
    let near = known.iter().map(|key| (key, strsim::osa_distance(key, &name)));
    near.filter(|(key, distance)| *distance <= 1 + key.len() / 6)
        .min_by_key(|(_, distance)| *distance)
        .map(|(key, _)| key)
}
