//! Gets the heap dump out of a JVM: `ARCHITECTURE.md` walks one dump through these modules, which stand here in
//! the order of the data.

#![deny(unsafe_code)]
// Tests make and read files of their own, and wait for their threads.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod cli;
pub mod settings;

pub mod error;

pub mod deadline;
mod file_from;
mod given_file;
pub mod log_copy;
mod memory;
pub mod output;
pub mod printable;
pub mod progress;
mod regular_file;
pub mod units;
pub mod waiting;

pub mod commands;

pub mod condition;
pub mod discovery;
pub mod faults;
pub mod target;

pub mod single_run;

pub mod attach;

mod companion;
mod entry;
pub mod guard;
pub mod incoming;
pub mod journal;
mod named_path;
pub mod private;
pub mod private_memory;

pub mod heap_dump;

pub mod hprof;

mod dump_reader;
pub mod effort;
mod gunzip;
pub mod gzip;
pub mod pages;
pub mod panics;
pub mod pipeline;
pub mod stages;
pub mod straight;

pub mod spool;

pub mod classes;
pub mod redaction;

pub mod store;

pub mod download;
mod leases;
mod open_files;
pub mod pod;
mod rename;
pub mod run_id;
mod sys;

/// Version, source revision and target, as build.rs found them.
pub const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("JMAP_DUMP_REVISION"), ", ", env!("JMAP_DUMP_TARGET"), ")");
