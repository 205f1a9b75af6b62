//! What a walk tells on its way.

/// Is told what passes by, in the order of the dump, as soon as the head of a record is there. Sizes are those of the
/// values in the dump. What it does not care about it leaves out.
pub trait Tally {
    /// A class is declared. Objects of it may have passed by already.
    fn load_class(&mut self, _class_id: u64, _name_id: u64) {}

    fn instance(&mut self, _class_id: u64, _bytes: u64) {}

    /// Its class is that of the array.
    fn object_array(&mut self, _class_id: u64, _bytes: u64) {}

    /// It has a basic type and no class.
    fn primitive_array(&mut self, _basic_type: u8, _bytes: u64) {}
}

/// Nobody is told.
impl Tally for () {}
