//! Finds the byte arrays that hold UTF-16, so that the redactor replaces each character by one `*`. A dump has the
//! encoding not at the array, but at the String that refers to the array (JEP 254). The String mostly comes first.

use super::ids::IdSet;
use super::records::identifier;
use super::types::{BYTE, INT, OBJECT};

/// The `coder` of UTF-16 (JDK: `String.java`, `String.UTF16`).
const UTF16: u8 = 1;

/// Most arrays that a String has announced and that have not come yet. Their identifiers fill a table of 2.3 MiB.
const AWAITED_MAX: usize = 7 << 15;

/// Bytes at the start of an array that are examined for its encoding.
const EXAMINED: usize = 1024;

/// The names of the fields of String.
const NAMES: [&[u8]; 3] = [b"value", b"coder", b"hash"];

/// Learns the fields of String, and decides for each byte array whether it is UTF-16.
#[derive(Debug, Default)]
pub struct Encodings {
    /// Identifiers of [`NAMES`].
    names: [u64; 3],
    /// The class whose description is being read.
    open: Described,
    /// The class String. 0, which is no class, until its description has come.
    string_class: u64,
    string: Described,
    awaited: IdSet,
}

/// The fields of [`NAMES`] in a class.
#[derive(Debug, Default, Clone, Copy)]
struct Described {
    class_id: u64,
    bytes: usize,
    /// Offset and length, in bytes.
    value: Option<(usize, usize)>,
    coder: Option<usize>,
    has_hash: bool,
}

impl Encodings {
    pub fn symbol(&mut self, id: u64, text: &[u8]) {
        if let Some(at) = NAMES.iter().position(|name| *name == text) {
            self.names[at] = id;
        }
    }

    pub fn class(&mut self, class_id: u64, is_jdk: bool) {
        self.open = Described { class_id: if is_jdk { class_id } else { 0 }, ..Described::default() };
    }

    pub fn field(&mut self, name_id: u64, basic_type: u8, bytes: u32) {
        if self.open.class_id == 0 || self.string_class != 0 {
            return;
        }
        let (at, [value, coder, hash]) = (self.open.bytes, self.names);
        let open = &mut self.open;
        open.bytes += bytes as usize;
        match basic_type {
            OBJECT if name_id == value => open.value = Some((at, bytes as usize)),
            BYTE if name_id == coder => open.coder = Some(at),
            INT if name_id == hash => open.has_hash = true,
            _ => {}
        }
        if open.value.is_some() && open.coder.is_some() && open.has_hash {
            (self.string_class, self.string) = (open.class_id, *open);
        }
    }

    #[inline(always)]
    pub fn is_string(&self, class_id: u64) -> bool {
        self.string_class == class_id && class_id != 0
    }

    /// Reads the values of a String. If its `coder` says UTF-16, its array is awaited.
    pub fn look_at(&mut self, values: &[u8]) {
        let Described { value: Some((from, bytes)), coder: Some(coder), .. } = self.string else { return };
        if values.get(coder) == Some(&UTF16) && from + bytes <= values.len() && self.awaited.len() < AWAITED_MAX {
            self.awaited.insert(identifier(values, from, bytes));
        }
    }

    /// Returns whether an array of `bytes` bytes is UTF-16: its String has said so, or its start looks like UTF-16.
    pub fn is_utf16(&mut self, id: u64, start: &[u8], bytes: u64) -> bool {
        bytes.is_multiple_of(2)
            && ((!self.awaited.is_empty() && self.awaited.remove(&id))
                || looks_utf16(&start[..start.len().min(EXAMINED)]))
    }
}

/// Returns whether a text looks like UTF-16. Latin-1 text has no control characters except those of lines. A String is
/// UTF-16 only if it has a character beyond Latin-1. One of the two bytes of such a character mostly is a control
/// character.
fn looks_utf16(text: &[u8]) -> bool {
    if is_ascii_text(text) {
        return false;
    }
    // UTF-8 text can have such bytes as well, so valid UTF-8 does not count.
    let is_strange = || text.iter().any(|byte| is_strange(*byte));
    let is_no_utf8 = || std::str::from_utf8(text).is_err_and(|error| error.error_len().is_some());
    is_stepped(text) || text.contains(&0) || (is_strange() && is_no_utf8())
}

/// Returns whether each second byte is below 0x20. That is so for text of a script below U+2000.
fn is_stepped(text: &[u8]) -> bool {
    let high = usize::from(cfg!(target_endian = "little"));
    text.len() >= 2 && text.iter().skip(high).step_by(2).all(|byte| *byte < 0x20)
}

fn is_strange(byte: u8) -> bool {
    matches!(byte, 0..=7 | 0x0E..=0x1A | 0x1C..=0x1F | 0x7F..=0x9F)
}

/// Returns whether all bytes are printable ASCII. The function compares eight bytes at a time, because it examines
/// every array.
fn is_ascii_text(text: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = text.as_chunks::<8>();
    let word_is = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        // True if no byte has its high bit set and none is below 0x20 ("Bit Twiddling Hacks", "Determine if a word has
        // a byte less than n").
        (word | word.wrapping_sub(ONES * 0x20)) & (ONES * 0x80) == 0
    };
    words.iter().all(word_is) && rest.iter().all(|byte| (0x20..0x80).contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_ne_bytes).collect()
    }

    #[test]
    fn utf16_is_recognized_by_its_bytes() {
        for text in
            ["Ω", "Привет", "мир и дружба", "漢a", "漢字 かな", "한국어 텍스트", "עברית", "हिन्दी", "price: 5 €", "ไทย"]
        {
            assert!(looks_utf16(&utf16(text)), "{text}");
        }
        for text in ["a", "ab", "text\n", "tabs\tand\r\n", "~~~~~~~~~~", "0123456789abcdef"] {
            assert!(!looks_utf16(text.as_bytes()), "{text}");
        }
        let latin: Vec<u8> = "Füße für Ämter, ¿qué?".chars().map(|c| c as u8).collect();
        assert!(!looks_utf16(&latin));
        assert!(!looks_utf16("Füße in UTF-8, 漢字".as_bytes()));
    }

    #[test]
    fn a_string_tells_the_encoding_of_its_array() {
        let mut encodings = Encodings::default();
        for (id, name) in (1..).zip(["value", "coder", "hash"]) {
            encodings.symbol(id, name.as_bytes());
        }
        encodings.class(0x10, true);
        for (name, basic_type, bytes) in [(1, OBJECT, 8), (2, BYTE, 1), (3, INT, 4)] {
            encodings.field(name, basic_type, bytes);
        }
        assert!(encodings.is_string(0x10) && !encodings.is_string(0x11));
        encodings.look_at(&[0, 0, 0, 0, 0, 0, 0, 0x77, UTF16, 0, 0, 0, 0]);
        encodings.look_at(&[0, 0, 0, 0, 0, 0, 0, 0x78, 0, 0, 0, 0, 0]);
        let plain = *b"plainly Latin-1 ";
        assert!(!encodings.is_utf16(0x78, &plain, 16));
        assert!(encodings.is_utf16(0x77, &plain, 16), "its String says so");
        assert!(!encodings.is_utf16(0x77, &plain, 16), "it passes by once");
    }
}
