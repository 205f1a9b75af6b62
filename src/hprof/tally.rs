//! What a walk tells on its way.

/// Where the values of an object lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    pub id: u64,
    /// From the start of what is walked.
    pub at: u64,
    pub bytes: u64,
}

/// A longer symbol is not told: it is no name that anybody looks for.
pub const SYMBOL_MAX: usize = 64;

/// Is told what passes by, in the order of the dump, as soon as the head of a record is there. Sizes are those of the
/// values in the dump. What it does not care about it leaves out.
pub trait Tally {
    /// A class is declared. Objects of it may have passed by already.
    fn load_class(&mut self, _class_id: u64, _name_id: u64) {}

    /// A symbol of at most `SYMBOL_MAX` bytes.
    fn symbol(&mut self, _id: u64, _text: &[u8]) {}

    /// A class is described; its static values and its fields follow. The boot loader has the identifier 0.
    fn class(&mut self, _class_id: u64, _super_id: u64, _loader_id: u64) {}

    /// A static value of that class, or a constant, which has no name (0). It may be told twice.
    fn class_value(&mut self, _name_id: u64, _basic_type: u8, _at: u64, _bytes: u64) {}

    /// The next field of the instances of that class, behind which those of its superclass come.
    fn field(&mut self, _name_id: u64, _basic_type: u8, _bytes: u32) {}

    /// The object of a thread that lives.
    fn thread_root(&mut self, _thread_id: u64) {}

    fn instance(&mut self, _class_id: u64, _body: Body) {}

    /// What an array of references of eight bytes holds.
    fn references(&mut self, _body: Body) {}

    /// Its class is that of the array.
    fn object_array(&mut self, _class_id: u64, _bytes: u64) {}

    /// It has a basic type and no class.
    fn primitive_array(&mut self, _basic_type: u8, _body: Body) {}

    /// Whether an object or a class may have this identifier. What has another one is no record, and ends the walk.
    #[inline(always)]
    fn admits(&self, _id: u64) -> bool {
        true
    }

    /// Whether a record outside of the heap may have so many bytes behind its header.
    fn admits_record(&self, _record: u8, _bytes: u64, _id_size: usize) -> bool {
        true
    }
}

/// Nobody is told.
impl Tally for () {}
