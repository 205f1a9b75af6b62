//! How a JVM lays out the files of its dump.

use serde::{Deserialize, Serialize};

/// How a JVM writes its dump, told by the options of its `GC.heap_dump`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// In a way that is not known: native images. It is read when it is done.
    Unknown,
    /// It goes back to write the lengths of its segments: JDK 8, 11.0.0 to 11.0.12.
    Patched,
    /// One file from front to end: JDK 11.0.13 to 21.
    Sequential,
    /// The heap beside the head: JDK 22 and later.
    Parts,
}
