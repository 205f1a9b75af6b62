//! From a JVM that answers to its dump: the plan, the room, and the dump itself.

mod answer;
mod capture;
mod choice;
mod diagnostics;
mod disk_limit;
mod estimate;
mod finished_dump;
mod flags;
mod growing_files;
mod heap_info;
pub mod holder;
mod memory_room;
mod own_dump;
mod pipe;
mod pipe_pair;
mod reframed;
mod reply;
mod room;
mod version;
mod vm_info;

use std::io;
use std::path::Path;
use std::time::Duration;

pub use capture::Capture;
pub use choice::CANDIDATES;
pub use diagnostics::{
    Measured, expanded, flag, heap_in_use, heap_used, is_gzipped_by_own_flag, layout, out_of_memory_errors, own_path,
    usage,
};
pub use disk_limit::DiskLimits;
pub use estimate::Estimate;
pub use finished_dump::{DumpFailure, HeapDump, dump};
pub use flags::safe_flags;
pub use growing_files::{GrowingFile, take_over_files};
pub use own_dump::{OwnDump, OwnDumpError};
pub use pipe::Pipe;
pub use pipe_pair::{PipeError, PipePair};
pub use reframed::Reframed;
pub use room::{Room, RoomError};

use choice::{Candidate, Prospect, choose};
use diagnostics::{growth, processors};
use estimate::Heap;

use crate::attach::{AttachError, AttachOperation, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::base::units::Bytes;
use crate::compress::cpu_share::CpuShare;
use crate::compress::gunzip::OtherBytes;
use crate::compress::gzip;
use crate::files::regular_file::NotRegular;
use crate::hprof::{Malformed, Summary};
use crate::jvm::layout::Layout;
use crate::kept::dump_dir::DumpDir;

/// The JVM did not make a whole dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("pid {pid} could not dump into {path}: {words}")]
    Jvm { pid: i32, path: String, words: String },
    #[error("pid {pid} could not dump into {path}, for the process that held its pipes has ended: {words}")]
    HolderDied { pid: i32, path: String, words: String },
    #[error("pid {pid} ended during its dump")]
    Died { pid: i32, source: AttachError },
    #[error("the dump {path} is not whole: {}", .damage.clone().unwrap_or_else(|| no_end(*.bytes)))]
    Truncated { path: String, bytes: u64, damage: Option<String> },
    #[error("the dump {path} is damaged")]
    Malformed { path: String, source: Malformed },
    #[error("{path} is no heap dump: {why}")]
    NoDump { path: String, why: &'static str },
    #[error("pid {pid} did not take the flag {flag}: {words}")]
    Flag { pid: i32, flag: String, words: String },
    #[error("pid {pid} does not tell its flag {flag}")]
    FlagUntold { pid: i32, flag: String },
    #[error("the JVM copied a part of the dump {path} that was already read")]
    Merged { path: String },
    #[error("another process has changed the dump {path} while it was read")]
    Changed { path: String },
    #[error("the dump {path} cannot be taken: {what}")]
    NotRegular { path: String, what: NotRegular },
    #[error("cannot read the dump {path}")]
    Read { path: String, source: io::Error },
}

fn no_end(bytes: u64) -> String {
    format!("its end record is missing after {bytes} bytes")
}

impl DumpError {
    /// Returns the error for a dump that a walk has not found whole.
    pub fn truncated(path: String, walk: &Summary) -> Self {
        Self::Truncated { path, bytes: walk.bytes, damage: walk.damage.clone() }
    }

    /// Returns the error for a dump at `path` that could not be opened or read.
    pub fn unreadable(path: String, source: io::Error) -> Self {
        match NotRegular::of(&source) {
            Some(what) => Self::NotRegular { path, what },
            None => Self::Read { path, source },
        }
    }

    /// Returns the error for a file that a user named: what does not begin like a dump is none.
    #[must_use]
    pub fn of_named_file(self) -> Self {
        match self {
            Self::Malformed { path, source } if source.offset == 0 => {
                Self::NoDump { path, why: "it does not begin with JAVA PROFILE 1.0" }
            }
            Self::Truncated { path, bytes: 0, damage: None } => Self::NoDump { path, why: "it is empty" },
            other => other,
        }
    }

    pub fn hint(&self) -> String {
        match self {
            Self::Jvm { words, .. } if words.contains("No space left") => {
                "name a larger directory with --dir; the partial dump was removed".into()
            }
            Self::Jvm { .. } => "name another directory with --dir; whatever was written was removed".into(),
            Self::HolderDied { .. } => {
                "nothing was stored; look for the reason in the pod's events: it may have run out of memory; then try \
                 again"
                    .into()
            }
            Self::Died { .. } => "look for the reason in the pod's events: it may have run out of memory".into(),
            Self::Truncated { .. } | Self::Malformed { .. } => {
                "do not rely on it; dump again, and if it comes back report the version of the JVM".into()
            }
            Self::NoDump { .. } => "name a heap dump of a JVM, plain or gzipped, such as java_pid1.hprof".into(),
            Self::Flag { .. } => "set it on the command line of the JVM, by JAVA_TOOL_OPTIONS for example".into(),
            Self::FlagUntold { .. } => "name a directory with --path".into(),
            Self::Merged { .. } => "nothing was stored; try again".into(),
            Self::Changed { .. } => {
                "look for what else writes there as the JVM's user; nothing was stored: dump again".into()
            }
            Self::NotRegular { .. } => {
                "no JVM makes that: look for what else writes there as its user; nothing was read, and it was removed"
                    .into()
            }
            Self::Read { source, .. } if OtherBytes::are_in(source) => {
                "something was appended: copy or fetch it again".into()
            }
            Self::Read { source, .. } if gzip::is_damage(source) => {
                "do not rely on it; copy or fetch it again, or dump again".into()
            }
            Self::Read { .. } => "look into the state of the file system on which it lies, and try again".into(),
        }
    }
}

/// The time at which a dump is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// While the JVM writes it. The bytes are given back to the file system behind the reader.
    Captured,
    /// When the JVM is done. The dump lies there until it is stored.
    Whole,
}

/// The directory of the dump, how it is read there, and how large it may be.
#[derive(Debug)]
pub struct Plan {
    /// Processors that the container may use at a time.
    pub processors: f64,
    pub layout: Layout,
    pub manner: Manner,
    pub dir: DumpDir,
    pub room: Room,
    pub estimate: Option<Estimate>,
    /// The reason why the dump may become larger than the estimate.
    pub no_bound: Option<&'static str>,
    pub warnings: Vec<String>,
}

impl Plan {
    /// Returns the share of the processors that the stages may take.
    pub fn cpu_share(&self) -> CpuShare {
        let is_pressed = !self.room.surely_holds(self.estimate.as_ref());
        CpuShare { is_pressed, ..CpuShare::of(self.processors) }
    }

    /// Returns whether there is room to read a whole dump, although it was to be captured.
    pub fn may_be_whole(&self) -> bool {
        self.room.shortage(Manner::Whole).is_none()
    }
}

/// The facts and wishes by which the plan is made.
#[derive(Debug, Clone)]
pub struct PlanRequest<'a> {
    pub dirs: &'a [String],
    /// True if the user has named the directories, for dumps.
    pub dirs_named: bool,
    pub live: bool,
    pub force: bool,
    pub disk_limits: &'a DiskLimits,
    /// The directory of the compressed copy. `None` if the copy lies beside the dump.
    pub store_dir: Option<&'a Path>,
    /// True if nothing can be read before the dump is whole.
    pub whole: bool,
    /// True if only links to pipes will lie in the directory.
    pub no_disk: bool,
    pub run_id: &'a str,
}

/// Any reason why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// Chooses the directory, and how the dump is read there.
///
/// # Errors
/// When the JVM does not answer, or no directory can be written. When not even the lower estimate fits, or the upper
/// one does not fit into memory.
pub fn plan(vm: &VirtualMachine<'_>, request: &PlanRequest<'_>, deadline: &Deadline) -> Result<Plan, PlanError> {
    let mut warnings = Vec::new();
    let (jvm, layout) = (vm.jvm(), layout(vm, deadline)?);
    let (growth, used) = (growth(vm, layout, deadline)?, heap_used(vm, deadline)?);
    let estimate = used.map(|used| Estimate::new(Heap { used, growth }, request.live));
    if estimate.is_none() {
        warnings.push("the JVM did not tell how much of its heap is used: room was not checked".to_owned());
    }
    if request.no_disk {
        can_stream(vm, layout, deadline)?;
    }
    // The used bytes of a heap are resident.
    let heap = Heap { used: used.unwrap_or(jvm.resident_bytes), growth };
    let raw_upper = heap.raw_upper().unwrap_or(u64::MAX);
    if heap.raw_upper().is_none() {
        warnings.extend(growth.why_no_bound().map(str::to_owned));
    }
    let needed = estimate.filter(|_| !request.no_disk);
    let prospect = Prospect { layout, estimate: needed, raw_upper, processors: processors(jvm) };
    let (Candidate { dir, room, manner, shortage }, passed_over) = choose(jvm, request, &prospect)?;
    warnings.extend(passed_over);
    if request.no_disk && !is_plain(&dir.inside) {
        let why = format!("the JVM's command parser would not take the path {}", dir.inside);
        return Err(RoomError::NoStream { pid: jvm.pid(), why }.into());
    }
    let (pid, path, free) = (jvm.pid(), dir.here.clone(), Bytes(room.free));
    let streamed = estimate.map_or(Duration::ZERO, |estimate| estimate.streamed());
    if let Some(estimate) = needed.filter(|estimate| !estimate.surely_fits(room.free)) {
        let (needed, limit) = (Bytes(estimate.lower), room.limit.clone());
        if room.free < estimate.lower && !request.force {
            return Err(RoomError::TooSmall { pid, path, needed, free, limit, streamed }.into());
        }
        let most = estimate.upper.map_or_else(|| "any amount".to_owned(), |upper| format!("up to {}", Bytes(upper)));
        warnings.push(format!("{most} may be needed in {path}, {free} can be used ({limit})"));
    }
    match shortage {
        Some(shortage) if !request.force => return Err(RoomError::TooLittleMemory { pid, shortage, streamed }.into()),
        Some(shortage) => warnings.push(format!("the kernel may kill the application: {shortage}")),
        None => {}
    }
    Ok(Plan {
        processors: prospect.processors,
        layout,
        manner,
        dir,
        room,
        estimate,
        no_bound: growth.why_no_bound(),
        warnings,
    })
}

/// Returns whether the path has no character with a meaning for the parser of diagnostic commands (JDK:
/// `diagnosticFramework.cpp`).
fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
}

/// Fails if the JVM cannot dump into a pipe.
fn can_stream(vm: &VirtualMachine<'_>, layout: Layout, deadline: &Deadline) -> Result<(), PlanError> {
    let pid = vm.jvm().pid();
    let refused = |why: String| Err(RoomError::NoStream { pid, why }.into());
    match layout {
        Layout::Parts => Ok(()),
        Layout::Unknown => refused("a native image writes files only".into()),
        Layout::Patched => refused("JDK 8 and 11 before 11.0.13 go back in the file that they write".into()),
        Layout::Sequential => {
            let version = vm.execute(&AttachOperation::jcmd("VM.version"), deadline)?.message;
            if version::loses_short_writes(&version) {
                return refused(format!("{} may lose bytes in a pipe (JDK-8303937)", version::jdk(&version)));
            }
            Ok(())
        }
    }
}
