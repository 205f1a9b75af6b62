//! Counts how much of the heap each class fills, while the dump is walked.
//!
//! Bytes are shallow: the values as the dump has them, with references of identifier size, without heads of records or
//! objects. `jmap -histo` shows other sums, because it counts the bytes that the JVM allocated.

use std::collections::BTreeMap;

use super::ids::{seed, spread};
use super::summary::{Amount, ClassShare, TopClasses};
use super::tally::{Body, Tally};
use super::types;

/// Most classes that are counted one by one, so that no dump can exhaust the memory. With their index they take at most
/// 5 MiB; 10 000 classes take 640 KiB.
pub const CLASSES_MAX: usize = 1 << 17;

/// Slots at the start, enough for the classes of a small JVM. A power of two.
const SLOTS_MIN: usize = 1 << 12;

/// Basic types are below 16, because the walker passes on only types that have a width (`records::value_width`).
const BASIC_TYPES: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Class {
    id: u64,
    /// 0 until the name is known. HotSpot's identifiers are addresses, so none is 0.
    name_id: u64,
    amount: Amount,
}

/// Counts instances and bytes by class. One histogram counts all sections of a dump, in any order.
#[derive(Debug)]
pub struct Histogram {
    classes: Vec<Class>,
    /// For each slot, the index of a class in `classes` plus one; 0 is a free slot. At most half of the slots are
    /// taken.
    slots: Vec<u32>,
    /// Random, so that nobody can craft a dump whose classes all fall into one slot.
    seed: u64,
    /// The index of the class that was counted last: objects of one class often come in a row.
    last: usize,
    primitive_arrays: [Amount; BASIC_TYPES],
    /// Objects of classes that came when the table was full.
    unsorted: Amount,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            classes: Vec::new(),
            slots: vec![0; SLOTS_MIN],
            seed: seed(),
            last: 0,
            primitive_arrays: [Amount::default(); BASIC_TYPES],
            unsorted: Amount::default(),
        }
    }
}

impl Tally for Histogram {
    fn load_class(&mut self, class_id: u64, name_id: u64) {
        if let Some(at) = self.place_of(class_id) {
            self.classes[at].name_id = name_id;
        }
    }

    #[inline]
    fn instance(&mut self, class_id: u64, body: Body) {
        self.object_array(class_id, body.bytes);
    }

    #[inline(always)]
    fn object_array(&mut self, class_id: u64, bytes: u64) {
        match self.place_of(class_id) {
            Some(at) => self.classes[at].amount.add_one(bytes),
            None => self.unsorted.add_one(bytes),
        }
    }

    #[inline]
    fn primitive_array(&mut self, basic_type: u8, body: Body) {
        self.primitive_arrays[usize::from(basic_type) % BASIC_TYPES].add_one(body.bytes);
    }
}

impl Histogram {
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the largest `n` classes by bytes.
    pub fn top(&self, n: usize) -> Ranking {
        let arrays = self
            .primitive_arrays
            .iter()
            .zip(0..)
            .map(|(amount, basic_type)| Ranked { kind: Kind::PrimitiveArray { basic_type }, amount: *amount });
        let classes = self
            .classes
            .iter()
            .map(|class| Ranked { kind: Kind::Class { id: class.id, name_id: class.name_id }, amount: class.amount });
        let mut top: Vec<Ranked> = arrays.chain(classes).filter(|ranked| ranked.amount.instances > 0).collect();
        let total = top.iter().fold(self.unsorted, |sum, ranked| sum + ranked.amount);
        top.sort_unstable_by_key(|ranked| ranked.rank());
        top.truncate(n);
        Ranking { top, total, unsorted: self.unsorted }
    }

    /// Returns the index of the class, and adds a new class; `None` if there are too many classes.
    #[inline]
    fn place_of(&mut self, id: u64) -> Option<usize> {
        if self.classes.get(self.last).is_none_or(|class| class.id != id) {
            self.last = self.find(id)?;
        }
        Some(self.last)
    }

    #[inline(always)]
    fn find(&mut self, id: u64) -> Option<usize> {
        let mut slot = self.first_slot(id);
        loop {
            match self.slots[slot] as usize {
                0 => return self.insert(id, slot),
                taken if self.classes[taken - 1].id == id => return Some(taken - 1),
                _ => slot = self.next_slot(slot),
            }
        }
    }

    fn first_slot(&self, id: u64) -> usize {
        spread(id, self.seed) as usize & (self.slots.len() - 1)
    }

    fn next_slot(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    fn insert(&mut self, id: u64, free: usize) -> Option<usize> {
        if self.classes.len() == CLASSES_MAX {
            return None;
        }
        self.classes.push(Class { id, name_id: 0, amount: Amount::default() });
        self.slots[free] = self.classes.len() as u32;
        if self.classes.len() * 2 > self.slots.len() {
            self.grow();
        }
        Some(self.classes.len() - 1)
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for at in 0..self.classes.len() {
            let mut slot = self.first_slot(self.classes[at].id);
            while self.slots[slot] != 0 {
                slot = self.next_slot(slot);
            }
            self.slots[slot] = at as u32 + 1;
        }
    }
}

/// The kind of objects that one row of a ranking counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Class {
        id: u64,
        /// 0 if no LOAD CLASS record named the class.
        name_id: u64,
    },
    PrimitiveArray {
        basic_type: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranked {
    pub kind: Kind,
    pub amount: Amount,
}

impl Ranked {
    /// Returns the sort key: bytes, then instances, then identifiers. So a dump always has the same ranking.
    fn rank(self) -> impl Ord {
        let Amount { instances, bytes } = self.amount;
        (std::cmp::Reverse((bytes, instances)), self.kind)
    }
}

/// The largest classes, still without names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranking {
    pub top: Vec<Ranked>,
    pub total: Amount,
    pub unsorted: Amount,
}

impl Ranking {
    /// Returns the identifiers of the names that have to be read from the dump.
    pub fn name_ids(&self) -> Vec<u64> {
        let name_id = |ranked: &Ranked| match ranked.kind {
            Kind::Class { name_id, .. } => Some(name_id),
            Kind::PrimitiveArray { .. } => None,
        };
        self.top.iter().filter_map(name_id).filter(|name_id| *name_id != 0).collect()
    }

    /// Returns the ranking with names as Java writes them. A class without a known name shows its identifier.
    pub fn named(&self, names: &BTreeMap<u64, String>) -> TopClasses {
        let name_of = |kind| match kind {
            Kind::PrimitiveArray { basic_type } => types::array_of(basic_type),
            Kind::Class { id, name_id } => names.get(&name_id).cloned().unwrap_or_else(|| format!("class {id:#x}")),
        };
        let share = |ranked: &Ranked| ClassShare { name: name_of(ranked.kind), amount: ranked.amount };
        let top: Vec<ClassShare> = self.top.iter().map(share).collect();
        let listed = top.iter().fold(Amount::default(), |sum, share| sum + share.amount);
        TopClasses { top, other: self.total - listed, unsorted: self.unsorted, total: self.total }
    }
}

#[cfg(test)]
#[path = "histogram_tests.rs"]
mod tests;
