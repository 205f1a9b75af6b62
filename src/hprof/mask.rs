//! What of a page is overwritten, behind the walker.

use super::doubt::{ID, is_address};
use super::redact::Redactor;

/// What every character becomes: a string is still one, and of its length.
const STAR: u8 = b'*';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    Zero,
    /// Characters of one byte, or of two: that is to be found out by the first of them.
    Bytes,
    /// Characters of two bytes, each as it is to be.
    Chars([u8; 2]),
    /// Nothing: the values of a String, which tell how its text is encoded.
    String,
    /// Nothing, if the references of an instance are some; the span has the identifier of its class.
    Instance,
    /// References that are none.
    References,
}

impl Fill {
    /// As HPROF has arrays of characters.
    pub const BIG_ENDIAN: Self = Self::Chars([0, STAR]);

    /// As a byte array of a String has them: in the processor's order.
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
            // One that two pages share is left out: its array is looked at instead.
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

    /// Of what two pages share, the rest of the other one is taken for good.
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
                // The page before may have had half a character.
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

/// What of one section is still to be overwritten.
#[derive(Debug, Default)]
pub struct Mask {
    /// Where the next page begins.
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

    /// Overwrites what the walk has told of this page, which follows the one before.
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

    /// The walk could not understand what comes from there on.
    pub fn blank(&mut self, page: &mut [u8], from: u64) {
        let here = from.saturating_sub(self.at).min(page.len() as u64);
        page[here as usize..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_understood_is_blanked() {
        let mut mask = Mask { at: 10, spans: Vec::new() };
        let mut page = *b"abcdef";
        mask.blank(&mut page, 13);
        assert_eq!(&page, b"abc\0\0\0");
        mask.blank(&mut page, 3);
        assert_eq!(page, [0; 6]);
    }
}
