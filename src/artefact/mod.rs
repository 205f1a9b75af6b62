//! Small artefacts of a JVM: threads, class histogram, memory and facts. Each is a text that goes to the store like any
//! other source of bytes. None makes the JVM collect garbage.

mod info;
mod info_sections;
mod memory;
mod smaps;
mod text;

pub use memory::memory;
pub use text::Text;

use crate::attach::{AttachError, AttachOperation, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::jvm::maps::Vm;
use crate::object::artefact::Artefact;

/// The JVM did not give an artefact.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error("pid {pid} gave no {kind}: {words}")]
    Jvm { pid: i32, kind: &'static str, words: String },
    #[error("the {kind} of pid {pid} are not whole: their end is missing")]
    Incomplete { pid: i32, kind: &'static str },
}

impl ArtefactError {
    pub fn hint(&self) -> String {
        match self {
            Self::Attach(error) => error.hint(),
            Self::Jvm { .. } => "this JVM may not know it: take another kind, or a heap dump".into(),
            Self::Incomplete { .. } => "nothing was stored of it; take it once more".into(),
        }
    }
}

/// What can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The stacks of all threads.
    Threads,
    /// Instances and bytes of each class, with unreachable objects.
    Histogram,
    /// Native memory, mappings, threads, and the container's memory.
    Memory,
    /// Version, flags, heap and machine, without arguments and environment.
    Info,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Threads, Self::Histogram, Self::Memory, Self::Info];

    /// Returns the word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Histogram => "histogram",
            Self::Memory => "memory",
            Self::Info => "info",
        }
    }

    /// Returns the kind of the object.
    pub fn artefact(self) -> Artefact {
        match self {
            Self::Threads => Artefact::Threads,
            Self::Histogram => Artefact::Histogram,
            Self::Memory => Artefact::Memory,
            Self::Info => Artefact::Info,
        }
    }

    /// Returns whether the kernel alone tells enough for this kind, if the JVM does not answer.
    pub fn needs_no_attach(self) -> bool {
        self == Self::Memory
    }

    /// Returns whether a whole text of this kind has such a beginning and such a last line.
    fn is_whole(self, start: &str, last_line: &str) -> bool {
        match self {
            Self::Threads => start.contains("Full thread dump"),
            Self::Histogram => last_line.trim_start().starts_with("Total"),
            Self::Memory | Self::Info => true,
        }
    }
}

/// Asks the JVM for an artefact. The text of threads and histogram is read while the JVM writes it.
///
/// # Errors
/// When the JVM does not answer, refuses, or the run is stopped.
pub fn ask<'a>(kind: Kind, vm: &VirtualMachine<'a>, deadline: &Deadline) -> Result<Text<'a>, ArtefactError> {
    let (command, operation) = match kind {
        Kind::Threads => ("Thread.print", AttachOperation::threaddump()),
        Kind::Histogram => ("GC.class_histogram -all", AttachOperation::inspectheap()),
        Kind::Memory => return memory(vm.jvm(), Ok(vm), deadline),
        Kind::Info => return info::info(vm, deadline),
    };
    // A native image knows diagnostic commands only (GraalVM: `AttachListenerThread`).
    let is_native = vm.jvm().vm == Vm::NativeImage;
    let first = if is_native { AttachOperation::jcmd(command) } else { AttachOperation::jcmd_at_once(command) };
    let mut answer = vm.stream(&first, deadline)?;
    if answer.completion_status != 0 && !is_native {
        answer = vm.stream(&operation, deadline)?;
    }
    Text::of_answer(kind, vm.jvm(), answer, deadline)
}

/// Returns a titled section of a text.
fn section(title: &str, content: &str) -> String {
    format!("=== {title}\n{}\n\n", content.trim_end())
}

/// Returns the JVM's answer, or the reason why there is none.
///
/// # Errors
/// When the run is stopped.
fn answer(vm: &VirtualMachine<'_>, command: &str, deadline: &Deadline) -> Result<String, AttachError> {
    match vm.execute(&AttachOperation::jcmd(command), deadline) {
        Ok(reply) if reply.completion_status == 0 => Ok(reply.message),
        Ok(reply) => Ok(format!("no answer: {}", reply.message.lines().next().unwrap_or_default())),
        Err(error @ AttachError::Stopped(_)) => Err(error),
        Err(error) => Ok(format!("no answer: {error}")),
    }
}
