//! The HPROF format, pure: bytes in, values out.

pub mod records;
mod reframe;
mod summary;
mod walker;

pub use reframe::Reframer;
pub use summary::{Records, Summary};
pub use walker::{Malformed, Walker};
