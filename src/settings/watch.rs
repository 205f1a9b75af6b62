//! Settings of `watch`.

use std::path::PathBuf;
use std::time::Duration;

use glob::Pattern;

use super::layers::Layers;
use super::values::{boolean, duration, number, patterns};
use super::{Settings, UsageError, place};
use crate::cli::{Flags, WatchArgs};
use crate::kept::names::STATUS;
use crate::kept::names::WAITING;
use crate::store::url::StoreUrl;

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
        let dir = PathBuf::from(&args.dir);
        let status = layers.get("status").map(|value| PathBuf::from(value.text));
        Ok(Self {
            common,
            patterns: layers.parse("pattern", patterns)?.unwrap_or_default(),
            keep: layers.parse("keep", boolean)?.unwrap_or(false),
            max_local: layers.parse("max_local", number)?,
            status: status.unwrap_or_else(|| dir.join(WAITING).join(STATUS)),
            grace: layers.parse("grace", duration)?.unwrap_or(Duration::from_secs(25)),
            dir,
        })
    }
}
