//! The tool itself, run as its users run it: on real JVMs, in real containers, against real stores.

#![allow(clippy::disallowed_methods, reason = "tests read their own files and wait for their children")]

#[path = "../common/mod.rs"]
mod common;

mod alt_temp_dir;
mod attach;
mod bad_input;
mod binary;
mod bounds;
mod classes;
mod clean;
mod closed_jvm;
mod conformance;
mod console;
mod console_page;
mod console_policy;
mod containers;
mod deploy;
mod dialects;
mod double_kill;
mod ends;
mod faults;
mod fetch;
mod filler;
mod fs_group;
mod full_volume;
mod guard;
mod gvisor;
mod harm;
mod helpers;
mod holder;
mod into_memory;
mod keyless;
mod killed;
mod layers;
mod links;
mod main_job;
mod named_paths;
mod newest;
mod no_disk;
mod plain_text;
mod planted;
mod plugin;
mod presigned;
mod prestop;
mod promises;
mod readme;
mod recipes;
mod redact;
mod redact_structure;
mod resume;
mod s3;
mod secrets;
mod shapes;
mod small_guest;
mod special_files;
mod stages;
mod store_refuses;
mod store_settings;
mod store_word;
mod turn;
mod watch;
mod watchers;
mod whole;
mod worth;
