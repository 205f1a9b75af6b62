//! Finds objects by their referrers, in a dump that can be read more than once. The first reading finds the names of
//! threads, and the objects that instances of chosen classes hold. The second reading finds the arrays of the Strings
//! among these.

use std::collections::BTreeMap;

use super::ids::{IdMap, IdSet};
use super::layouts::{DEPTH_MAX, Field, Layouts};
use super::records::identifier;
use super::tally::{Body, Tally};

/// Most objects that one reading finds. They fill a table of 4.5 MiB, because std fills a table up to 7/8. The objects
/// of both readings are joined at the end.
const FOUND_MAX: usize = 7 << 16;

/// The fields of a class whose references are followed.
type Followed = Box<[Field]>;

/// The symbols of the classes and fields to look for.
#[derive(Debug, Default, Clone)]
pub struct Goals {
    /// The symbols of `Thread`, of its field `name` and of `String`, as [`crate::hprof::names::which`] finds them.
    pub thread: u64,
    pub thread_name: u64,
    pub string: u64,
    /// Symbols of the chosen classes: all references of their instances are followed.
    pub kept: IdSet,
}

impl Goals {
    pub fn of(symbols: &BTreeMap<u64, String>, is_kept: impl Fn(&str) -> bool) -> Self {
        let id_of = |name: &str| symbols.iter().find(|(_, text)| *text == name).map_or(0, |(id, _)| *id);
        Self {
            thread: id_of(THREAD),
            thread_name: id_of(THREAD_NAME),
            string: id_of(STRING),
            kept: symbols.iter().filter(|(_, text)| is_kept(text)).map(|(id, _)| *id).collect(),
        }
    }
}

pub const THREAD: &str = "java/lang/Thread";
pub const THREAD_NAME: &str = "name";
pub const STRING: &str = "java/lang/String";

/// Follows references during one reading of the dump. Each reading has its own lookout.
#[derive(Debug)]
pub struct Lookout {
    goals: Goals,
    layouts: Layouts,
    names: IdMap<u64>,
    followed: IdMap<Followed>,
    /// The class of the last instance, and whether it is followed: instances of one class often come in a row.
    last: (u64, bool),
    /// Live threads, if the dump has their roots.
    threads: IdSet,
    /// If set, only these objects are followed. `seen` counts those that have come.
    wanted: Option<IdSet>,
    seen: usize,
    /// True if only Strings are followed.
    strings: bool,
    /// Instances whose values have not all come yet.
    open: Vec<Caught>,
    at: u64,
    found: IdSet,
    /// True if this reading or an earlier one has met more than `FOUND_MAX` objects.
    pub too_many: bool,
}

/// The values of one instance, as far as they have come.
#[derive(Debug)]
struct Caught {
    class_id: u64,
    at: u64,
    bytes: u64,
    values: Vec<u8>,
}

impl Lookout {
    /// Creates the lookout of the first reading.
    pub fn new(goals: Goals) -> Self {
        Self {
            goals,
            layouts: Layouts::default(),
            names: IdMap::default(),
            followed: IdMap::default(),
            last: (0, false),
            threads: IdSet::default(),
            wanted: None,
            seen: 0,
            strings: false,
            open: Vec::new(),
            at: 0,
            found: IdSet::default(),
            too_many: false,
        }
    }

    /// Returns whether a second reading has anything to follow.
    pub fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// Returns the lookout of the second reading, which follows the Strings among the found objects.
    #[must_use]
    pub fn again(self) -> Self {
        let wanted = Some(self.found);
        let Self { goals, layouts, names, too_many, .. } = self;
        Self { goals, layouts, names, too_many, wanted, strings: true, ..Self::new(Goals::default()) }
    }

    /// Returns a lookout that follows only live threads; `None` if the dump has no roots of threads.
    #[must_use]
    pub fn only_living(self) -> Option<Self> {
        let Self { goals, layouts, names, threads, .. } = self;
        let wanted = (!threads.is_empty()).then_some(threads)?;
        Some(Self { goals, layouts, names, wanted: Some(wanted), ..Self::new(Goals::default()) })
    }

    /// Prepares for a page that does not follow the last one. Values that have not come yet will not come.
    pub fn leap(&mut self) {
        self.at = 0;
        self.open.clear();
    }

    /// Returns the objects that are to be found in the dump.
    pub fn wanted(&self) -> impl Iterator<Item = u64> {
        self.wanted.iter().flatten().copied()
    }

    /// Returns whether some of the wanted objects have not come.
    pub fn misses_any(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| self.seen < wanted.len())
    }

    pub fn knows_threads(&self) -> bool {
        !self.threads.is_empty()
    }

    pub fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    /// Copies the values of the open instances from the page that was just walked.
    pub fn absorb(&mut self, page: &[u8]) {
        let (start, end) = (self.at, self.at + page.len() as u64);
        for caught in &mut self.open {
            let (from, to) = ((caught.at + caught.values.len() as u64).max(start), (caught.at + caught.bytes).min(end));
            if from < to {
                caught.values.extend_from_slice(&page[(from - start) as usize..(to - start) as usize]);
            }
        }
        self.at = end;
        let whole = |caught: &mut Caught| caught.values.len() as u64 == caught.bytes;
        for caught in self.open.extract_if(.., whole).collect::<Vec<_>>() {
            self.follow(&caught);
        }
    }

    fn follow(&mut self, caught: &Caught) {
        let Some(followed) = self.followed.get(&caught.class_id) else { return };
        for field in followed {
            let (at, bytes) = (field.at as usize, field.bytes as usize);
            if at + bytes <= caught.values.len() {
                let id = identifier(&caught.values, at, bytes);
                let full = self.found.len() >= FOUND_MAX;
                self.too_many |= full;
                if id != 0 && !full {
                    self.found.insert(id);
                }
            }
        }
    }

    /// Returns all found objects, and the chosen classes.
    pub fn finish(self) -> (IdSet, IdSet) {
        let chosen = self.names.iter().filter(|(_, name_id)| self.goals.kept.contains(name_id));
        let classes = chosen.map(|(class_id, _)| *class_id).collect();
        let mut objects = self.found;
        objects.extend(self.wanted.into_iter().flatten());
        (objects, classes)
    }

    fn is_followed(&mut self, class_id: u64) -> bool {
        if !self.followed.contains_key(&class_id) {
            // A class without a description has no field to follow.
            let followed = self.fields_to_follow(class_id).unwrap_or_default();
            self.followed.insert(class_id, followed);
        }
        self.followed.get(&class_id).is_some_and(|followed| !followed.is_empty())
    }

    fn fields_to_follow(&self, class_id: u64) -> Option<Followed> {
        let name = self.names.get(&class_id).copied().unwrap_or(0);
        if self.strings {
            let is_string = name != 0 && name == self.goals.string;
            return if is_string { self.references(class_id) } else { Some(Followed::default()) };
        }
        if self.goals.kept.contains(&name) {
            return self.references(class_id);
        }
        if !self.is_thread(class_id)? {
            return Some(Followed::default());
        }
        let fields = self.layouts.fields_of(class_id).ok()?;
        // A subclass may also have a field of this name. Its fields come first, so the last match is Thread's.
        let name = fields.into_iter().rfind(|field| field.is_reference() && field.name_id == self.goals.thread_name);
        Some(name.into_iter().collect())
    }

    fn references(&self, class_id: u64) -> Option<Followed> {
        Some(self.layouts.fields_of(class_id).ok()?.into_iter().filter(Field::is_reference).collect())
    }

    /// Returns whether the class is Thread or a subclass of it; `None` if it or a superclass has not been described.
    fn is_thread(&self, class_id: u64) -> Option<bool> {
        let mut next = class_id;
        // The limit ends a circle of superclasses, which only a damaged dump has.
        for _ in 0..DEPTH_MAX {
            if next == 0 {
                return Some(false);
            }
            if self.goals.thread != 0 && self.names.get(&next) == Some(&self.goals.thread) {
                return Some(true);
            }
            next = self.layouts.super_of(next)?;
        }
        Some(false)
    }
}

impl Tally for Lookout {
    fn load_class(&mut self, class_id: u64, name_id: u64) {
        self.names.insert(class_id, name_id);
    }

    fn class(&mut self, class_id: u64, super_id: u64, loader_id: u64) {
        self.layouts.class(class_id, super_id, loader_id);
    }

    fn field(&mut self, name_id: u64, basic_type: u8, bytes: u32) {
        self.layouts.field(name_id, basic_type, bytes);
    }

    fn thread_root(&mut self, thread_id: u64) {
        let too_many = self.threads.len() >= FOUND_MAX;
        if thread_id != 0 && !too_many {
            self.threads.insert(thread_id);
        }
    }

    #[inline(always)]
    fn instance(&mut self, class_id: u64, body: Body) {
        if self.last.0 != class_id {
            self.last = (class_id, self.is_followed(class_id));
        }
        let wanted = || self.wanted.as_ref().is_none_or(|ids| ids.contains(&body.id));
        if self.last.1 && body.bytes <= VALUES_MAX && wanted() {
            self.seen += 1;
            self.open.push(Caught { class_id, at: body.at, bytes: body.bytes, values: Vec::new() });
        }
    }
}

/// Longest instance that is followed, in bytes. A class has at most 65535 fields (JVM specification, 4.1) of 8 bytes,
/// and so have its superclasses.
const VALUES_MAX: u64 = 1 << 20;

#[cfg(test)]
#[path = "lookout_tests.rs"]
mod tests;
