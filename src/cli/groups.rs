//! Groups of flags that several verbs have. Each group is as large as all its verbs read: a verb has no flag that it
//! ignores.

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueHint};

pub const WHICH_JVM: &str = "Which JVM";
pub const WHICH_STORE: &str = "Which store";
pub const WHERE_TO: &str = "Where to";
pub const WHEN: &str = "When";
pub const LEAVE_OUT: &str = "What to leave out";
pub const ADVANCED: &str = "Advanced";

/// Returns the parser of a flag that takes true or false. A variable and a key also take the other words.
fn booleans() -> PossibleValuesParser {
    let words = [("true", ["1", "yes"]), ("false", ["0", "no"])];
    words.map(|(word, aliases)| PossibleValue::new(word).aliases(aliases)).into()
}

/// The place of an object key: `project/app/env`.
#[derive(Debug, Clone, Args)]
pub struct PlaceArgs {
    /// First part of the object key
    pub project: String,
    /// Second part of the object key
    pub app: String,
    /// Third part of the object key
    pub env: String,
}

/// The store of a verb.
#[derive(Debug, Clone, Default, Args)]
pub struct StoreArgs {
    /// URL of the store, or a directory: see "Stores" below
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Address of an S3-like or Azure store
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the store
    #[arg(long)]
    pub region: Option<String>,
}

/// How a verb reaches its store.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = ADVANCED)]
pub struct ReachArgs {
    /// Whether the bucket is in the path of the URL, not in its host name [default: by the store]
    #[arg(long, value_name = "BOOL", value_parser = booleans())]
    pub path_style: Option<String>,
    /// Account of an Azure store
    #[arg(long)]
    pub account: Option<String>,
    /// Key file of a Google service account
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub service_account_file: Option<String>,
    /// HTTP proxy to the store
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Certificate authorities to trust, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<String>,
    /// How long to try a failing store again [default: 3m]
    #[arg(long, value_name = "TIME")]
    pub retry_for: Option<String>,
}

/// The user of a WebDAV store.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = ADVANCED)]
pub struct UserArgs {
    /// User of a WebDAV store
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
}

/// How the store encrypts what a verb puts there.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = ADVANCED)]
pub struct EncryptionArgs {
    /// How the store encrypts the dump [default: as the bucket says]
    #[arg(long, value_name = "HOW", value_parser = ["sse", "sse-kms", "dsse-kms"])]
    pub encryption: Option<String>,
    /// Key of the store's key service
    #[arg(long, value_name = "ID")]
    pub kms_key_id: Option<String>,
}

/// The reader of standard output.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = ADVANCED)]
pub struct ReaderArgs {
    /// With --store -: the run ends and keeps the dump if the reader takes nothing for so long [default: 1m]
    #[arg(long, value_name = "TIME")]
    pub reader_timeout: Option<String>,
}

/// How a dump is compressed, and how much disk it may use meanwhile.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = ADVANCED)]
pub struct CompressArgs {
    /// gzip level, 1 to 9 [default: 2]
    #[arg(long)]
    pub level: Option<String>,
    #[command(flatten)]
    pub disk: DiskArgs,
}

/// The disk that a container may use.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = ADVANCED)]
pub struct DiskArgs {
    /// Disk that this container may use, such as 2Gi, or a directory: /dumps=5Gi; several with ',' between
    #[arg(long, value_name = "[DIR=]SIZE")]
    pub disk_limit: Option<String>,
}

/// The end of a run.
#[derive(Debug, Clone, Default, Args)]
pub struct TimeArgs {
    /// End of the whole run, such as 25s or 10m [default: 30m]
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<String>,
}

/// The form of the receipt or answer.
#[derive(Debug, Clone, Default, Args)]
pub struct OutputArgs {
    /// Form of the receipt or answer [default: text]
    #[arg(long, value_name = "FORM", value_parser = ["text", "json"])]
    pub output: Option<String>,
}

/// The settings file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = ADVANCED)]
pub struct ConfigArgs {
    /// Settings file; '-' is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<String>,
}

/// The data to redact before a dump is stored.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = LEAVE_OUT)]
pub struct RedactArgs {
    /// Overwrite secrets: in byte, char and int arrays (strings), or in every primitive array and field (all)
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "strings",
        value_parser = ["strings", "all", "none"])]
    pub redact: Option<String>,
    /// Classes whose fields, strings and arrays stay readable, such as 'com.acme.Order*', or 'int[]'; several with ','
    /// between
    #[arg(long, value_name = "GLOB")]
    pub keep_class: Vec<String>,
}

/// Who wants what a verb stores.
#[derive(Debug, Clone, Default, Args)]
pub struct RequesterArgs {
    /// Who asked for it, for its receipt; nobody verifies the text
    #[arg(long, value_name = "TEXT")]
    pub requested_by: Option<String>,
}

/// The JVM of a verb.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = WHICH_JVM)]
pub struct JvmArgs {
    /// The JVM with this pid, instead of the lowest one
    #[arg(long)]
    pub pid: Option<String>,
    /// A JVM with this text in its main class or command line
    #[arg(long = "match", value_name = "TEXT")]
    pub matching: Option<String>,
    /// Which of several JVMs: the lowest pid, the newest start, the largest memory [default: lowest]
    #[arg(long, value_name = "WHICH", value_parser = ["lowest", "newest", "largest"])]
    pub select: Option<String>,
}

/// The directory of a dump.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = WHERE_TO)]
pub struct DirArgs {
    /// Directory for the dump and its compressed copy, as the JVM sees it; several times, or with ':' between
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub dir: Vec<String>,
}

/// The objects of a dump.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = LEAVE_OUT)]
pub struct ObjectsArgs {
    /// Leave out nothing: dump unreachable objects, too; this saves the full collection before the dump
    #[arg(long)]
    pub all: bool,
}

/// How a verb attaches to its JVM.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = ADVANCED)]
pub struct AttachArgs {
    /// How long the JVM may take to answer the attach [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub attach_timeout: Option<String>,
}
