//! From raw bytes to gzip members: pages, the walk on its way, the compressor, the spool.

pub mod compressor;
pub mod cpu_share;
pub mod dump_reader;
pub mod gunzip;
pub mod gzip;
pub mod pages;
pub mod redaction;
pub mod source;
pub mod spool;
pub mod verdict;
