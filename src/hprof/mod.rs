//! The HPROF format, pure: bytes in, values out.

mod histogram;
pub mod names;
pub mod records;
mod reframe;
mod summary;
mod tally;
mod types;
mod walker;

pub use histogram::{CLASSES_MAX, Histogram, Ranking};
pub use reframe::Reframer;
pub use summary::{Amount, ClassShare, Records, Summary, TopClasses};
pub use tally::Tally;
pub use walker::{Malformed, Walker};
