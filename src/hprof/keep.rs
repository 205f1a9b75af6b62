//! The data that a redaction leaves readable.

use std::collections::HashSet;

use super::ids::IdSet;

/// The data that stays readable.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Arrays with these identifiers.
    pub arrays: IdSet,
    /// Arrays of these basic types.
    pub array_types: Vec<u8>,
    /// Byte or character arrays whose whole content is one of these.
    pub texts: HashSet<Vec<u8>>,
    /// Classes whose instances keep their fields.
    pub classes: IdSet,
}

impl Keep {
    /// Keeps a text in each form in which arrays hold it. A byte array holds Latin-1 or, since JDK 9, UTF-16 in the
    /// processor's order. Before JDK 9, a character array holds it, and a dump has that in big-endian (JEP 254; JDK:
    /// `heapDumper.cpp`, `dump_prim_array`).
    pub fn text(&mut self, text: &str) {
        if let Some(latin) = text.chars().map(|c| u8::try_from(c).ok()).collect() {
            self.texts.insert(latin);
        }
        self.texts.insert(text.encode_utf16().flat_map(u16::to_ne_bytes).collect());
        self.texts.insert(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
}

/// The texts that stay, with two quick answers before the hash.
#[derive(Debug)]
pub(super) struct KeptTexts {
    texts: HashSet<Vec<u8>>,
    /// For each length in bytes, whether a text that stays has it.
    lengths: Box<[bool]>,
    /// For each byte, whether a text that stays begins with it. Most arrays need no hash then.
    starts: Box<[bool]>,
}

impl KeptTexts {
    pub fn new(texts: HashSet<Vec<u8>>) -> Self {
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        let mut lengths = vec![false; longest + 1].into_boxed_slice();
        let mut starts = vec![false; 1 << u8::BITS].into_boxed_slice();
        for text in &texts {
            lengths[text.len()] = true;
            text.first().into_iter().for_each(|first| starts[usize::from(*first)] = true);
        }
        Self { texts, lengths, starts }
    }

    pub fn contains(&self, bytes: &[u8]) -> bool {
        self.lengths.get(bytes.len()).is_some_and(|any| *any)
            && bytes.first().is_some_and(|first| self.starts[usize::from(*first)])
            && self.texts.contains(bytes)
    }
}
