//! Settings of `take`.

use super::layers::Layers;
use super::{Settings, TargetSettings, UsageError, place};
use crate::artefact::Kind;
use crate::cli::{Flags, TakeArgs};

#[derive(Debug, Clone)]
pub struct TakeSettings {
    pub common: Settings,
    pub target: TargetSettings,
    /// In the order of the user, each kind once.
    pub kinds: Vec<Kind>,
    /// The user's reason.
    pub reason: Option<String>,
}

impl TakeSettings {
    /// Returns the settings of `take`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_take(args: &TakeArgs, flags: &Flags) -> Result<Self, UsageError> {
        let kinds = kinds(&args.kinds)?;
        let place = place(&args.place)?;
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let common = Settings::read(place, &layers)?;
        // The key of a signed URL ends like that of a heap dump.
        if common.store.url.is_presigned() {
            return Err(UsageError::TakeSigned);
        }
        Ok(Self {
            common,
            target: TargetSettings::read(&layers)?,
            kinds,
            reason: layers.get("reason").map(|value| value.text),
        })
    }
}

impl TakeSettings {
    /// Returns the kinds as words.
    pub fn words(&self) -> String {
        self.kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ")
    }
}

fn kinds(text: &str) -> Result<Vec<Kind>, UsageError> {
    let mut kinds = Vec::new();
    for word in text.split(',') {
        let known = Kind::ALL.into_iter().find(|kind| kind.word() == word.trim());
        let kind =
            known.ok_or_else(|| UsageError::Kinds(text.chars().take(80).flat_map(char::escape_debug).collect()))?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_kinds_has_each_kind_once_and_nothing_else() {
        assert_eq!(kinds("info,threads,info").unwrap(), [Kind::Info, Kind::Threads]);
        for bad in ["", "thread", "threads,", ",", "threads histogram", "THREADS", "dump"] {
            assert!(kinds(bad).is_err(), "{bad:?}");
        }
    }
}
