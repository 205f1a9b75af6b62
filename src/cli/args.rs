//! The arguments and flags of each verb. A flag that is a setting is read by its key ([`super::Flags`]), not by its
//! field.

use std::ffi::OsString;

use clap::Args;

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

/// Flags of every command that stores a dump.
#[derive(Debug, Clone, Default, Args)]
pub struct CommonArgs {
    /// Where the dump is stored, see below
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Endpoint of an S3-like or Azure store
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the store
    #[arg(long)]
    pub region: Option<String>,
    /// The bucket in the path of the URL instead of its host: true or false
    #[arg(long, value_name = "BOOL")]
    pub path_style: Option<String>,
    /// Account of an Azure store
    #[arg(long)]
    pub account: Option<String>,
    /// User of a WebDAV store
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// How the store encrypts: sse, sse-kms or dsse-kms [default: as the bucket says]
    #[arg(long, value_name = "HOW")]
    pub encryption: Option<String>,
    /// Key of the store's key service
    #[arg(long, value_name = "ID")]
    pub kms_key_id: Option<String>,
    /// Key file of a Google service account
    #[arg(long, value_name = "FILE")]
    pub service_account_file: Option<String>,
    /// HTTP proxy to the store
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Certificate authorities to trust, PEM
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// How long a failing store is tried again [default: 3m]
    #[arg(long, value_name = "TIME")]
    pub retry_for: Option<String>,
    /// With --store -: how long a reader may take nothing before the dump is kept instead [default: 1m]
    #[arg(long, value_name = "TIME")]
    pub reader_timeout: Option<String>,
    /// gzip level, 1 to 9 [default: 2]
    #[arg(long)]
    pub level: Option<String>,
    /// End of the whole run, such as 25s or 10m [default: 30m]
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<String>,
    /// Form of the receipt: text or json; of a list also html [default: text]
    #[arg(long, value_name = "FORM")]
    pub output: Option<String>,
    /// Settings file; '-' is standard input
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
}

/// Flags that choose the data to redact before a dump is stored.
#[derive(Debug, Clone, Default, Args)]
pub struct RedactArgs {
    /// Take secrets out of the dump: strings (byte, char and int arrays), or all (every primitive array, and fields)
    #[arg(long, value_name = "strings|all", num_args = 0..=1, require_equals = true, default_missing_value = "strings")]
    pub redact: Option<String>,
    /// Classes whose fields, strings and arrays stay readable, such as 'com.acme.Order*', or 'int[]'; several with ',' between
    #[arg(long, value_name = "GLOB")]
    pub keep_class: Vec<String>,
}

/// The flag of every command that stores something for somebody.
#[derive(Debug, Clone, Default, Args)]
pub struct RequesterArgs {
    /// Who asked for it, for its receipt; nobody verifies the text
    #[arg(long, value_name = "TEXT")]
    pub requested_by: Option<String>,
}

/// Flags that choose the JVM.
#[derive(Debug, Clone, Default, Args)]
pub struct SelectArgs {
    /// The JVM to dump, instead of the one with the lowest pid
    #[arg(long)]
    pub pid: Option<String>,
    /// A part of the main class or command line of the JVM to dump
    #[arg(long = "match", value_name = "TEXT")]
    pub matching: Option<String>,
    /// Which of several JVMs: lowest, newest or largest [default: lowest]
    #[arg(long, value_name = "WHICH")]
    pub select: Option<String>,
    /// How long the JVM may take to answer the attach [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub attach_timeout: Option<String>,
}

/// Flags that choose the JVM and the content of its dump.
#[derive(Debug, Clone, Default, Args)]
pub struct TargetArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// Unreachable objects too; saves the full collection before the dump
    #[arg(long)]
    pub all: bool,
    /// Directory for the dump and its compressed copy; may be given several times, or with ':' between
    #[arg(long)]
    pub dir: Vec<String>,
    /// Disk that this container may use, such as 2Gi, or a directory: /dumps=5Gi; of several, with ',' between
    #[arg(long, value_name = "[DIR=]SIZE")]
    pub disk_limit: Option<String>,
}

#[derive(Debug, Args)]
pub struct DumpArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub redact: RedactArgs,
    /// Dump only when this holds, heap>85% or memory>90% for example; of several, one suffices
    #[arg(long = "if", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// When none of these holds and one cannot be told: dump, or skip [default: dump]
    #[arg(long, value_name = "dump|skip")]
    pub if_unknown: Option<String>,
    /// What else of the JVM lies beside the dump as text: threads, flags, or none [default: threads,flags]
    #[arg(long, value_name = "WHAT")]
    pub with: Option<String>,
    /// Why there is a dump, for its receipt
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub requester: RequesterArgs,
    /// A link in the receipt by which anybody can get the dump for so long, such as 24h
    #[arg(long, value_name = "TIME")]
    pub link: Option<String>,
    /// Dump although room or time may not suffice
    #[arg(long)]
    pub force: bool,
    /// When the store is unusable: refuse, or keep the dump here [default: refuse]
    #[arg(long, value_name = "refuse|keep")]
    pub store_down: Option<String>,
    /// Everything but the dump: attach, room, store
    #[arg(long)]
    pub dry_run: bool,
    /// Through pipes straight into the store; the application waits for the store, and what fails is lost
    #[arg(long)]
    pub no_disk: bool,
    /// How long it may wait with --no-disk before it is let go without a dump [default: 20s]
    #[arg(long, value_name = "TIME")]
    pub max_pause: Option<String>,
}

#[derive(Debug, Args)]
#[command(override_usage = "jmap-dump-tool upload [OPTIONS] PROJECT APP ENV FILE…\n       \
                            jmap-dump-tool upload [OPTIONS] --resume DIR")]
pub struct UploadArgs {
    /// First parts of the object key, then heap dumps, plain or gzipped; '-' is standard input
    #[arg(value_names = ["PROJECT", "APP", "ENV", "FILE"])]
    pub words: Vec<OsString>,
    /// Finish what earlier runs have left in this directory, and below
    #[arg(long, value_name = "DIR")]
    pub resume: Option<OsString>,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub redact: RedactArgs,
    #[command(flatten)]
    pub requester: RequesterArgs,
    /// Remove the file once it is stored and verified
    #[arg(long)]
    pub delete: bool,
    /// Store a dump even when it is not whole; its receipt says so
    #[arg(long)]
    pub allow_truncated: bool,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Where the JVM writes its dumps; they are taken away, stored, and removed
    pub dir: OsString,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub redact: RedactArgs,
    #[command(flatten)]
    pub requester: RequesterArgs,
    /// Other files too, such as hs_err_pid*.log; may be given several times, or with ',' between
    #[arg(long, value_name = "GLOB")]
    pub pattern: Vec<String>,
    /// Do not remove what is stored, but put it aside
    #[arg(long)]
    pub keep: bool,
    /// How many dumps may wait for the store, 2 at least: the first and the newest stay [default: all]
    #[arg(long, value_name = "N")]
    pub max_local: Option<String>,
    /// Where the watcher says how it is [default: DIR/jmap-dump-tool/status.json]
    #[arg(long, value_name = "FILE")]
    pub status: Option<String>,
    /// How long it goes on storing after the signal to end [default: 25s]
    #[arg(long, value_name = "TIME")]
    pub grace: Option<String>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// First part of the object keys
    pub project: String,
    /// Second part of the object keys
    pub app: Option<String>,
    /// Third part of the object keys
    pub env: Option<String>,
    #[command(flatten)]
    pub common: CommonArgs,
    /// A link to each object that anybody can follow for so long, such as 24h
    #[arg(long, value_name = "TIME")]
    pub links: Option<String>,
}

#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Keys as 'list' shows them, or their URLs
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<String>,
    #[command(flatten)]
    pub common: CommonArgs,
    /// Directory for the files [default: the current one]
    #[arg(long, value_name = "DIR")]
    pub to: Option<String>,
    /// Decompress what was fetched
    #[arg(long)]
    pub gunzip: bool,
}

#[derive(Debug, Args)]
pub struct PresignArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    /// How long the URL can be used, such as 30m [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub valid: Option<String>,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The watcher's status file
    pub file: String,
}

#[derive(Debug, Args)]
pub struct PsArgs {
    /// Form of the answer: text or json [default: text]
    #[arg(long, value_name = "FORM")]
    pub output: Option<String>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// PROJECT APP ENV of the object key; without them the store is not tried
    #[arg(num_args = 3, value_names = ["PROJECT", "APP", "ENV"])]
    pub place: Vec<String>,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Leave the JVM alone: its heap's size stays unknown
    #[arg(long)]
    pub no_attach: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A heap dump, plain or gzipped
    pub file: OsString,
    /// Form of the answer: text or json [default: text]
    #[arg(long, value_name = "FORM")]
    pub output: Option<String>,
}

#[derive(Debug, Args)]
pub struct ArmArgs {
    /// Directory for the dump, as the JVM sees it [default: the JVM's current one, or its own HeapDumpPath]
    #[arg(long, value_name = "DIR")]
    pub path: Option<String>,
    #[command(flatten)]
    pub target: TargetArgs,
}

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Where to
    pub dir: String,
}
