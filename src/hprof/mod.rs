//! The HPROF format, pure: bytes in, values out.

pub mod records;
mod walker;

pub use walker::{Malformed, Records, Summary, Walker};
