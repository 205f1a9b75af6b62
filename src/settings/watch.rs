//! Settings of `watch`.

use std::path::PathBuf;
use std::time::Duration;

use glob::Pattern;

use super::layers::Layers;
use super::values::{at_most_per_day, boolean, duration, number, patterns};
use super::{DumpSettings, Settings, TakeSettings, TargetSettings, UsageError, place};
use crate::artefact::Kind;
use crate::cli::{Flags, WatchArgs};
use crate::kept::names::STATUS;
use crate::kept::names::WAITING;
use crate::store::url::StoreUrl;
use crate::watch::permit::Limits;
use crate::watch::trigger::When;

/// The word of `when` that ends all automatic dumps.
const OFF: &str = "off";

#[derive(Debug, Clone)]
pub struct WatchSettings {
    pub common: Settings,
    pub dir: PathBuf,
    pub patterns: Vec<Pattern>,
    pub keep: bool,
    pub max_local: Option<usize>,
    pub status: PathBuf,
    /// Time to go on storing after the signal to end.
    pub grace: Duration,
    /// `None` without `--when`.
    pub automatic: Option<AutomaticSettings>,
}

/// Settings of the dumps that a watcher takes by itself.
#[derive(Debug, Clone)]
pub struct AutomaticSettings {
    pub conditions: Vec<When>,
    /// Time for which a condition must hold.
    pub held_for: Duration,
    pub limits: Limits,
    pub dump: DumpSettings,
    flags: Flags,
    config: Option<String>,
}

impl AutomaticSettings {
    fn read(layers: &Layers, common: &Settings, args: &WatchArgs, flags: &Flags) -> Result<Option<Self>, UsageError> {
        let parse =
            |text: &str| text.split(',').filter(|when| *when != OFF).map(|when| When::parse(when, duration)).collect();
        let conditions: Vec<When> = layers.parse("when", parse)?.unwrap_or_default();
        let automatic = Self {
            held_for: layers.parse("for", duration)?.unwrap_or(Duration::from_secs(60)),
            limits: Limits {
                cooldown: layers.parse("cooldown", duration)?.unwrap_or(Duration::from_secs(30 * 60)),
                per_day: layers.parse("at_most", at_most_per_day)?.unwrap_or(3),
            },
            dump: DumpSettings::automatic(common.clone(), TargetSettings::read(layers)?),
            flags: flags.clone(),
            config: args.config.config.clone(),
            conditions,
        };
        Ok((!automatic.conditions.is_empty()).then_some(automatic))
    }

    /// Returns the settings for the artefacts that are taken instead of a dump, or before one that may not be stored in
    /// time.
    pub fn instead(&self, reason: String) -> TakeSettings {
        TakeSettings {
            common: self.dump.common.clone(),
            target: self.dump.target.clone(),
            kinds: vec![Kind::Threads, Kind::Histogram, Kind::Memory],
            reason: Some(reason),
        }
    }

    /// Returns whether any source says `when = "off"` by now. A source that cannot be read says nothing.
    pub fn is_off(&self) -> bool {
        // Standard input cannot be read again.
        let config = self.config.as_deref().filter(|path| *path != "-");
        Layers::read(&self.flags, config).is_ok_and(|layers| layers.says("when", OFF))
    }
}

impl WatchSettings {
    /// Returns the settings of `watch`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_watch(args: &WatchArgs, flags: &Flags) -> Result<Self, UsageError> {
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let common = Settings::read_any(place(&args.place)?, &layers)?;
        if common.store.url == StoreUrl::Stdout {
            return Err(UsageError::WatchStore);
        }
        if common.store.url.is_presigned() {
            return Err(UsageError::OneObject);
        }
        let automatic = AutomaticSettings::read(&layers, &common, args, flags)?;
        let dir = PathBuf::from(&args.dir);
        let status = layers.get("status").map(|value| PathBuf::from(value.text));
        Ok(Self {
            common,
            patterns: layers.parse("pattern", patterns)?.unwrap_or_default(),
            keep: layers.parse("keep", boolean)?.unwrap_or(false),
            max_local: layers.parse("max_local", number)?,
            status: status.unwrap_or_else(|| dir.join(WAITING).join(STATUS)),
            grace: layers.parse("grace", duration)?.unwrap_or(Duration::from_secs(25)),
            automatic,
            dir,
        })
    }
}
