//! Files that other users may have made, named or held. This layer opens them by descriptor, checks them and limits
//! their size.

pub mod entry;
pub mod file_from;
pub mod given_file;
mod held_dir;
pub mod leases;
pub mod named_path;
pub mod open_limit;
pub mod private;
pub mod regular_file;
pub mod rename;
