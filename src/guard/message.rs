//! What a run tells its guard: one packet each, with descriptors beside it.

use std::ffi::OsString;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::identity::Identity;
use crate::compress::spool::Section;
use crate::jvm::layout::Layout;

#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The first one: how long the guard may go on alone.
    Start { limit: Duration },
    /// What is to be undone when the run dies. It is told before it is done.
    Note { id: u64, undo: Undo },
    /// That is undone, or is to stay.
    Forget { id: u64 },
    /// The JVM has been told to dump; beside it, the connection on which it will answer.
    Dumping { layout: Layout },
    /// Beside it, a file that the JVM writes to.
    Hold { section: Section },
    /// The JVM is done, or its dump is given up: nothing is to be held any more.
    LetGo,
    /// The run is over, and has undone everything itself but what is still noted.
    End,
}

/// What a run leaves behind when it is killed.
#[derive(Debug, Serialize, Deserialize)]
pub enum Undo {
    /// Beside it: its directory, and the one in which the JVM will make its socket.
    AttachFile { name: String, socket: String, identity: Identity },
    /// A /tmp that was missing. Beside it: the root directory, and /tmp.
    Tmp { socket: String, identity: Identity },
    /// The private directory of the dump. Beside it: its parent.
    DumpDir { name: String, identity: Identity },
    /// Directories, each in the one before it, if they are empty; and files in the last one of them. Beside it: the
    /// directory that holds the first.
    Names { dirs: Vec<OsString>, files: Vec<OsString> },
    /// An upload that is not complete, in the words of the store, which aborts it.
    Upload(serde_json::Value),
}
