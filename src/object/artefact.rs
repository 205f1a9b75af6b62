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
    Log,
    Other,
}

impl Artefact {
    /// By the object's name.
    pub fn of_key(key: &str) -> Self {
        let name = key.rsplit('/').next().unwrap_or_default();
        let Some(stem) = name.strip_suffix(".gz") else { return Self::Other };
        if name.ends_with(DUMP_TAIL) {
            return Self::HeapDump;
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
            Self::Log => "log",
            Self::Other => "other file",
        }
    }
}
