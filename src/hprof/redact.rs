//! Removes secrets from a dump while it is walked. The redactor overwrites the contents of arrays in place and, if
//! wanted, the values of fields. References, sizes and all else stay, so that leak analysis still works.

use serde::{Deserialize, Serialize};

use super::doubt::{ID, is_address};
use super::encoding::Encodings;
use super::ids::IdMap;
use super::keep::{Keep, KeptTexts};
use super::layouts::{Layouts, NoLayout};
use super::mask::{Fill, Mask, Span};
use super::records::identifier;
use super::structure::{Structure, TEXTS};
use super::tally::Body;
use super::types;

/// The data that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redact {
    /// The contents of arrays of bytes, characters and ints. Arrays of bytes and characters hold all strings. HotSpot
    /// fills dead space of its heap with arrays of ints, which still have the bytes of dead objects (JDK:
    /// `collectedHeap.cpp`, `CollectedHeap::fill_with_array`). A dump shows such an array as any other `int[]`, even
    /// where it has a class of its own (since JDK 19).
    Strings,
    /// The contents of all primitive arrays, and all primitive fields except those that `Structure` keeps.
    All,
}

/// The primitive fields of the instances of a class.
#[derive(Debug)]
struct Primitives {
    /// Bytes of an instance.
    length: u64,
    /// Primitive values, as (offset, bytes).
    ranges: Box<[(u32, u32)]>,
    /// Offsets of references of eight bytes.
    references: Box<[u32]>,
}

/// Counts the instances that were zeroed as a whole, although references may stay. Nothing tells which of their values
/// are references.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blanked {
    /// Instances that came before the description of their classes.
    pub early: u64,
    /// Instances whose classes have too many superclasses or fields.
    pub too_large: u64,
    /// Instances that are not as long as their classes say.
    pub misfit: u64,
    /// True if instances lost even the fields that `Structure` keeps: the names of fields came too late.
    pub sizes: bool,
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

/// Decides which bytes are overwritten. One redactor serves all sections of a dump.
#[derive(Debug)]
pub struct Redactor {
    what: Redact,
    keep: Keep,
    texts: KeptTexts,
    structure: Structure,
    pub(super) encodings: Encodings,
    layouts: Layouts,
    primitives: IdMap<Primitives>,
    pub blanked: Blanked,
    open: OpenClass,
    /// True if the dump may be damaged.
    pub(super) doubts: bool,
    /// The class of the last instance: instances of one class often come in a row.
    last: u64,
}

/// The class whose static values are being read.
#[derive(Debug, Default)]
struct OpenClass {
    is_kept: bool,
    is_jdk: bool,
}

impl Redactor {
    pub fn new(what: Redact, mut keep: Keep) -> Self {
        TEXTS.iter().for_each(|text| keep.text(text));
        let texts = KeptTexts::new(std::mem::take(&mut keep.texts));
        Self {
            what,
            keep,
            texts,
            structure: Structure::default(),
            encodings: Encodings::default(),
            layouts: Layouts::default(),
            primitives: IdMap::default(),
            blanked: Blanked::default(),
            open: OpenClass::default(),
            doubts: false,
            last: 0,
        }
    }

    /// Makes the redactor doubt a dump that may be damaged, where text may lie instead of anything else. A value that
    /// cannot be what its record says ends the walk, or is overwritten.
    #[must_use]
    pub fn doubting(self) -> Self {
        Self { doubts: true, ..self }
    }

    /// Returns whether the heap can be redacted now, without the symbols that are still to come in the head.
    pub fn knows_names(&self) -> bool {
        self.what == Redact::Strings || self.structure.is_known()
    }

    pub(super) fn symbol(&mut self, id: u64, text: &[u8]) {
        let names_field = self.structure.symbol(id, text);
        self.blanked.sizes |= names_field && self.what == Redact::All && !self.primitives.is_empty();
        self.encodings.symbol(id, text);
    }

    pub(super) fn class(&mut self, class_id: u64, super_id: u64, loader_id: u64) {
        self.encodings.class(class_id, loader_id == 0);
        if self.what == Redact::All || self.doubts {
            self.layouts.class(class_id, super_id, loader_id);
            self.open = OpenClass { is_kept: self.keep.classes.contains(&class_id), is_jdk: loader_id == 0 };
        }
    }

    pub(super) fn field(&mut self, name_id: u64, basic_type: u8, bytes: u32) {
        self.encodings.field(name_id, basic_type, bytes);
        if self.what == Redact::All || self.doubts {
            self.layouts.field(name_id, basic_type, bytes);
        }
    }

    #[inline(always)]
    pub(super) fn instance(&mut self, class_id: u64, body: Body, mask: &mut Mask) {
        if self.encodings.is_string(class_id) {
            mask.add(Span { id: body.id, at: body.at, bytes: body.bytes, fill: Fill::String });
        }
        if self.doubts {
            mask.add(Span { id: class_id, at: body.at, bytes: body.bytes, fill: Fill::Instance });
        }
        if self.what == Redact::All && !self.keep.classes.contains(&class_id) {
            self.fields(class_id, body, mask);
        } else if self.doubts {
            self.must_fit(class_id, body, mask);
        }
    }

    /// Zeroes an instance whose class is unknown or has another length. Such an instance may have swallowed a text.
    fn must_fit(&mut self, class_id: u64, body: Body, mask: &mut Mask) {
        let known = if self.last == class_id { Ok(()) } else { self.learn(class_id) };
        self.last = if known.is_ok() { class_id } else { 0 };
        if known.is_err() || self.primitives.get(&class_id).is_none_or(|class| class.length != body.bytes) {
            *self.blanked.reason(known) += 1;
            mask.add(Span { id: body.id, at: body.at, bytes: body.bytes, fill: Fill::Zero });
        }
    }

    /// Returns whether all references of an instance can be addresses. If its class is unknown, that is assumed.
    pub(super) fn has_references(&self, class_id: u64, values: &[u8]) -> bool {
        let Some(class) = self.primitives.get(&class_id) else { return true };
        class.references.iter().all(|at| {
            let at = *at as usize;
            at + ID > values.len() || is_address(identifier(values, at, ID))
        })
    }

    fn fields(&mut self, class_id: u64, body: Body, mask: &mut Mask) {
        let zero = |at, bytes| Span { id: body.id, at, bytes, fill: Fill::Zero };
        let known = if self.last == class_id { Ok(()) } else { self.learn(class_id) };
        self.last = if known.is_ok() { class_id } else { 0 };
        match (known, self.primitives.get(&class_id)) {
            (Ok(()), Some(Primitives { length, ranges, .. })) if *length == body.bytes => {
                for (from, bytes) in ranges {
                    mask.add(zero(body.at + u64::from(*from), u64::from(*bytes)));
                }
            }
            // Nothing tells which of its values are references.
            (known, _) => {
                *self.blanked.reason(known) += 1;
                self.last = 0;
                mask.add(zero(body.at, body.bytes));
            }
        }
    }

    #[inline(always)]
    pub(super) fn references(&self, body: Body, mask: &mut Mask) {
        if self.doubts {
            mask.add(Span { id: body.id, at: body.at, bytes: body.bytes, fill: Fill::References });
        }
    }

    #[inline(always)]
    pub(super) fn primitive_array(&self, basic_type: u8, body: Body, mask: &mut Mask) {
        let fill = match (basic_type, self.what) {
            (types::CHAR, _) => Fill::BIG_ENDIAN,
            (types::BYTE, _) => Fill::Bytes,
            (types::INT, _) | (_, Redact::All) => Fill::Zero,
            (_, Redact::Strings) => return,
        };
        if !self.keep.array_types.contains(&basic_type)
            && (self.keep.arrays.is_empty() || !self.keep.arrays.contains(&body.id))
        {
            mask.add(Span { id: body.id, at: body.at, bytes: body.bytes, fill });
        }
    }

    pub(super) fn class_value(&self, name_id: u64, basic_type: u8, at: u64, bytes: u64, mask: &mut Mask) {
        let is_told = self.what == Redact::All && basic_type != types::OBJECT && !self.open.is_kept;
        if is_told && !self.structure.keeps_static(self.open.is_jdk, name_id, basic_type) {
            mask.add(Span { id: 0, at, bytes, fill: Fill::Zero });
        }
    }

    /// Returns whether `bytes` are the whole of a text that stays. A text that two pages share does not stay: its half
    /// may be half of a secret.
    pub(super) fn keeps(&self, span: &Span, bytes: &[u8]) -> bool {
        span.fill != Fill::Zero && bytes.len() as u64 == span.bytes && self.texts.contains(bytes)
    }

    fn learn(&mut self, class_id: u64) -> Result<(), NoLayout> {
        if self.primitives.contains_key(&class_id) {
            return Ok(());
        }
        let (mut length, mut ranges, mut references) = (0, Vec::new(), Vec::new());
        self.layouts.each_field(class_id, |class, field| {
            length = u64::from(field.at + field.bytes);
            if field.is_reference() && field.bytes as usize == ID {
                references.push(field.at);
            }
            if !field.is_reference() && !self.structure.keeps_field(class, field.name_id, field.basic_type) {
                ranges.push((field.at, field.bytes));
            }
        })?;
        let ranges = joined(ranges.into_iter());
        self.primitives.insert(class_id, Primitives { length, ranges, references: references.into() });
        Ok(())
    }
}

/// Joins neighbouring ranges.
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

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
