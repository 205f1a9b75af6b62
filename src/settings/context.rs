//! Facts of a JVM that are stored beside its dump.

use super::values::choice;

/// A kind of facts that the JVM reports beside its heap.
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
