//! Passes each record of a walk to a tally and to the redactor.

use super::doubt::{is_address, is_likely};
use super::mask::Mask;
use super::redact::Redactor;
use super::tally::{Body, Tally};

/// Passes each record to a tally and to a redactor.
pub struct Redacting<'a, T> {
    pub tally: &'a mut T,
    pub redactor: &'a mut Redactor,
    pub mask: &'a mut Mask,
}

impl<T: Tally> Tally for Redacting<'_, T> {
    fn load_class(&mut self, class_id: u64, name_id: u64) {
        self.tally.load_class(class_id, name_id);
    }

    fn symbol(&mut self, id: u64, text: &[u8]) {
        self.redactor.symbol(id, text);
        self.tally.symbol(id, text);
    }

    fn class(&mut self, class_id: u64, super_id: u64, loader_id: u64) {
        self.redactor.class(class_id, super_id, loader_id);
        self.tally.class(class_id, super_id, loader_id);
    }

    fn class_value(&mut self, name_id: u64, basic_type: u8, at: u64, bytes: u64) {
        self.redactor.class_value(name_id, basic_type, at, bytes, self.mask);
        self.tally.class_value(name_id, basic_type, at, bytes);
    }

    fn field(&mut self, name_id: u64, basic_type: u8, bytes: u32) {
        self.redactor.field(name_id, basic_type, bytes);
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
    fn references(&mut self, body: Body) {
        self.redactor.references(body, self.mask);
        self.tally.references(body);
    }

    #[inline(always)]
    fn admits(&self, id: u64) -> bool {
        !self.redactor.doubts || is_address(id)
    }

    fn admits_record(&self, record: u8, bytes: u64, id_size: usize) -> bool {
        !self.redactor.doubts || is_likely(record, bytes, id_size)
    }

    #[inline(always)]
    fn primitive_array(&mut self, basic_type: u8, body: Body) {
        self.redactor.primitive_array(basic_type, body, self.mask);
        self.tally.primitive_array(basic_type, body);
    }
}
