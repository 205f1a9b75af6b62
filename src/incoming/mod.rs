//! Dumps that come by themselves: found in a directory by what is in them, and taken away as soon as they are
//! complete, so that the JVM finds the name of its next dump free.

mod inbox;
mod left;
mod look;
pub mod parts;
mod queue;
mod status;

pub use inbox::{Inbox, Scan};
pub use left::{left_for_watcher, left_in};
pub use queue::Queue;
pub use status::Status;

/// What waits for the store lies there, in the directory that is watched.
pub const WAITING: &str = "jmap-dump-tool";
