//! Takes secrets out of a dump as it passes by: what arrays hold is overwritten in place, and so are the values of
//! fields if that is wanted. References, sizes and all else stay, so that leak analysis still works.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::ids::{IdMap, IdSet};
use super::layouts::{Layouts, NoLayout};
use super::tally::{Body, Tally};
use super::types;

/// What every character becomes: a string is still one, and of its length.
const STAR: u8 = b'*';

/// How much is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redact {
    /// What arrays of bytes and characters hold: all strings.
    Strings,
    /// What all primitive arrays hold, and all primitive fields.
    All,
}

/// What stays readable.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Arrays by their identifiers.
    pub arrays: IdSet,
    /// Whatever a byte or character array is, when it is nothing but one of these.
    pub texts: HashSet<Vec<u8>>,
    /// Classes whose instances keep their fields.
    pub classes: IdSet,
}

impl Keep {
    /// A string as arrays hold it: a byte array in Latin-1 or, since JDK 9, in the processor's UTF-16; before, a
    /// character array, which a dump has in big-endian (JEP 254; JDK: `heapDumper.cpp`, `dump_prim_array`).
    pub fn text(&mut self, text: &str) {
        if let Some(latin) = text.chars().map(|c| u8::try_from(c).ok()).collect() {
            self.texts.insert(latin);
        }
        self.texts.insert(text.encode_utf16().flat_map(u16::to_ne_bytes).collect());
        self.texts.insert(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
}

/// The primitive fields of the instances of a class.
#[derive(Debug)]
struct Primitives {
    /// Of an instance.
    length: u64,
    /// As (from, bytes).
    ranges: Box<[(u32, u32)]>,
}

/// Instances that were zeroed with their references, for nobody could tell which of their values are some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blanked {
    /// Their classes were not described before them.
    pub early: u64,
    /// Their classes have too many superclasses or fields.
    pub too_large: u64,
    /// They are not as long as their classes say.
    pub misfit: u64,
}

impl Blanked {
    fn reason(&mut self, layout: Result<(), NoLayout>) -> &mut u64 {
        match layout {
            Err(NoLayout::Undescribed) => &mut self.early,
            Err(NoLayout::TooLarge) => &mut self.too_large,
            Ok(()) => &mut self.misfit,
        }
    }
}

/// See the module's words. One is for all sections of a dump.
#[derive(Debug)]
pub struct Redactor {
    what: Redact,
    keep: Keep,
    longest_text: u64,
    layouts: Layouts,
    primitives: IdMap<Primitives>,
    pub blanked: Blanked,
    /// The class whose static values pass by is to be kept.
    in_kept_class: bool,
    /// Of the last instance: those of one class often come in a row.
    last: u64,
}

impl Redactor {
    pub fn new(what: Redact, keep: Keep) -> Self {
        let longest_text = keep.texts.iter().map(Vec::len).max().unwrap_or(0) as u64;
        let (layouts, primitives) = (Layouts::default(), IdMap::default());
        Self {
            what,
            keep,
            longest_text,
            layouts,
            primitives,
            blanked: Blanked::default(),
            in_kept_class: false,
            last: 0,
        }
    }

    fn instance(&mut self, class_id: u64, body: Body, mask: &mut Mask) {
        if self.what == Redact::Strings || self.keep.classes.contains(&class_id) {
            return;
        }
        let known = if self.last == class_id { Ok(()) } else { self.learn(class_id) };
        self.last = if known.is_ok() { class_id } else { 0 };
        match (known, self.primitives.get(&class_id)) {
            (Ok(()), Some(Primitives { length, ranges })) if *length == body.bytes => {
                for (from, bytes) in ranges {
                    mask.add(Span { at: body.at + u64::from(*from), bytes: u64::from(*bytes), fill: Fill::Zero });
                }
            }
            // Which of its values are references cannot be known.
            (known, _) => {
                *self.blanked.reason(known) += 1;
                self.last = 0;
                mask.add(Span { at: body.at, bytes: body.bytes, fill: Fill::Zero });
            }
        }
    }

    fn learn(&mut self, class_id: u64) -> Result<(), NoLayout> {
        if self.primitives.contains_key(&class_id) {
            return Ok(());
        }
        let fields = self.layouts.fields_of(class_id)?;
        let length = fields.last().map_or(0, |last| u64::from(last.at + last.bytes));
        let primitive = fields.iter().filter(|field| !field.is_reference());
        let ranges = joined(primitive.map(|field| (field.at, field.bytes)));
        self.primitives.insert(class_id, Primitives { length, ranges });
        Ok(())
    }

    #[inline(always)]
    fn primitive_array(&self, basic_type: u8, body: Body, mask: &mut Mask) {
        let fill = match (basic_type, self.what) {
            (types::CHAR, _) => Fill::Chars,
            (types::BYTE, _) => Fill::Bytes,
            (_, Redact::All) => Fill::Zero,
            (_, Redact::Strings) => return,
        };
        if self.keep.arrays.is_empty() || !self.keep.arrays.contains(&body.id) {
            mask.add(Span { at: body.at, bytes: body.bytes, fill });
        }
    }

    fn class_value(&self, basic_type: u8, at: u64, bytes: u64, mask: &mut Mask) {
        if self.what == Redact::All && basic_type != types::OBJECT && !self.in_kept_class {
            mask.add(Span { at, bytes, fill: Fill::Zero });
        }
    }

    /// A text that is to stay, all of which is in `bytes`. One that two pages share does not: half of it might be
    /// half of a secret.
    fn keeps(&self, span: &Span, bytes: &[u8]) -> bool {
        span.fill != Fill::Zero
            && span.bytes <= self.longest_text
            && bytes.len() as u64 == span.bytes
            && self.keep.texts.contains(bytes)
    }
}

/// Neighbours become one.
fn joined(ranges: impl Iterator<Item = (u32, u32)>) -> Box<[(u32, u32)]> {
    let mut joined: Vec<(u32, u32)> = Vec::new();
    for (at, bytes) in ranges {
        match joined.last_mut() {
            Some((from, before)) if *from + *before == at => *before += bytes,
            _ => joined.push((at, bytes)),
        }
    }
    joined.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    Zero,
    /// Characters of one byte.
    Bytes,
    /// Big-endian characters of two bytes.
    Chars,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    at: u64,
    bytes: u64,
    fill: Fill,
}

impl Span {
    fn fill(&self, from: u64, bytes: &mut [u8]) {
        match self.fill {
            Fill::Zero => bytes.fill(0),
            Fill::Bytes => bytes.fill(STAR),
            Fill::Chars => {
                // The page before may have had half a character.
                let (half, whole) = bytes.split_at_mut(((from - self.at) % 2) as usize);
                half.fill(STAR);
                let (whole, rest) = whole.as_chunks_mut::<2>();
                whole.fill([0, STAR]);
                rest.fill(0);
            }
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
    fn add(&mut self, span: Span) {
        if span.bytes > 0 {
            self.spans.push(span);
        }
    }

    /// Overwrites what the walk has told of this page, which follows the one before.
    pub fn apply(&mut self, page: &mut [u8], redactor: &Redactor) {
        let (start, end) = (self.at, self.at + page.len() as u64);
        self.spans.retain(|span| {
            let span_end = span.at.saturating_add(span.bytes);
            let (from, to) = (span.at.max(start), span_end.min(end));
            if from < to {
                let here = &mut page[(from - start) as usize..(to - start) as usize];
                if !redactor.keeps(span, here) {
                    span.fill(from, here);
                }
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

/// Tells both a tally and a redactor.
pub struct Redacting<'a, T> {
    pub tally: &'a mut T,
    pub redactor: &'a mut Redactor,
    pub mask: &'a mut Mask,
}

impl<T: Tally> Tally for Redacting<'_, T> {
    fn load_class(&mut self, class_id: u64, name_id: u64) {
        self.tally.load_class(class_id, name_id);
    }

    fn class(&mut self, class_id: u64, super_id: u64) {
        if self.redactor.what == Redact::All {
            self.redactor.layouts.class(class_id, super_id);
            self.redactor.in_kept_class = self.redactor.keep.classes.contains(&class_id);
        }
        self.tally.class(class_id, super_id);
    }

    fn class_value(&mut self, basic_type: u8, at: u64, bytes: u64) {
        self.redactor.class_value(basic_type, at, bytes, self.mask);
        self.tally.class_value(basic_type, at, bytes);
    }

    fn field(&mut self, name_id: u64, basic_type: u8, bytes: u32) {
        if self.redactor.what == Redact::All {
            self.redactor.layouts.field(name_id, basic_type, bytes);
        }
        self.tally.field(name_id, basic_type, bytes);
    }

    #[inline(always)]
    fn instance(&mut self, class_id: u64, body: Body) {
        self.redactor.instance(class_id, body, self.mask);
        self.tally.instance(class_id, body);
    }

    #[inline(always)]
    fn object_array(&mut self, class_id: u64, bytes: u64) {
        self.tally.object_array(class_id, bytes);
    }

    #[inline(always)]
    fn primitive_array(&mut self, basic_type: u8, body: Body) {
        self.redactor.primitive_array(basic_type, body, self.mask);
        self.tally.primitive_array(basic_type, body);
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
