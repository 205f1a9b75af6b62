//! The tool itself, run as its users run it: on real JVMs, in real containers, against real stores.

#![allow(clippy::disallowed_methods, reason = "tests make and read files of their own")]

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod binary;
mod classes;
mod clean;
mod conformance;
mod containers;
mod deploy;
mod dialects;
mod fetch;
mod fs_group;
mod full_volume;
mod guard;
mod harm;
mod helpers;
mod keyless;
mod killed;
mod links;
mod main_job;
mod no_disk;
mod plugin;
mod presigned;
mod prestop;
mod readme;
mod recipes;
mod redact;
mod resume;
mod s3;
mod secrets;
mod shapes;
mod small_guest;
mod special_files;
mod watch;
mod watchers;
mod worth;
