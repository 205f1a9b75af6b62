//! What a walk tells on its way.

/// Where the values of an object lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    pub id: u64,
    /// From the start of what is walked.
    pub at: u64,
    pub bytes: u64,
}

/// Is told what passes by, in the order of the dump, as soon as the head of a record is there. Sizes are those of the
/// values in the dump. What it does not care about it leaves out.
pub trait Tally {
    /// A class is declared. Objects of it may have passed by already.
    fn load_class(&mut self, _class_id: u64, _name_id: u64) {}

    /// A class is described; its static values and its fields follow.
    fn class(&mut self, _class_id: u64, _super_id: u64) {}

    /// A constant or static value of that class. It may be told twice.
    fn class_value(&mut self, _basic_type: u8, _at: u64, _bytes: u64) {}

    /// The next field of the instances of that class, behind which those of its superclass come.
    fn field(&mut self, _name_id: u64, _basic_type: u8, _bytes: u32) {}

    /// The object of a thread that lives.
    fn thread_root(&mut self, _thread_id: u64) {}

    fn instance(&mut self, _class_id: u64, _body: Body) {}

    /// Its class is that of the array.
    fn object_array(&mut self, _class_id: u64, _bytes: u64) {}

    /// It has a basic type and no class.
    fn primitive_array(&mut self, _basic_type: u8, _body: Body) {}
}

/// Nobody is told.
impl Tally for () {}
