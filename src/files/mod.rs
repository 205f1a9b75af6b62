//! Files that others may have made, named, or hold: opened by descriptor, checked, and bounded.

pub mod entry;
pub mod file_from;
pub mod given_file;
pub mod leases;
pub mod named_path;
pub mod open_limit;
pub mod private;
pub mod regular_file;
pub mod rename;
