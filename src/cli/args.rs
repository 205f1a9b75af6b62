//! The arguments and flags of each verb, below the headings of its help. A flag that is a setting is read by its key
//! ([`super::Flags`]), not by its field.

use std::ffi::OsString;

use clap::{Args, ValueHint};

use super::groups::*;

#[derive(Debug, Args)]
pub struct DumpArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Do everything but the dump: attach, room, store
    #[arg(long)]
    pub dry_run: bool,
    /// Why there is a dump, for its receipt
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub requester: RequesterArgs,
    /// Dump although room or time may not suffice
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub jvm: JvmArgs,
    #[command(flatten, next_help_heading = WHERE_TO)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub dir: DirArgs,
    /// If the store is unusable: refuse to dump, or keep the dump here [default: refuse]
    #[arg(long, value_name = "WHAT", value_parser = ["refuse", "keep"], help_heading = WHERE_TO)]
    pub store_down: Option<String>,
    /// Put a link into the receipt by which anybody can get the dump for so long, such as 24h
    #[arg(long, value_name = "TIME", help_heading = WHERE_TO)]
    pub link: Option<String>,
    /// Send the dump through pipes straight into the store; the JVM waits for the store, and what fails is lost
    #[arg(long, help_heading = WHERE_TO)]
    pub no_disk: bool,
    /// Dump only if this holds, for example heap>85% or memory>90%; of several, one suffices
    #[arg(long = "if", value_name = "CONDITION", help_heading = WHEN)]
    pub conditions: Vec<String>,
    /// If no condition holds and one cannot be told: dump, or skip [default: dump]
    #[arg(long, value_name = "WHAT", value_parser = ["dump", "skip"], help_heading = WHEN)]
    pub if_unknown: Option<String>,
    #[command(flatten, next_help_heading = WHEN)]
    pub time: TimeArgs,
    /// With --no-disk: how long the JVM may wait for the store before the dump is given up [default: 20s]
    #[arg(long, value_name = "TIME", help_heading = WHEN)]
    pub max_pause: Option<String>,
    #[command(flatten)]
    pub objects: ObjectsArgs,
    #[command(flatten)]
    pub redact: RedactArgs,
    /// What else of the JVM lies beside the dump as text; several with ',' between [default: threads,flags]
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = ["threads", "flags", "none"],
        help_heading = LEAVE_OUT)]
    pub with: Vec<String>,
    #[command(flatten)]
    pub reach: ReachArgs,
    #[command(flatten)]
    pub user: UserArgs,
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    #[command(flatten)]
    pub reader: ReaderArgs,
    #[command(flatten)]
    pub compress: CompressArgs,
    #[command(flatten)]
    pub attach: AttachArgs,
    #[command(flatten, next_help_heading = ADVANCED)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(override_usage = "jmap-dump-tool upload [OPTIONS] PROJECT APP ENV FILE…\n       \
                            jmap-dump-tool upload [OPTIONS] --resume DIR")]
pub struct UploadArgs {
    /// Three parts of the object key, then heap dumps, plain or gzipped; '-' is standard input
    #[arg(value_names = ["PROJECT", "APP", "ENV", "FILE"], value_hint = ValueHint::FilePath)]
    pub words: Vec<OsString>,
    /// Finish what earlier runs have left in this directory, and below
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub resume: Option<OsString>,
    #[command(flatten)]
    pub requester: RequesterArgs,
    /// Remove the file once it is stored and verified
    #[arg(long)]
    pub delete: bool,
    /// Store a dump even if it is not whole; its receipt says so
    #[arg(long)]
    pub allow_truncated: bool,
    #[command(flatten, next_help_heading = WHERE_TO)]
    pub store: StoreArgs,
    #[command(flatten, next_help_heading = WHEN)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub redact: RedactArgs,
    #[command(flatten)]
    pub reach: ReachArgs,
    #[command(flatten)]
    pub user: UserArgs,
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    #[command(flatten)]
    pub reader: ReaderArgs,
    #[command(flatten)]
    pub compress: CompressArgs,
    #[command(flatten, next_help_heading = ADVANCED)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Directory into which the JVM writes its dumps; the watcher stores and removes them
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: OsString,
    #[command(flatten)]
    pub requester: RequesterArgs,
    /// Take other files, too, such as hs_err_pid*.log; several times, or with ',' between
    #[arg(long, value_name = "GLOB")]
    pub pattern: Vec<String>,
    /// Put aside what is stored instead of removing it
    #[arg(long)]
    pub keep: bool,
    /// How many dumps may wait for the store, 2 at least; the first and the newest stay [default: all]
    #[arg(long, value_name = "N")]
    pub max_local: Option<String>,
    /// File in which the watcher tells its health [default: DIR/jmap-dump-tool/status.json]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub status: Option<String>,
    #[command(flatten, next_help_heading = WHERE_TO)]
    pub store: StoreArgs,
    /// End of one upload, such as 10m [default: 30m]
    #[arg(long, value_name = "TIME", help_heading = WHEN)]
    pub deadline: Option<String>,
    /// How long the watcher goes on storing after SIGTERM [default: 25s]
    #[arg(long, value_name = "TIME", help_heading = WHEN)]
    pub grace: Option<String>,
    #[command(flatten)]
    pub redact: RedactArgs,
    #[command(flatten)]
    pub reach: ReachArgs,
    #[command(flatten)]
    pub user: UserArgs,
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    #[command(flatten)]
    pub compress: CompressArgs,
    #[command(flatten, next_help_heading = ADVANCED)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// First part of the object keys
    pub project: String,
    /// Second part of the object keys
    pub app: Option<String>,
    /// Third part of the object keys
    pub env: Option<String>,
    /// Add a link to each object that anybody can follow for so long, such as 24h
    #[arg(long, value_name = "TIME")]
    pub links: Option<String>,
    /// Form of the list [default: text]
    #[arg(long, value_name = "FORM", value_parser = ["text", "json", "html"])]
    pub output: Option<String>,
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

#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Keys as 'list' shows them, or their URLs
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<String>,
    /// Directory for the files [default: the current one]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub to: Option<String>,
    /// Decompress the files
    #[arg(long)]
    pub gunzip: bool,
    #[command(flatten, next_help_heading = WHICH_STORE)]
    pub store: StoreArgs,
    #[command(flatten, next_help_heading = WHEN)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub reach: ReachArgs,
    #[command(flatten)]
    pub user: UserArgs,
    #[command(flatten, next_help_heading = ADVANCED)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub struct PresignArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// How long the URL can be used, such as 30m [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub valid: Option<String>,
    #[command(flatten, next_help_heading = WHERE_TO)]
    pub store: StoreArgs,
    #[command(flatten, next_help_heading = WHEN)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub reach: ReachArgs,
    #[command(flatten, next_help_heading = ADVANCED)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The watcher's status file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: String,
}

#[derive(Debug, Args)]
pub struct PsArgs {
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(override_usage = "jmap-dump-tool check [OPTIONS] [PROJECT APP ENV]")]
pub struct CheckArgs {
    /// PROJECT APP ENV of the object key; without them the store is not tried
    #[arg(num_args = 3, value_names = ["PROJECT", "APP", "ENV"])]
    pub place: Vec<String>,
    /// Leave the JVM alone; the size of its heap stays unknown
    #[arg(long)]
    pub no_attach: bool,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub jvm: JvmArgs,
    #[command(flatten, next_help_heading = WHERE_TO)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub dir: DirArgs,
    #[command(flatten, next_help_heading = WHEN)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub objects: ObjectsArgs,
    #[command(flatten)]
    pub redact: RedactArgs,
    #[command(flatten)]
    pub reach: ReachArgs,
    #[command(flatten)]
    pub user: UserArgs,
    #[command(flatten)]
    pub encryption: EncryptionArgs,
    #[command(flatten)]
    pub disk: DiskArgs,
    #[command(flatten)]
    pub attach: AttachArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A heap dump, plain or gzipped
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: OsString,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct ArmArgs {
    /// Directory for the dump, as the JVM sees it [default: the JVM's current one, or its own HeapDumpPath]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub path: Option<String>,
    #[command(flatten)]
    pub jvm: JvmArgs,
    #[command(flatten)]
    pub disk: DiskArgs,
    #[command(flatten)]
    pub attach: AttachArgs,
}

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Directory for the copy
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: String,
}
