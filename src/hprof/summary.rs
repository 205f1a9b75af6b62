//! What a walk saw.

use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// How many records of each kind passed by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    pub utf8: u64,
    pub load_class: u64,
    pub stack_frames: u64,
    pub stack_traces: u64,
    pub other: u64,
    pub segments: u64,
    pub roots: u64,
    pub classes: u64,
    pub instances: u64,
    pub object_arrays: u64,
    pub primitive_arrays: u64,
    /// Arrays that fill their record to the last element that fits: the JVM has cut the rest.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_arrays: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Records {
    /// Instances and arrays of both kinds.
    pub fn objects(&self) -> u64 {
        self.instances + self.object_arrays + self.primitive_arrays
    }

    pub(super) fn add(&mut self, other: &Self) {
        let Self { utf8, load_class, stack_frames, stack_traces, other: rest, segments, roots, .. } = self;
        for (sum, more) in [
            (utf8, other.utf8),
            (load_class, other.load_class),
            (stack_frames, other.stack_frames),
            (stack_traces, other.stack_traces),
            (rest, other.other),
            (segments, other.segments),
            (roots, other.roots),
            (&mut self.classes, other.classes),
            (&mut self.instances, other.instances),
            (&mut self.object_arrays, other.object_arrays),
            (&mut self.primitive_arrays, other.primitive_arrays),
            (&mut self.cut_arrays, other.cut_arrays),
        ] {
            *sum += more;
        }
    }
}

/// What the walk saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub bytes: u64,
    /// The end record was the last thing seen.
    pub complete: bool,
    /// Why the walk ended before the end of the bytes, when it was to go as far as it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// A segment had no length, and what stands here was found behind it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mended: bool,
    /// An OutOfMemoryError made the JVM write the dump.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_memory: bool,
    pub records: Records,
    /// Where they were counted and their names can be read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<TopClasses>,
}

impl Summary {
    /// Of bytes that need not be a dump, and so are all there is to them.
    pub fn of_anything(bytes: u64) -> Self {
        Self { bytes, complete: true, ..Self::default() }
    }
}

/// What fills the heap, by shallow size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopClasses {
    /// The largest first. Two of one name are of two class loaders.
    pub top: Vec<ClassShare>,
    /// All classes that are not in `top`.
    pub other: Amount,
    /// What of `other` was not even counted by its class, for there were too many: one of these may belong to the top.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub unsorted: Amount,
    pub total: Amount,
}

/// How much of the heap one class is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassShare {
    /// As Java writes it: `java.lang.String`, `byte[]`.
    pub name: String,
    #[serde(flatten)]
    pub amount: Amount,
}

/// Some objects and the bytes of their values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub instances: u64,
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add_one(&mut self, bytes: u64) {
        self.instances += 1;
        self.bytes += bytes;
    }

    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { instances: self.instances + other.instances, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { instances: self.instances - other.instances, bytes: self.bytes - other.bytes }
    }
}
