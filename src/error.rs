//! One variant for each exit status.

use std::io;

use crate::artefact::ArtefactError;
use crate::attach::AttachError;
use crate::base::deadline::{Reason, Stopped};
use crate::base::printable::with_causes;
use crate::base::units::{Bytes, Seconds};
use crate::cli::fitting;
use crate::compress::compressor::PipelineError;
use crate::compress::source::SourceError;
use crate::heap_dump::{DumpError, DumpFailure, OwnDumpError, PipeError, PlanError, RoomError};
use crate::jvm::DiscoveryError;
use crate::kept::claim::ClaimError;
use crate::object::receipt::Receipt;
use crate::settings::UsageError;
use crate::store::{CredentialsError, StoreError};

/// Reasons why a run does not end with status 0.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}")]
    Unexpected { what: String, source: io::Error },
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("{path} is there already")]
    Exists { path: String },
    #[error(transparent)]
    NoJvm(#[from] DiscoveryError),
    #[error(transparent)]
    Attach(AttachError),
    #[error(transparent)]
    NoPipe(PipeError),
    #[error(transparent)]
    Dump(#[from] DumpError),
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    OwnDump(#[from] OwnDumpError),
    #[error("the dump is whole, but not stored")]
    NotStored(#[source] StoreError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The receipt names what is kept.
    #[error("{0}")]
    StoppedKept(Stopped),
    #[error("{stopped}")]
    StoppedEmpty { stopped: Stopped, jvm_writes: bool },
    #[error("the store cannot be used")]
    Store(#[source] StoreError),
    #[error("the store failed while the dump was streamed to it: nothing is stored, nothing is kept")]
    StoreLost(#[source] StoreError),
    #[error(transparent)]
    Artefact(ArtefactError),
    #[error("the JVM was not asked for its {kind}: {why}")]
    NotAttached { kind: &'static str, why: String },
    #[error("the store did not take the {kind}: nothing is stored of it, nothing is kept")]
    ArtefactLost { kind: &'static str, source: StoreError },
    #[error("the store cannot be used, so nothing was dumped")]
    StoreDown(#[source] StoreError),
    #[error("the dump of pid {pid} takes at least {needed}, and the run ends in {left}: nothing was done to the JVM")]
    TooLate { pid: i32, needed: Seconds, left: Seconds },
    #[error(
        "the dump of pid {pid} will have about {likely}, and a signed URL takes {most} at most: nothing was done to the JVM"
    )]
    TooLarge { pid: i32, likely: Bytes, most: Bytes },
    #[error("{key} is damaged: its SHA-256 is {sha256}, and its receipt says {expected}")]
    Damaged { key: String, expected: String, sha256: String },
    /// A watch thread ended this run, because the run itself hung in a call to the kernel.
    #[error("{reason}, and this run hangs: a disk or a network file system has not answered for {seconds} s")]
    Hung { reason: Reason, seconds: u64 },
    /// There is nothing else to show for the run.
    #[error("standard output has not taken the answer")]
    Untold(#[source] io::Error),
    #[error("{0}, and not all is stored")]
    Grace(Stopped),
    #[error("the watcher is not well: {0}")]
    Ailing(String),
}

impl Error {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unexpected { .. } | Self::Ailing(_) => 1,
            Self::NotStored(error)
            | Self::Store(error)
            | Self::StoreDown(error)
            | Self::StoreLost(error)
            | Self::ArtefactLost { source: error, .. }
                if matches!(error, StoreError::Panicked(_)) =>
            {
                1
            }
            Self::Usage(_) | Self::Claim(_) | Self::Exists { .. } => 2,
            Self::NoJvm(_) => 3,
            Self::Attach(_) | Self::NoPipe(_) | Self::NotAttached { .. } => 4,
            Self::Dump(_) | Self::Artefact(_) | Self::Damaged { .. } => 5,
            Self::Room(_) | Self::Untold(_) => 6,
            Self::OwnDump(error) => error.exit_code(),
            Self::NotStored(_) => 7,
            // The run let the application go and gave up its dump: the dump failed.
            Self::Stopped(Stopped { reason: Reason::MaxPause(_), .. })
            | Self::Hung { reason: Reason::MaxPause(_), .. } => 5,
            Self::Stopped(_) | Self::StoppedKept(_) | Self::StoppedEmpty { .. } => 8,
            Self::Grace(_) | Self::TooLate { .. } | Self::Hung { .. } => 8,
            Self::TooLarge { .. } => 9,
            Self::Store(_) | Self::StoreDown(_) | Self::StoreLost(_) | Self::ArtefactLost { .. } => 9,
        }
    }

    /// Returns the next step for the user of `verb`. It names no flag that the verb does not have.
    pub fn hint(&self, verb: &str) -> String {
        let mut hint = self.hint_steps();
        if let Self::Usage(UsageError::NoStore) = self
            && ["dump", "take", "upload"].contains(&verb)
        {
            hint += "\nor write the dump to standard output with --store -";
        }
        match fitting(&hint, verb) {
            none if none.is_empty() => "try it again".into(),
            steps => steps,
        }
    }

    /// Returns the steps of the hint, with `; ` between them.
    fn hint_steps(&self) -> String {
        match self {
            Self::Unexpected { .. } => "report this with the output of -v".into(),
            Self::TooLate { .. } => {
                "give more time with --deadline (and terminationGracePeriodSeconds); or try all the same with --force"
                    .into()
            }
            Self::TooLarge { .. } => {
                "store it with a key, which sends it in parts; or try all the same with --force".into()
            }
            Self::Hung { .. } => {
                "look into the state of the volumes; what is whole is kept, and this stores it: jmap-dump-tool upload \
                 --resume DIR"
                    .into()
            }
            Self::Damaged { .. } => "fetch it again; if that does not help, it is damaged in the store".into(),
            Self::Untold(_) => "open standard output for writing, where there is room, and run it again".into(),
            Self::Ailing(_) => "look into the watcher's log".into(),
            Self::Usage(error) => error.hint(),
            Self::Claim(error) => error.hint(),
            Self::Exists { .. } => "nothing is overwritten: move it away, or name another directory with --to".into(),
            Self::NoJvm(error) => error.hint().into(),
            Self::Attach(error) => error.hint(),
            Self::Artefact(error) => error.hint(),
            Self::NotAttached { .. } => "see the error of the first kind that needed the JVM".into(),
            Self::ArtefactLost { source, .. } => format!("{}; then take it once more", source.hint()),
            Self::NoPipe(error) => error.hint().into(),
            Self::Dump(error) => error.hint(),
            Self::Room(error) => error.hint(),
            Self::OwnDump(error) => error.hint().into(),
            Self::NotStored(error) => format!("{}; then run the command that the receipt names", error.hint()),
            Self::Stopped(Stopped { reason: Reason::MaxPause(_), .. }) => {
                "allow a longer one with --max-pause; or leave --no-disk away and name a directory with --dir".into()
            }
            Self::Stopped(stopped) => hint_of_stop(stopped).into(),
            Self::StoppedKept(_) => "the receipt names what is kept; run the command that it names".into(),
            Self::StoppedEmpty { stopped, jvm_writes: false } => format!("nothing is kept; {}", hint_of_stop(stopped)),
            Self::StoppedEmpty { stopped, jvm_writes: true } => format!(
                "nothing is kept; the JVM may still be writing its dump, which is removed when it ends; {}",
                hint_of_stop(stopped)
            ),
            Self::Grace(_) => {
                "give more time with --grace (and terminationGracePeriodSeconds); the next start stores what waits"
                    .into()
            }
            Self::Store(error) => error.hint().into(),
            Self::StoreLost(error) => {
                format!("{}; without --no-disk a dump outlives its store", error.hint())
            }
            Self::StoreDown(error) => format!("{}; --store-down keep dumps all the same", error.hint()),
        }
    }

    /// Returns this error with what the run has left: whether its receipt names a kept dump, and whether the JVM may
    /// still be writing.
    #[must_use]
    pub fn beside(self, receipt: &Receipt, jvm_writes: bool) -> Self {
        match self {
            Self::Stopped(stopped) if matches!(stopped.reason, Reason::MaxPause(_)) => stopped.into(),
            Self::Stopped(stopped) if receipt.kept.is_some() => Self::StoppedKept(stopped),
            Self::Stopped(stopped) => Self::StoppedEmpty { stopped, jvm_writes },
            other => other,
        }
    }

    /// Returns this error for a file that a user named.
    #[must_use]
    pub fn of_named_file(self) -> Self {
        match self {
            Self::Dump(error) => Self::Dump(error.of_named_file()),
            other => other,
        }
    }

    /// Returns the error of a whole dump that the store did not take.
    pub fn not_stored(error: StoreError) -> Self {
        match error {
            StoreError::Stopped(stopped) => stopped.into(),
            other => Self::NotStored(other),
        }
    }

    /// Returns the error of a store that could not be opened or asked.
    pub fn store(error: StoreError) -> Self {
        match error {
            StoreError::Stopped(stopped) => Self::Stopped(stopped),
            StoreError::Settings(error) => UsageError::from(error).into(),
            StoreError::NoKey { .. } | StoreError::Prefix { .. } => UsageError::NoObject(error).into(),
            StoreError::Credentials(error) if !matches!(error, CredentialsError::NoMetadata { .. }) => {
                UsageError::Credentials(error).into()
            }
            other => Self::Store(other),
        }
    }

    /// Returns the message and all its causes in one line. The line is printable, because paths, names and answers of
    /// servers are in it.
    pub fn chain(&self) -> String {
        with_causes(self)
    }
}

/// Returns the next step after a run that was stopped.
fn hint_of_stop(stopped: &Stopped) -> &'static str {
    match stopped.reason {
        Reason::Deadline => "give more time with --deadline",
        _ => "run it again",
    }
}

impl From<AttachError> for Error {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::Attach(other),
        }
    }
}

impl From<ArtefactError> for Error {
    fn from(error: ArtefactError) -> Self {
        match error {
            ArtefactError::Attach(error) => error.into(),
            other => Self::Artefact(other),
        }
    }
}

impl From<PipeError> for Error {
    fn from(error: PipeError) -> Self {
        match error {
            PipeError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::NoPipe(other),
        }
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Attach(error) => error.into(),
            PlanError::Room(error) => error.into(),
        }
    }
}

impl From<DumpFailure> for Error {
    fn from(error: DumpFailure) -> Self {
        match error {
            DumpFailure::Attach(error) => error.into(),
            DumpFailure::Dump(error) => error.into(),
        }
    }
}

impl Error {
    /// Returns the error of a dump at `path` that could not be compressed into `spool_path`.
    pub fn from_pipeline(error: PipelineError, path: &str, spool_path: &str) -> Self {
        let (path, spool_path) = (path.to_owned(), spool_path.to_owned());
        match error {
            // A failure of the JVM ends the read of its dump. The error then names that failure, not the read.
            PipelineError::Source(SourceError::Maker(failure)) => match failure.downcast::<DumpFailure>() {
                Ok(failure) => (*failure).into(),
                Err(failure) => DumpError::Read { path, source: io::Error::other(failure) }.into(),
            },
            PipelineError::Source(SourceError::Read(source)) => DumpError::Read { path, source }.into(),
            PipelineError::Merged => DumpError::Merged { path }.into(),
            PipelineError::Malformed(source) => DumpError::Malformed { path, source }.into(),
            PipelineError::Compress(error) => {
                Self::Unexpected { what: "cannot compress the dump".into(), source: io::Error::other(error) }
            }
            PipelineError::Spool(source) => {
                RoomError::Io { what: "write the compressed dump", path: spool_path, source }.into()
            }
            PipelineError::Stopped(stopped) => stopped.into(),
            PipelineError::NoThread(source) => RoomError::NoThread(source).into(),
            PipelineError::Halted => Self::Unexpected {
                what: "the stages of the dump have stopped".into(),
                source: io::Error::other(PipelineError::Halted),
            },
        }
    }
}
