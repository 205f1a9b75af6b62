//! The HPROF format, pure: bytes in, values out.

pub mod records;
mod summary;
mod walker;

pub use summary::{Records, Summary};
pub use walker::{Malformed, Walker};
