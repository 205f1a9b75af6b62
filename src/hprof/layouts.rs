//! Learns from the descriptions of classes where the fields of their instances lie.

use super::ids::IdMap;
use super::types::OBJECT;

#[derive(Debug, Default)]
pub struct Class {
    super_id: u64,
    /// True if the boot loader has loaded the class: it belongs to the JDK.
    pub is_jdk: bool,
    /// In the order of the dump. Offsets count from the first field of this class.
    pub fields: Vec<Field>,
}

/// Most superclasses of a class. The deepest hierarchies of real applications have some dozens.
pub const DEPTH_MAX: usize = 1000;

/// Most fields of an instance. A class has at most 65535 (JVM specification, 4.1), and real instances have far fewer.
const FIELDS_MAX: usize = 1 << 17;

/// A field of an instance: its name, its basic type, and its offset and length in bytes.
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

/// The reason why the fields of a class are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLayout {
    /// The class or one of its superclasses has not been described yet.
    Undescribed,
    /// The class has more than [`DEPTH_MAX`] superclasses, or more fields than any Java class.
    TooLarge,
}

/// The described classes and their fields.
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

    /// Returns all fields of an instance. The fields of its own class come first (JDK: `heapDumper.cpp`,
    /// `DumperSupport::dump_instance_fields`).
    ///
    /// # Errors
    /// When the fields are not known.
    pub fn fields_of(&self, class_id: u64) -> Result<Vec<Field>, NoLayout> {
        let mut fields = Vec::new();
        self.each_field(class_id, |_, field| fields.push(field))?;
        Ok(fields)
    }

    /// Passes each field of an instance to `take`, with the class that declares it.
    ///
    /// # Errors
    /// When the fields are not known. `take` may have received some of them by then.
    pub fn each_field(&self, class_id: u64, mut take: impl FnMut(&Class, Field)) -> Result<(), NoLayout> {
        let (mut from, mut count, mut next) = (0, 0, class_id);
        // Only a damaged dump has superclasses in a circle, or more fields than a class and its superclasses can have.
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

    /// Returns the bytes of an instance, for each class that is described with all its superclasses.
    pub fn lengths(&self) -> IdMap<u64> {
        let mut lengths = IdMap::default();
        for class_id in self.classes.keys() {
            self.add_lengths(*class_id, &mut lengths);
        }
        lengths
    }

    /// Adds the lengths of the class and its superclasses. The sum starts at the nearest superclass whose length is
    /// known, or at the topmost one.
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
