//! From raw bytes to gzip members: pages, source, compressor, spool, verdict.

pub mod block;
pub mod compressor;
pub mod cpu_share;
pub mod dump_reader;
pub mod gunzip;
pub mod gzip;
mod head_move;
mod object_order;
pub mod page_hashes;
pub mod pages;
pub mod redaction;
pub mod source;
pub mod spool;
pub mod verdict;
mod walk_stage;
