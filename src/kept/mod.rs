//! Everything that lies on disk beyond the process: journals, sealed dumps, and what killed runs have left.

pub mod claim;
pub mod dump_dir;
pub mod journal;
mod journal_file;
mod journal_lines;
pub mod names;
pub mod proof;
pub mod removal;
pub mod sealed;
mod states;
pub mod sweep;
