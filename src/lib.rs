//! Gets the heap dump out of a JVM: `ARCHITECTURE.md` walks one dump through these layers.
//!
//! The layers stand here from top to bottom. A module uses only its own layer and those below it.

#![deny(unsafe_code)]
// The documentation is read with its private items.
#![allow(rustdoc::private_intra_doc_links)]
// Tests make and read files of their own, and wait for their threads.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

// One file per verb, and what a companion process does.
pub mod commands;

// From a source to a stored object.
mod delivery;

// One variant for each exit status.
pub mod error;

// Flags, environment and files become one typed struct per verb.
mod settings;

// Flags and help text.
pub mod cli;

// Files that appear in a directory.
mod watch;

// Threads, class histogram, memory and facts of a JVM.
mod artefact;

// From a JVM that answers to its dump.
mod heap_dump;

// The attach protocol.
mod attach;

// Where objects are kept.
mod store;

// Everything that lies on disk beyond the process.
mod kept;

// The companion process that undoes what a killed run has left.
pub mod guard;

// The object key, the stored object, the receipt.
mod object;

// From raw bytes to gzip members.
mod compress;

// Which processes are JVMs, and their facts.
mod jvm;

// The HPROF format: bytes in, values out.
mod hprof;

// Standard output and error.
mod terminal;

// Files that others may have made, named, or hold.
mod files;

// Time, waits, units, words, identities.
mod base;

// The binary, the tests and the benchmarks use these; nothing else leaves the crate.
pub use base::{deadline, faults, panics, printable, private_memory, waiting};
pub use compress::{block, compressor, cpu_share, gzip, pages, source, spool};
pub use delivery::{Context, Delivery, spooled, streamed};
pub use files::private;
pub use heap_dump::holder;
pub use hprof::{Histogram, Tally, Walker};
pub use object::key;
pub use store::{Secret, StoreSettings, Upload, url};
pub use terminal::{log_copy, output, progress};

/// Version, source revision and target, as build.rs found them.
pub const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("JMAP_DUMP_REVISION"), ", ", env!("JMAP_DUMP_TARGET"), ")");
