//! The layout of a dump: which files a JVM writes, and in which order.

use serde::{Deserialize, Serialize};

/// The way in which a JVM writes its dump. The options of its `GC.heap_dump` show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// An unknown way, as of native images. The dump is read once it is complete.
    Unknown,
    /// Segment lengths are written late, so the JVM goes back in the file: JDK 8, 11.0.0 to 11.0.12.
    Patched,
    /// One file, written from front to end: JDK 11.0.13 to 21.
    Sequential,
    /// The heap in files beside the head: JDK 22 and later.
    Parts,
}
