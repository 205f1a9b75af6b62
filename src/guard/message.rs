//! The messages of a run to its guard. Each is one packet, with descriptors.

use std::ffi::OsString;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::identity::Identity;
use crate::compress::block::Section;
use crate::jvm::layout::Layout;

#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The first message: the longest time for which the guard goes on without the run.
    Start { limit: Duration },
    /// A change that the guard must undo if the run dies. Sent before the change is made.
    Note { id: u64, undo: Undo },
    /// The run has undone the change itself, or the change shall stay.
    Forget { id: u64 },
    /// The JVM dumps now. Descriptor: the connection on which it will answer.
    Dumping { layout: Layout },
    /// A file that the JVM writes. Descriptor: that file.
    Hold { section: Section },
    /// The JVM has finished, or its dump is given up. The guard closes the files that it holds.
    LetGo,
    /// The run is over. It has undone all its changes except those that are still noted.
    End,
}

/// A change that remains when a run is killed.
#[derive(Debug, Serialize, Deserialize)]
pub enum Undo {
    /// The attach file. Descriptors: its directory, and the directory in which the JVM will make its socket.
    AttachFile { name: String, socket: String, identity: Identity },
    /// A missing /tmp that the run has made. Descriptors: the root directory, and /tmp.
    Tmp { socket: String, identity: Identity },
    /// The private directory of the dump. Descriptor: its parent.
    DumpDir { name: String, identity: Identity },
    /// Directories, each inside the one before it, and files in the last one. Only empty directories are removed.
    /// Descriptor: the directory that holds the first one.
    Names { dirs: Vec<OsString>, files: Vec<OsString> },
    /// An upload that is not complete, as the store describes it. The store aborts it.
    Upload(serde_json::Value),
}
