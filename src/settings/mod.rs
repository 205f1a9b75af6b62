//! Flags, environment, files and built-in defaults to one set of settings; every cross-check.

mod context;
mod layers;
mod policy;
mod reading;
mod upload;
mod values;
mod watch;

use std::time::Duration;

pub use context::Context;
pub use layers::{FILE_NAME, Layers, Origin};
pub use reading::{FetchSettings, Form, ListSettings, PresignSettings};
pub use upload::UploadSettings;
pub use values::UsageError;
pub use watch::WatchSettings;

use crate::base::sys::{self, Standard};
use crate::cli::{ArmArgs, CheckArgs, CommonArgs, DumpArgs, PlaceArgs, RedactArgs, TargetArgs};
use crate::heap_dump::{CANDIDATES, DiskLimits, PlanRequest};
use crate::hprof::Redact;
use crate::hprof::redaction::Redaction;
use crate::jvm::condition::Condition;
use crate::jvm::{Preference, Selection};
use crate::object::key::Place;
use crate::store::url::StoreUrl;
use crate::store::{Encryption, READER_TIMEOUT, StoreSettings};
use context::contexts;
use policy::Policy;
use values::{boolean, choice, disk_limits, duration, kept_classes, level, link_time, pid};

/// The form of the receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// What a run that stores a dump needs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub place: Place,
    pub store: StoreSettings,
    pub level: u32,
    pub deadline: Duration,
    pub output: Output,
    /// What is taken out of a dump.
    pub redact: Option<Redaction>,
    /// Of what this process sees itself.
    pub disk_limits: DiskLimits,
}

/// Which JVM, and what of it.
#[derive(Debug, Clone)]
pub struct TargetSettings {
    pub selection: Selection,
    pub live: bool,
    /// As the JVM sees them.
    pub dirs: Vec<String>,
    /// By the user.
    pub dirs_named: bool,
    pub disk_limits: DiskLimits,
    pub attach_timeout: Duration,
}

/// What a dump needs besides.
#[derive(Debug, Clone)]
pub struct DumpSettings {
    pub common: Settings,
    pub target: TargetSettings,
    pub force: bool,
    /// Dump even when the store is unusable.
    pub keep_when_store_is_down: bool,
    pub dry_run: bool,
    /// One of them has to hold, if there are any.
    pub conditions: Vec<Condition>,
    /// Dump also when none holds and one cannot be told.
    pub dump_if_unknown: bool,
    /// What is to be asked besides.
    pub with: Vec<Context>,
    /// Why there is a dump, in the user's words.
    pub reason: Option<String>,
    /// How long a link to it is to be valid, if there is to be one.
    pub link: Option<Duration>,
    /// Through pipes, straight to the store.
    pub no_disk: bool,
    /// Of the application, when it has to wait for the store.
    pub max_pause: Duration,
}

/// What `check` needs.
#[derive(Debug, Clone)]
pub struct CheckSettings {
    /// Without a place, there is no store to try.
    pub common: Option<Settings>,
    pub target: TargetSettings,
    pub deadline: Duration,
    pub output: Output,
    pub attach: bool,
}

impl Settings {
    /// The same for another place.
    #[must_use]
    pub fn at(&self, place: Place) -> Self {
        Self { place, ..self.clone() }
    }

    fn read(place: Place, layers: &Layers) -> Result<Self, UsageError> {
        Ok(Self {
            place,
            store: store(layers)?,
            level: layers.parse("level", level)?.unwrap_or(2),
            deadline: deadline(layers)?,
            output: output(layers)?,
            redact: redaction(layers)?,
            disk_limits: told_limits(layers)?,
        })
    }
}

fn conditions(text: &str) -> Result<Vec<Condition>, String> {
    text.split(',').map(Condition::parse).collect()
}

fn redaction(layers: &Layers) -> Result<Option<Redaction>, UsageError> {
    let words = [("strings", Some(Redact::Strings)), ("all", Some(Redact::All)), ("none", None)];
    let keep_classes = layers.parse("keep_class", kept_classes)?.unwrap_or_default();
    let what = layers.parse("redact", |text| choice(text, &words))?.flatten();
    if what.is_none() && layers.get("keep_class").is_some_and(|value| value.origin == Origin::Flag) {
        return Err(UsageError::KeepClassAlone);
    }
    // Either of the two may loosen what is built in.
    let said = layers.get("keep_class").or_else(|| layers.get("redact")).map(|value| value.origin);
    Policy::built_in()?.redaction(said.as_ref(), what.map(|what| Redaction { what, keep_classes }))
}

fn redact_flags(flags: &mut layers::Values, args: &RedactArgs) {
    flags.set("redact", args.redact.as_deref());
    flags.set("keep_class", (!args.keep_class.is_empty()).then(|| args.keep_class.join(",")).as_deref());
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
    /// Settings of `arm`.
    ///
    /// # Errors
    /// When something makes no sense.
    pub fn of_arm(args: &ArmArgs) -> Result<Self, UsageError> {
        let mut flags = layers::Values::default();
        target_flags(&mut flags, &args.target);
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

    /// What these settings say of the place for a dump, whose copy lies beside it.
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

fn target_flags(flags: &mut layers::Values, args: &TargetArgs) {
    flags.set("pid", args.pid.as_deref());
    flags.set("match", args.matching.as_deref());
    flags.set("select", args.select.as_deref());
    flags.set("attach_timeout", args.attach_timeout.as_deref());
    flags.set("all", args.all.then_some("true"));
    flags.set("dir", (!args.dir.is_empty()).then(|| args.dir.join(":")).as_deref());
    flags.set("disk_limit", args.disk_limit.as_deref());
}

impl CheckSettings {
    /// Settings of `check`.
    ///
    /// # Errors
    /// When something makes no sense.
    pub fn of_check(args: &CheckArgs) -> Result<Self, UsageError> {
        let mut flags = flags(&args.common);
        target_flags(&mut flags, &args.target);
        let layers = Layers::read(flags, args.common.config.as_deref())?;
        let common = match args.place.as_slice() {
            [project, app, env] => Some(Settings::read(Place::new(project, app, env)?, &layers)?),
            _ => None,
        };
        Ok(Self {
            common,
            target: TargetSettings::read(&layers)?,
            deadline: deadline(&layers)?,
            output: output(&layers)?,
            attach: !args.no_attach,
        })
    }
}

impl DumpSettings {
    /// Settings of `dump`.
    ///
    /// # Errors
    /// When something is missing or makes no sense.
    pub fn of_dump(args: &DumpArgs) -> Result<Self, UsageError> {
        let place = place(&args.place)?;
        let mut flags = flags(&args.common);
        target_flags(&mut flags, &args.target);
        redact_flags(&mut flags, &args.redact);
        flags.set("store_down", args.store_down.as_deref());
        flags.set("max_pause", args.max_pause.as_deref());
        flags.set("if", (!args.conditions.is_empty()).then(|| args.conditions.join(",")).as_deref());
        flags.set("if_unknown", args.if_unknown.as_deref());
        flags.set("with", args.with.as_deref());
        flags.set("reason", args.reason.as_deref());
        flags.set("link", args.link.as_deref());
        for (key, on) in [("force", args.force), ("dry_run", args.dry_run), ("no_disk", args.no_disk)] {
            flags.set(key, on.then_some("true"));
        }
        let layers = Layers::read(flags, args.common.config.as_deref())?;
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

/// The form of the answer of a command that needs no other settings.
///
/// # Errors
/// When there is no such form.
pub fn output_of(flag: Option<&str>) -> Result<Output, UsageError> {
    let mut flags = layers::Values::default();
    flags.set("output", flag);
    output(&Layers::of_flags(flags))
}

fn output(layers: &Layers) -> Result<Output, UsageError> {
    let forms = [("text", Output::Text), ("json", Output::Json)];
    Ok(layers.parse("output", |text| choice(text, &forms))?.unwrap_or_default())
}

fn place(args: &PlaceArgs) -> Result<Place, UsageError> {
    Ok(Place::new(&args.project, &args.app, &args.env)?)
}

fn flags(args: &CommonArgs) -> layers::Values {
    let mut flags = layers::Values::default();
    let texts = [
        ("store", &args.store),
        ("endpoint", &args.endpoint),
        ("region", &args.region),
        ("path_style", &args.path_style),
        ("account", &args.account),
        ("username", &args.username),
        ("encryption", &args.encryption),
        ("kms_key_id", &args.kms_key_id),
        ("service_account_file", &args.service_account_file),
        ("proxy", &args.proxy),
        ("ca_file", &args.ca_file),
        ("retry_for", &args.retry_for),
        ("reader_timeout", &args.reader_timeout),
        ("level", &args.level),
        ("deadline", &args.deadline),
        ("output", &args.output),
    ];
    for (key, text) in texts {
        flags.set(key, text.as_deref());
    }
    flags
}

const ENCRYPTIONS: &[(&str, Encryption)] =
    &[("sse", Encryption::Store), ("sse-kms", Encryption::Kms), ("dsse-kms", Encryption::DoubleKms)];

/// Rust opens /dev/null for a standard stream that is closed, so that a dump could go there unseen.
fn stdout_takes_a_dump() -> Result<(), UsageError> {
    let out = std::io::stdout();
    let mode = rustix::fs::fcntl_getfl(&out).map(|flags| flags & rustix::fs::OFlags::RWMODE);
    if sys::was_closed(Standard::Output) {
        Err(UsageError::Closed { what: "standard output" })
    } else if mode.is_ok_and(|mode| mode == rustix::fs::OFlags::RDONLY) {
        Err(UsageError::ReadOnly)
    } else if std::io::IsTerminal::is_terminal(&out) {
        Err(UsageError::Terminal)
    } else {
        Ok(())
    }
}

/// The store and what belongs to it, which counts only from the source that named the store or a stronger one:
/// a key for another store, or the application's, must not get in.
fn store(layers: &Layers) -> Result<StoreSettings, UsageError> {
    let named = layers.get("store").ok_or(UsageError::NoStore)?;
    let url =
        StoreUrl::parse(&named.text).map_err(|source| UsageError::Store { origin: named.origin.clone(), source })?;
    if url == StoreUrl::Stdout {
        stdout_takes_a_dump()?;
    }
    let own = layers.down_to(&named.origin);
    let text = |key: &str| own.get(key).map(|value| value.text.trim().to_owned());
    let secret = |key: &str| own.secret(key);
    let access_key_id = secret("access_key_id")?;
    let secret_access_key = secret("secret_access_key")?;
    if access_key_id.is_some() != secret_access_key.is_some() {
        return Err(UsageError::HalfAKey);
    }
    let account_key = secret("account_key")?;
    if url.is_presigned() && named.origin == Origin::Flag {
        log::warn!(
            "the store's signature is on the command line, which every process here can read: rather set JMAP_DUMP_STORE"
        );
    }
    let password = secret("password")?;
    let is_signed = url.is_presigned();
    let has_credentials = is_signed
        || password.is_some()
        || access_key_id.is_some()
        || account_key.is_some()
        || own.get("service_account_file").is_some();
    let settings = StoreSettings {
        endpoint: text("endpoint"),
        region: text("region"),
        path_style: own.parse("path_style", boolean)?,
        access_key_id,
        secret_access_key,
        session_token: secret("session_token")?,
        account: text("account"),
        account_key,
        username: text("username"),
        password,
        service_account_file: text("service_account_file"),
        encryption: own.parse("encryption", |text| choice(text, ENCRYPTIONS))?,
        kms_key_id: text("kms_key_id"),
        cname: own.parse("cname", boolean)?.unwrap_or(false),
        proxy: text("proxy"),
        ca_file: text("ca_file"),
        config: match &named.origin {
            Origin::Config(path) => Some(path.clone()),
            _ => None,
        },
        by_hand: named.origin.is_by_hand(),
        vendor_environment: named.origin.is_by_hand() && !has_credentials,
        reader_timeout: layers.parse("reader_timeout", duration)?.unwrap_or(READER_TIMEOUT),
        retry_for: layers.parse("retry_for", duration)?.unwrap_or(Duration::from_secs(180)),
        ..StoreSettings::of(url)
    };
    let settings = Policy::built_in()?.store(settings, &named.origin)?;
    settings.check()?;
    Ok(settings)
}
