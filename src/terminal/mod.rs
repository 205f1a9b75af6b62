//! Standard output and error: the receipt, the log, the progress.

mod frame;
pub mod log_copy;
pub mod output;
pub mod progress;
mod screen;
