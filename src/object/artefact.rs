//! The kind of an object, by its name. No I/O.

use serde::{Deserialize, Serialize};

use super::key::DUMP_TAIL;

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Artefact {
    HeapDump,
    /// The log of a crash (JDK: `vmError.cpp`, `hs_err_pid<pid>.log`).
    ErrorLog,
    /// A recording of JDK Flight Recorder.
    FlightRecording,
    /// A process image, of the kernel's or of OpenJ9 (`core.*.dmp`).
    Core,
    /// The stacks of all threads, by `take`.
    Threads,
    /// Instances and bytes of each class, by `take`.
    Histogram,
    /// Native memory and the container's, by `take`.
    Memory,
    /// Facts of the JVM, by `take`.
    Info,
    Log,
    Other,
}

/// Returns whether the stem of a key ends with the name of a file that is no heap dump.
fn ends(stem: &str, name: &str) -> bool {
    stem.strip_suffix(name).is_some_and(|before| before.ends_with('_'))
}

impl Artefact {
    /// The kinds that `take` stores.
    pub const TAKEN: [Self; 4] = [Self::Threads, Self::Histogram, Self::Memory, Self::Info];

    /// Returns the name at the end of the key, without `.gz`; `None` if `take` does not store this kind.
    pub fn taken_name(self) -> Option<&'static str> {
        match self {
            Self::Threads => Some("threads.txt"),
            Self::Histogram => Some("histogram.txt"),
            Self::Memory => Some("memory.txt"),
            Self::Info => Some("info.txt"),
            _ => None,
        }
    }

    /// By the object's name.
    pub fn of_key(key: &str) -> Self {
        let name = key.rsplit('/').next().unwrap_or_default();
        let Some(stem) = name.strip_suffix(".gz") else { return Self::Other };
        if name.ends_with(DUMP_TAIL) {
            return Self::HeapDump;
        }
        let is_named = |kind: &Self| kind.taken_name().is_some_and(|name| ends(stem, name));
        if let Some(taken) = Self::TAKEN.into_iter().find(is_named) {
            return taken;
        }
        match stem.rsplit('.').next().unwrap_or_default() {
            "log" if stem.contains("hs_err") => Self::ErrorLog,
            "jfr" => Self::FlightRecording,
            "core" | "dmp" => Self::Core,
            "log" | "txt" => Self::Log,
            _ if stem.contains("_core.") => Self::Core,
            _ => Self::Other,
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::HeapDump => "heap dump",
            Self::ErrorLog => "crash log",
            Self::FlightRecording => "flight recording",
            Self::Core => "core file",
            Self::Threads => "threads",
            Self::Histogram => "histogram",
            Self::Memory => "memory",
            Self::Info => "JVM facts",
            Self::Log => "log",
            Self::Other => "other file",
        }
    }
}
