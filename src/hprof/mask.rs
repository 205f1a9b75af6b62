//! Overwrites bytes of a page after the walker has read them.

use super::doubt::{ID, is_address};
use super::redact::Redactor;

/// Replaces each character. A string stays a string, and keeps its length.
const STAR: u8 = b'*';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    Zero,
    /// Characters of one byte or of two. The first bytes show which.
    Bytes,
    /// Characters of two bytes, each replaced by this one.
    Chars([u8; 2]),
    /// Overwrites nothing. These values of a String tell how its text is encoded.
    String,
    /// Zeroes an instance if one of its references can be no address. The span has the identifier of its class.
    Instance,
    /// Zeroes the references that can be no address.
    References,
}

impl Fill {
    /// Characters in the order of HPROF.
    pub const BIG_ENDIAN: Self = Self::Chars([0, STAR]);

    /// Characters in the byte array of a String: in the processor's order.
    pub const UTF16: Self = Self::Chars((STAR as u16).to_ne_bytes());
}

#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub id: u64,
    pub at: u64,
    pub bytes: u64,
    pub fill: Fill,
}

impl Span {
    fn overwrite(&mut self, from: u64, bytes: &mut [u8], redactor: &mut Redactor) {
        if self.fill == Fill::String {
            // A String that two pages share is left out. Its array is examined instead.
            if bytes.len() as u64 == self.bytes {
                redactor.encodings.look_at(bytes);
            }
            return;
        }
        if matches!(self.fill, Fill::Instance | Fill::References) {
            return self.doubt(from, bytes, redactor);
        }
        if redactor.keeps(self, bytes) {
            return;
        }
        if self.fill == Fill::Bytes && from == self.at && redactor.encodings.is_utf16(self.id, bytes, self.bytes) {
            self.fill = Fill::UTF16;
        }
        self.fill(from, bytes);
    }

    /// Zeroes references that can be no address, or the instance that has one. Values that two pages share are not
    /// checked.
    fn doubt(&self, from: u64, bytes: &mut [u8], redactor: &mut Redactor) {
        if self.fill == Fill::References {
            let other = (self.at.wrapping_sub(from) % ID as u64) as usize;
            let other = other.min(bytes.len());
            let (ids, _) = bytes[other..].as_chunks_mut::<ID>();
            ids.iter_mut().filter(|id| !is_address(u64::from_be_bytes(**id))).for_each(|id| *id = [0; ID]);
        } else if bytes.len() as u64 == self.bytes && !redactor.has_references(self.id, bytes) {
            bytes.fill(0);
        }
    }

    fn fill(&self, from: u64, bytes: &mut [u8]) {
        match self.fill {
            Fill::Zero => bytes.fill(0),
            Fill::Bytes => bytes.fill(STAR),
            Fill::Chars(star) => {
                // The page before may have ended with half a character.
                let (half, whole) = bytes.split_at_mut((((from - self.at) % 2) as usize).min(bytes.len()));
                half.fill(star[1]);
                let (whole, rest) = whole.as_chunks_mut::<2>();
                whole.fill(star);
                rest.fill(star[0]);
            }
            Fill::String | Fill::Instance | Fill::References => {}
        }
    }
}

/// The spans of one section that are still to be overwritten.
#[derive(Debug, Default)]
pub struct Mask {
    /// Offset in the section where the next page begins.
    at: u64,
    spans: Vec<Span>,
}

impl Mask {
    #[inline(always)]
    pub fn add(&mut self, span: Span) {
        if span.bytes > 0 {
            self.spans.push(span);
        }
    }

    /// Overwrites the spans of this page, which follows the page before.
    pub fn apply(&mut self, page: &mut [u8], redactor: &mut Redactor) {
        let (start, end) = (self.at, self.at + page.len() as u64);
        self.spans.retain_mut(|span| {
            let span_end = span.at.saturating_add(span.bytes);
            let (from, to) = (span.at.max(start), span_end.min(end));
            if from < to {
                span.overwrite(from, &mut page[(from - start) as usize..(to - start) as usize], redactor);
            }
            span_end > end
        });
        self.at = end;
    }

    /// Zeroes the page from the offset `from` on, where the walk has failed.
    pub fn blank(&mut self, page: &mut [u8], from: u64) {
        let here = from.saturating_sub(self.at).min(page.len() as u64);
        page[here as usize..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_behind_a_failed_walk_are_blanked() {
        let mut mask = Mask { at: 10, spans: Vec::new() };
        let mut page = *b"abcdef";
        mask.blank(&mut page, 13);
        assert_eq!(&page, b"abc\0\0\0");
        mask.blank(&mut page, 3);
        assert_eq!(page, [0; 6]);
    }
}
