//! Dumps that come by themselves: found in a directory by what is in them, and taken away as soon as they are
//! complete, so that the JVM finds the name of its next dump free.

mod completeness;
mod inbox;
mod leftovers;
mod obstacles;
pub mod parts;
pub mod permit;
mod queue;
mod status;
pub mod trigger;
mod unverified;
pub mod worth;

use std::fs::Metadata;

use chrono::{DateTime, Utc};

pub use inbox::{Inbox, Scan};
pub use leftovers::{left_for_watcher, left_in, stray_parts, sweep};
pub use obstacles::{Obstacles, in_the_way};
pub use queue::{FIRST_PAUSE, Queue};
pub use status::Status;
pub use unverified::surplus_unverified;

/// A file's last change. One that no name could tell is now: it may say anything.
pub fn changed(meta: &Metadata) -> DateTime<Utc> {
    let seconds = std::os::unix::fs::MetadataExt::mtime(meta);
    // Year 9999, the last of four digits.
    let sound = (0..253_402_300_800).contains(&seconds);
    sound.then(|| DateTime::from_timestamp(seconds, 0)).flatten().unwrap_or_else(Utc::now)
}

/// The advice when this user may not do something.
pub const AS_THE_JVM: &str = "run as the JVM's user (runAsUser, fsGroup)";
