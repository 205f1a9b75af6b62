//! What is asked of a JVM besides its heap.

use super::values::choice;

/// What can be asked of a JVM besides its heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    Threads,
    Flags,
}

pub(super) fn contexts(text: &str) -> Result<Vec<Context>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|word| choice(word.trim(), &[("threads", Context::Threads), ("flags", Context::Flags)]))
        .collect()
}
