//! Gets the heap dump out of a JVM: `ARCHITECTURE.md` walks one dump through these layers.
//!
//! The layers stand here from top to bottom. A module uses only its own layer and those below it.

#![deny(unsafe_code)]
// Tests make and read files of their own, and wait for their threads.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

// One file per verb, and what a companion process does.
pub mod commands;

// One variant for each exit status.
pub mod error;

// Flags, environment and files become one typed struct per verb.
pub mod settings;

// Flags and help text.
pub mod cli;

// From a source to a stored object.
pub mod delivery;

// Files that appear in a directory.
pub mod watch;

// From a JVM that answers to its dump.
pub mod heap_dump;

// The attach protocol.
pub mod attach;

// Where objects are kept.
pub mod store;

// Everything that lies on disk beyond the process.
pub mod kept;

// The companion process that undoes what a killed run has left.
pub mod guard;

// The object key, the stored object, the receipt.
pub mod object;

// From raw bytes to gzip members.
pub mod compress;

// Which processes are JVMs, and their facts.
pub mod jvm;

// The HPROF format: bytes in, values out.
pub mod hprof;

// Standard output and error.
pub mod terminal;

// Files that others may have made, named, or hold.
pub mod files;

// Time, waits, units, words, identities.
pub mod base;

/// Version, source revision and target, as build.rs found them.
pub const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("JMAP_DUMP_REVISION"), ", ", env!("JMAP_DUMP_TARGET"), ")");
