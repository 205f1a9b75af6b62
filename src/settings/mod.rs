//! Builds the settings of each command from flags, environment, files and defaults, and checks that they fit together.

mod context;
mod diff;
mod fetch;
mod file;
mod layers;
mod list;
#[cfg(test)]
mod offered_tests;
mod policy;
mod presign;
mod store;
mod take;
mod upload;
mod values;
mod watch;

use std::time::Duration;

use chrono::{SecondsFormat, Utc};

pub use context::Context;
pub use diff::{DiffSettings, ReceiptAt};
pub use fetch::FetchSettings;
pub use file::FILE_NAME;
pub use layers::{Layers, Origin, warn_of_unknown_variables};
pub use list::{Form, ListSettings};
pub use presign::PresignSettings;
pub use take::TakeSettings;
pub use upload::UploadSettings;
pub use values::UsageError;
pub use watch::{AutomaticSettings, WatchSettings};

use crate::base::run_id::run_id;
use crate::cli::{CheckArgs, DumpArgs, Flags, PlaceArgs};
use crate::compress::redaction::Redaction;
use crate::heap_dump::{CANDIDATES, DiskLimits, PlanRequest};
use crate::hprof::Redact;
use crate::jvm::condition::Condition;
use crate::jvm::{Preference, Selection};
use crate::object::key::Place;
use crate::object::pod::Pod;
use crate::object::receipt::Receipt;
use crate::store::url::StoreUrl;
use crate::store::{Secret, StoreSettings, notice};
use context::contexts;
use policy::Policy;
use store::{stdout_takes_a_dump, store_to_write};
use values::{boolean, choice, disk_limits, duration, kept_classes, level, link_time, pid, requester};

/// The form of the receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// Settings of `dump`, `upload` and `watch`, which store dumps.
#[derive(Debug, Clone)]
pub struct Settings {
    pub place: Place,
    pub store: StoreSettings,
    pub level: u32,
    pub deadline: Duration,
    pub output: Output,
    /// The data to redact in a dump.
    pub redact: Option<Redaction>,
    /// Disk limits of the directories, as this process sees them.
    pub disk_limits: DiskLimits,
    /// The person or program that asked for the run, by its own word.
    pub requested_by: Option<String>,
    /// Where the end of a run is told. `None` if nobody wants to know.
    pub notify: Option<NotifySettings>,
}

/// Settings of the notices.
#[derive(Debug, Clone)]
pub struct NotifySettings {
    /// The address may let anybody post there, so it is a secret.
    pub address: Secret,
    /// Names the largest classes, too.
    pub classes: bool,
}

/// Settings that choose the JVM and the content of its dump.
#[derive(Debug, Clone)]
pub struct TargetSettings {
    pub selection: Selection,
    pub live: bool,
    /// Candidate directories for the dump, as the JVM sees them.
    pub dirs: Vec<String>,
    /// True if the user named the directories.
    pub dirs_named: bool,
    pub disk_limits: DiskLimits,
    pub attach_timeout: Duration,
}

#[derive(Debug, Clone)]
pub struct DumpSettings {
    pub common: Settings,
    pub target: TargetSettings,
    pub force: bool,
    /// Dump even if the store is unusable.
    pub keep_when_store_is_down: bool,
    pub dry_run: bool,
    /// If there are any conditions, at least one must hold.
    pub conditions: Vec<Condition>,
    /// Dump also if no condition holds and one of them is unknown.
    pub dump_if_unknown: bool,
    /// The facts that are stored beside the dump.
    pub with: Vec<Context>,
    /// The user's reason for the dump.
    pub reason: Option<String>,
    /// Lifetime of the link in the receipt; `None` for no link.
    pub link: Option<Duration>,
    /// Stream the dump through pipes to the store.
    pub no_disk: bool,
    /// Longest time for which the application waits for the store.
    pub max_pause: Duration,
}

#[derive(Debug, Clone)]
pub struct CheckSettings {
    /// `None` without a place: then no store is tried.
    pub trial: Option<Trial>,
    pub target: TargetSettings,
    /// The data that a dump would redact.
    pub redact: Option<Redaction>,
    pub deadline: Duration,
    pub output: Output,
    pub attach: bool,
}

/// The store that `check` tries, and the place that it tries there.
#[derive(Debug, Clone)]
pub struct Trial {
    pub place: Place,
    pub store: StoreSettings,
}

impl Settings {
    /// Returns these settings with another place.
    #[must_use]
    pub fn at(&self, place: Place) -> Self {
        Self { place, ..self.clone() }
    }

    /// Returns the receipt of a run that has not done anything yet.
    pub fn new_receipt(&self) -> Receipt {
        Receipt {
            tool: format!("jmap-dump-tool {}", crate::VERSION),
            run_id: run_id(),
            place: Some(self.place.to_string()),
            requested_by: self.requested_by.clone(),
            started: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            pod: Pod::current(),
            ..Receipt::default()
        }
    }

    /// Reads the settings of a verb that stores.
    fn read(place: Place, layers: &Layers) -> Result<Self, UsageError> {
        let read = Self::read_any(place, layers)?;
        if read.store.url == StoreUrl::Stdout {
            stdout_takes_a_dump()?;
        }
        Ok(read)
    }

    /// Reads the settings of a verb that stores nothing: standard output is not its store.
    fn read_any(place: Place, layers: &Layers) -> Result<Self, UsageError> {
        let policy = Policy::built_in()?;
        Ok(Self {
            place,
            store: store_to_write(layers, &policy)?,
            level: layers.parse("level", level)?.unwrap_or(2),
            deadline: deadline(layers)?,
            output: output(layers)?,
            redact: redaction(layers, &policy)?,
            disk_limits: told_limits(layers)?,
            requested_by: layers.parse("requested_by", requester)?,
            notify: notify(layers)?,
        })
    }
}

fn notify(layers: &Layers) -> Result<Option<NotifySettings>, UsageError> {
    let classes = layers.parse("notify_classes", boolean)?.unwrap_or(false);
    let Some(address) = layers.secret("notify")? else { return Ok(None) };
    if !notice::is_address(&address) {
        return Err(UsageError::NotifyAddress);
    }
    Ok(Some(NotifySettings { address, classes }))
}

fn conditions(text: &str) -> Result<Vec<Condition>, String> {
    text.split(',').map(Condition::parse).collect()
}

fn redaction(layers: &Layers, policy: &Policy) -> Result<Option<Redaction>, UsageError> {
    let words = [("strings", Some(Redact::Strings)), ("all", Some(Redact::All)), ("none", None)];
    let keep_classes = layers.parse("keep_class", kept_classes)?.unwrap_or_default();
    let what = layers.parse("redact", |text| choice(text, &words))?.flatten();
    if what.is_none() && layers.get("keep_class").is_some_and(|value| value.origin == Origin::Flag) {
        return Err(UsageError::KeepClassAlone);
    }
    // Either of the two may loosen what is built in.
    let said = layers.get("keep_class").or_else(|| layers.get("redact")).map(|value| value.origin);
    policy.redaction(said.as_ref(), what.map(|what| Redaction { what, keep_classes }))
}

/// Returns the policy for a command that redacts nothing. It refuses as well what loosens the redaction that the policy
/// demands: other commands read the same file and variables.
fn policy_without_redaction(layers: &Layers) -> Result<Policy, UsageError> {
    let policy = Policy::built_in()?;
    redaction(layers, &policy)?;
    Ok(policy)
}

fn dirs(layers: &Layers) -> Result<Vec<String>, UsageError> {
    let dirs = layers.get("dir").map(|value| value.text.split(':').map(str::to_owned).collect());
    let dirs: Vec<String> = dirs.unwrap_or_else(|| CANDIDATES.iter().map(|dir| (*dir).to_owned()).collect());
    match dirs.iter().find(|dir| !dir.starts_with('/') || dir.contains('\0')) {
        Some(bad) => Err(UsageError::Dir(bad.clone())),
        None => Ok(dirs),
    }
}

fn told_limits(layers: &Layers) -> Result<DiskLimits, UsageError> {
    Ok(layers.parse("disk_limit", disk_limits)?.unwrap_or_default())
}

fn deadline(layers: &Layers) -> Result<Duration, UsageError> {
    Ok(layers.parse("deadline", duration)?.unwrap_or(Duration::from_secs(30 * 60)))
}

impl TargetSettings {
    /// Returns the settings of `arm`.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn of_arm(flags: &Flags) -> Result<Self, UsageError> {
        Self::read(&Layers::of_flags(flags))
    }

    fn read(layers: &Layers) -> Result<Self, UsageError> {
        let preferences =
            [("lowest", Preference::Lowest), ("newest", Preference::Newest), ("largest", Preference::Largest)];
        let selection = Selection {
            pid: layers.parse("pid", pid)?,
            matching: layers.get("match").map(|value| value.text),
            preference: layers.parse("select", |text| choice(text, &preferences))?.unwrap_or_default(),
        };
        Ok(Self {
            selection,
            live: !layers.parse("all", boolean)?.unwrap_or(false),
            dirs: dirs(layers)?,
            dirs_named: layers.get("dir").is_some(),
            disk_limits: told_limits(layers)?,
            attach_timeout: layers.parse("attach_timeout", duration)?.unwrap_or(Duration::from_secs(60)),
        })
    }

    /// Returns the request to plan a dump with its compressed copy in the same directory.
    pub fn plan_request<'a>(&'a self, run_id: &'a str) -> PlanRequest<'a> {
        PlanRequest {
            dirs: &self.dirs,
            dirs_named: self.dirs_named,
            live: self.live,
            force: false,
            disk_limits: &self.disk_limits,
            store_dir: None,
            whole: false,
            no_disk: false,
            run_id,
        }
    }
}

impl CheckSettings {
    /// Returns the settings of `check`.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn of_check(args: &CheckArgs, flags: &Flags) -> Result<Self, UsageError> {
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let policy = Policy::built_in()?;
        let trial = match args.place.as_slice() {
            [project, app, env] => {
                let (place, store) = (Place::new(project, app, env)?, store_to_write(&layers, &policy)?);
                if store.url == StoreUrl::Stdout {
                    stdout_takes_a_dump()?;
                }
                Some(Trial { place, store })
            }
            _ => None,
        };
        Ok(Self {
            trial,
            redact: redaction(&layers, &policy)?,
            target: TargetSettings::read(&layers)?,
            deadline: deadline(&layers)?,
            output: output(&layers)?,
            attach: !args.no_attach,
        })
    }
}

impl DumpSettings {
    /// Returns the settings of a dump that nobody has asked for. It never begins with a full collection, and nothing
    /// forces it.
    fn automatic(common: Settings, target: TargetSettings) -> Self {
        Self {
            common,
            target: TargetSettings { live: false, ..target },
            force: false,
            keep_when_store_is_down: false,
            dry_run: false,
            conditions: Vec::new(),
            dump_if_unknown: false,
            with: vec![Context::Threads, Context::Flags],
            reason: None,
            link: None,
            no_disk: false,
            max_pause: Duration::ZERO,
        }
    }

    /// Returns the settings of `dump`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_dump(args: &DumpArgs, flags: &Flags) -> Result<Self, UsageError> {
        let place = place(&args.place)?;
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let store_down = [("refuse", false), ("keep", true)];
        let if_unknown = [("dump", true), ("skip", false)];
        let common = Settings::read(place, &layers)?;
        let no_disk = layers.parse("no_disk", boolean)?.unwrap_or(false);
        let keep_when_store_is_down = layers.parse("store_down", |text| choice(text, &store_down))?.unwrap_or(false);
        if no_disk && !common.store.url.takes_parts() {
            return Err(UsageError::NoDiskStore);
        }
        if no_disk && common.redact.as_ref().is_some_and(Redaction::needs_whole_dump) {
            return Err(UsageError::NoDiskKeepClass);
        }
        if no_disk && keep_when_store_is_down {
            return Err(UsageError::NoDiskKeep);
        }
        Ok(Self {
            common,
            no_disk,
            with: layers.parse("with", contexts)?.unwrap_or_else(|| vec![Context::Threads, Context::Flags]),
            reason: layers.get("reason").map(|value| value.text),
            link: layers.parse("link", link_time)?,
            conditions: layers.parse("if", conditions)?.unwrap_or_default(),
            dump_if_unknown: layers.parse("if_unknown", |text| choice(text, &if_unknown))?.unwrap_or(true),
            max_pause: layers.parse("max_pause", duration)?.unwrap_or(Duration::from_secs(20)),
            target: TargetSettings::read(&layers)?,
            force: layers.parse("force", boolean)?.unwrap_or(false),
            keep_when_store_is_down,
            dry_run: layers.parse("dry_run", boolean)?.unwrap_or(false),
        })
    }
}

/// Returns the form of the answer, for a command that needs no other settings.
///
/// # Errors
/// When the form is unknown.
pub fn output_of(flags: &Flags) -> Result<Output, UsageError> {
    output(&Layers::of_flags(flags))
}

fn output(layers: &Layers) -> Result<Output, UsageError> {
    let forms = [("text", Output::Text), ("json", Output::Json)];
    Ok(layers.parse("output", |text| choice(text, &forms))?.unwrap_or_default())
}

fn place(args: &PlaceArgs) -> Result<Place, UsageError> {
    Ok(Place::new(&args.project, &args.app, &args.env)?)
}
