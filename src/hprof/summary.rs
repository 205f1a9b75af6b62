//! The result of a walk.

use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

use super::out_of_memory::Frame;

/// Number of records of each kind.
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
    /// Returns the number of instances and of arrays of both kinds.
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

/// The result of a walk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub bytes: u64,
    /// True if the dump is whole: its end was the last thing seen.
    pub complete: bool,
    /// The reason why the walk ended early, if it was to read a damaged dump as far as possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// True if a segment had no length. The objects of that segment are counted here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mended: bool,
    /// True if an OutOfMemoryError made the JVM write the dump.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_memory: bool,
    /// The top of the stack of the thread that threw the error, without names. Used only within the run.
    #[serde(skip)]
    pub thrower: Vec<Frame>,
    /// That stack as text: names of classes and methods, and lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_of_memory_stack: Vec<String>,
    /// Time at which the dump was begun, by its header, in milliseconds since 1970; 0 if it tells none. Used only within
    /// the run.
    #[serde(skip)]
    pub begun_ms: u64,
    pub records: Records,
    /// The largest classes. `None` if nobody counted them, or their names cannot be read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<TopClasses>,
}

impl Summary {
    /// Returns the summary of bytes that need not be a dump. All bytes there are count as whole.
    pub fn of_anything(bytes: u64) -> Self {
        Self { bytes, complete: true, ..Self::default() }
    }
}

/// The classes that fill the heap, by shallow size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopClasses {
    /// The largest first. Two rows of one name are from two class loaders.
    pub top: Vec<ClassShare>,
    /// All classes that are not in `top`.
    pub other: Amount,
    /// The share of `other` that was not counted by class, because there were too many classes. One of these may belong
    /// to `top`.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub unsorted: Amount,
    pub total: Amount,
}

/// The share of one class in the heap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassShare {
    /// The name as Java writes it: `java.lang.String`, `byte[]`.
    pub name: String,
    #[serde(flatten)]
    pub amount: Amount,
}

/// A number of objects, and the bytes of their values.
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
