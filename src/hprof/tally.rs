//! Callbacks of the walker: one per record.

/// The values of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    pub id: u64,
    /// Offset from the start of the walked bytes.
    pub at: u64,
    pub bytes: u64,
}

/// Longest symbol that is passed on, in bytes. Nobody looks for a longer name.
pub const SYMBOL_MAX: usize = 64;

/// Receives records in the order of the dump, as soon as the head of a record has come. Sizes are those of the values
/// in the dump. By default, each method does nothing.
pub trait Tally {
    /// Receives the declaration of a class. Objects of the class may have come before.
    fn load_class(&mut self, _class_id: u64, _name_id: u64) {}

    /// Receives a symbol of at most [`SYMBOL_MAX`] bytes.
    fn symbol(&mut self, _id: u64, _text: &[u8]) {}

    /// Receives the description of a class. Its static values and its fields follow. The boot loader has the identifier
    /// 0.
    fn class(&mut self, _class_id: u64, _super_id: u64, _loader_id: u64) {}

    /// Receives a static value of the class, or a constant, which has no name (0). A value may come twice.
    fn class_value(&mut self, _name_id: u64, _basic_type: u8, _at: u64, _bytes: u64) {}

    /// Receives the next field of the class. In an instance, the fields of the superclass lie behind these.
    fn field(&mut self, _name_id: u64, _basic_type: u8, _bytes: u32) {}

    /// Receives the object of a live thread.
    fn thread_root(&mut self, _thread_id: u64) {}

    fn instance(&mut self, _class_id: u64, _body: Body) {}

    /// Receives the elements of an array of references of eight bytes.
    fn references(&mut self, _body: Body) {}

    /// Receives an array of objects. `class_id` is the class of the array.
    fn object_array(&mut self, _class_id: u64, _bytes: u64) {}

    /// Receives an array of a basic type, which has no class.
    fn primitive_array(&mut self, _basic_type: u8, _body: Body) {}

    /// Returns whether an object or a class may have this identifier. If not, the walk ends with an error.
    #[inline(always)]
    fn admits(&self, _id: u64) -> bool {
        true
    }

    /// Returns whether a record outside of the heap may have `bytes` behind its header.
    fn admits_record(&self, _record: u8, _bytes: u64, _id_size: usize) -> bool {
        true
    }
}

/// Ignores all records.
impl Tally for () {}
