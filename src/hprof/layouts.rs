//! Where the fields of instances lie, learnt from the descriptions of their classes.

use super::ids::IdMap;
use super::types::OBJECT;

#[derive(Debug, Default)]
pub struct Class {
    super_id: u64,
    /// The boot loader's: a class of the JDK.
    pub is_jdk: bool,
    /// In their order; where they lie counts from the first of this class.
    pub fields: Vec<Field>,
}

/// The deepest hierarchies of real applications have some dozens of superclasses.
pub const DEPTH_MAX: usize = 1000;

/// A class has at most 65535 (JVM specification, 4.1), and its instances are far smaller than this.
const FIELDS_MAX: usize = 1 << 17;

/// A field of an instance: its name, its basic type, and where in the values it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name_id: u64,
    pub basic_type: u8,
    pub at: u32,
    pub bytes: u32,
}

impl Field {
    pub fn is_reference(&self) -> bool {
        self.basic_type == OBJECT
    }
}

/// Why the fields of a class are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLayout {
    /// It or one of its superclasses has not been described yet.
    Undescribed,
    /// It has more than [`DEPTH_MAX`] superclasses, or more fields than any Java class.
    TooLarge,
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct Layouts {
    classes: IdMap<Class>,
    /// The class whose description is being read.
    open: u64,
}

impl Layouts {
    pub fn class(&mut self, class_id: u64, super_id: u64, loader_id: u64) {
        self.open = class_id;
        self.classes.insert(class_id, Class { super_id, is_jdk: loader_id == 0, fields: Vec::new() });
    }

    pub fn field(&mut self, name_id: u64, basic_type: u8, bytes: u32) {
        if let Some(class) = self.classes.get_mut(&self.open) {
            let at = class.fields.last().map_or(0, |before| before.at + before.bytes);
            class.fields.push(Field { name_id, basic_type, at, bytes });
        }
    }

    pub fn super_of(&self, class_id: u64) -> Option<u64> {
        self.classes.get(&class_id).map(|class| class.super_id)
    }

    /// All fields of an instance, its own class's first (JDK: `heapDumper.cpp`, `DumperSupport::dump_instance_fields`).
    ///
    /// # Errors
    /// Why they are not known.
    pub fn fields_of(&self, class_id: u64) -> Result<Vec<Field>, NoLayout> {
        let mut fields = Vec::new();
        self.each_field(class_id, |_, field| fields.push(field))?;
        Ok(fields)
    }

    /// The same, each with the class that declares it.
    ///
    /// # Errors
    /// Why they are not known; some may have been told by then.
    pub fn each_field(&self, class_id: u64, mut take: impl FnMut(&Class, Field)) -> Result<(), NoLayout> {
        let (mut from, mut count, mut next) = (0, 0, class_id);
        // Superclasses in a circle are no Java, nor is a class with more fields than its superclasses can have.
        for _ in 0..DEPTH_MAX {
            if next == 0 {
                return Ok(());
            }
            let class = self.classes.get(&next).ok_or(NoLayout::Undescribed)?;
            count += class.fields.len();
            if count > FIELDS_MAX {
                return Err(NoLayout::TooLarge);
            }
            class.fields.iter().for_each(|field| take(class, Field { at: from + field.at, ..*field }));
            from += class.fields.last().map_or(0, |last| last.at + last.bytes);
            next = class.super_id;
        }
        Err(NoLayout::TooLarge)
    }

    /// Bytes of an instance of each class that is described, with all its superclasses.
    pub fn lengths(&self) -> IdMap<u64> {
        let mut lengths = IdMap::default();
        for class_id in self.classes.keys() {
            self.add_lengths(*class_id, &mut lengths);
        }
        lengths
    }

    /// From the first superclass whose length is known, or from the last one, down to this class.
    fn add_lengths(&self, class_id: u64, lengths: &mut IdMap<u64>) {
        let (mut next, mut open) = (class_id, Vec::new());
        while next != 0 && !lengths.contains_key(&next) {
            let Some(class) = self.classes.get(&next).filter(|_| open.len() < DEPTH_MAX) else { return };
            let own = class.fields.last().map_or(0, |last| u64::from(last.at + last.bytes));
            open.push((next, own));
            next = class.super_id;
        }
        let mut length = lengths.get(&next).copied().unwrap_or(0);
        for (class_id, own) in open.into_iter().rev() {
            length += own;
            lengths.insert(class_id, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_superclass_lie_behind_those_of_the_class() {
        let mut layouts = Layouts::default();
        layouts.class(2, 1, 0);
        layouts.field(20, 10, 4);
        layouts.field(21, OBJECT, 8);
        assert_eq!(layouts.fields_of(2), Err(NoLayout::Undescribed), "its superclass is not known");
        layouts.class(1, 0, 0);
        layouts.field(10, 8, 1);
        let fields = layouts.fields_of(2).unwrap();
        let lie: Vec<_> = fields.iter().map(|field| (field.name_id, field.at, field.bytes)).collect();
        assert_eq!(lie, [(20, 0, 4), (21, 4, 8), (10, 12, 1)]);
        assert!(fields[1].is_reference() && !fields[0].is_reference());
        assert_eq!(layouts.super_of(2), Some(1));
        layouts.class(3, 9, 0);
        let lengths = layouts.lengths();
        assert_eq!((lengths.get(&1), lengths.get(&2), lengths.get(&3)), (Some(&1), Some(&13), None));
    }

    #[test]
    fn superclasses_in_a_circle_have_no_layout() {
        let mut layouts = Layouts::default();
        layouts.class(1, 2, 0);
        layouts.class(2, 1, 0);
        assert_eq!(layouts.fields_of(1), Err(NoLayout::TooLarge));
        assert!(layouts.lengths().is_empty());
    }
}
