//! The HPROF format: bytes in, values out. No I/O.

mod doubt;
mod encoding;
mod histogram;
mod ids;
mod keep;
mod layouts;
mod lookout;
mod mask;
mod mender;
pub mod names;
mod out_of_memory;
mod record_start;
pub mod records;
mod redact;
mod redacting;
mod reframe;
#[cfg(test)]
pub(crate) mod sample;
mod stretches;
mod structure;
mod summary;
mod tally;
mod types;
mod walker;

pub use histogram::Histogram;
#[cfg(test)]
pub use ids::IdSet;
pub use keep::Keep;
pub use lookout::{Goals, Lookout, STRING, THREAD, THREAD_NAME};
pub use mask::Mask;
pub use mender::Mender;
pub use out_of_memory::Frame;
pub use record_start::RecordStarts;
pub use redact::{Blanked, Redact, Redactor};
pub use redacting::Redacting;
pub use reframe::Reframer;
pub use stretches::{Stretch, Stretches};
pub use summary::{Amount, ClassShare, Summary, TopClasses};
#[cfg(test)]
pub use tally::Body;
pub use tally::Tally;
pub use types::{element_of, java_name};
pub use walker::{Malformed, Walker};
