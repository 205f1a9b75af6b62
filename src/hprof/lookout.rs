//! Finds objects by what refers to them, in a dump that can be read more than once: what threads are named by, what
//! the instances of chosen classes hold, and then the arrays of the strings among these.

use std::collections::BTreeMap;

use super::ids::{IdMap, IdSet};
use super::layouts::{DEPTH_MAX, Field, Layouts};
use super::records::identifier;
use super::tally::{Body, Tally};

/// So many objects are found at most in one reading: they fill a table of 4.5 MiB (std's is at most 7/8 full). Those of
/// both readings come together in the end.
const FOUND_MAX: usize = 7 << 16;

/// The fields that are followed, of each instance of a class.
type Followed = Box<[Field]>;

/// What is looked for.
#[derive(Debug, Default, Clone)]
pub struct Goals {
    /// Symbols, as [`crate::hprof::names::which`] finds them: of the class, and of its field.
    pub thread: u64,
    pub thread_name: u64,
    pub string: u64,
    /// Symbols of the classes all of whose references are followed.
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

/// See the module's words. One for each time that the dump is read.
#[derive(Debug)]
pub struct Lookout {
    goals: Goals,
    layouts: Layouts,
    names: IdMap<u64>,
    followed: IdMap<Followed>,
    /// The class of the last instance, and whether it is followed: those of one class often come in a row.
    last: (u64, bool),
    /// Threads that live, where the dump tells them.
    threads: IdSet,
    /// Only these are followed, and how many of them passed by.
    wanted: Option<IdSet>,
    seen: usize,
    /// Strings are followed, and nothing else.
    strings: bool,
    /// Instances whose values have not all passed by.
    open: Vec<Caught>,
    at: u64,
    found: IdSet,
    /// In this reading or an earlier one.
    pub too_many: bool,
}

/// The values of one instance.
#[derive(Debug)]
struct Caught {
    class_id: u64,
    at: u64,
    bytes: u64,
    values: Vec<u8>,
}

impl Lookout {
    /// For the first time.
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

    /// Whether there is anything to follow further.
    pub fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// For the second time, to follow the strings among what was found.
    #[must_use]
    pub fn again(self) -> Self {
        let wanted = Some(self.found);
        let Self { goals, layouts, names, too_many, .. } = self;
        Self { goals, layouts, names, too_many, wanted, strings: true, ..Self::new(Goals::default()) }
    }

    /// From now on only the threads that live are followed; `None` when the dump did not tell them.
    #[must_use]
    pub fn only_living(self) -> Option<Self> {
        let Self { goals, layouts, names, threads, .. } = self;
        let wanted = (!threads.is_empty()).then_some(threads)?;
        Some(Self { goals, layouts, names, wanted: Some(wanted), ..Self::new(Goals::default()) })
    }

    /// The next page is of another place: what has not passed by will not.
    pub fn leap(&mut self) {
        self.at = 0;
        self.open.clear();
    }

    /// Whose place is to be found.
    pub fn wanted(&self) -> impl Iterator<Item = u64> {
        self.wanted.iter().flatten().copied()
    }

    /// Some of them did not pass by.
    pub fn misses_any(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| self.seen < wanted.len())
    }

    pub fn knows_threads(&self) -> bool {
        !self.threads.is_empty()
    }

    pub fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    /// Takes what it was told of from the page that was just walked.
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

    /// All objects that were found, and the classes that were chosen.
    pub fn finish(self) -> (IdSet, IdSet) {
        let chosen = self.names.iter().filter(|(_, name_id)| self.goals.kept.contains(name_id));
        let classes = chosen.map(|(class_id, _)| *class_id).collect();
        let mut objects = self.found;
        objects.extend(self.wanted.into_iter().flatten());
        (objects, classes)
    }

    fn is_followed(&mut self, class_id: u64) -> bool {
        if !self.followed.contains_key(&class_id) {
            // What is not described has nothing that could be followed.
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
        // A subclass may have a field of this name, too; its fields come first.
        let name = fields.into_iter().rfind(|field| field.is_reference() && field.name_id == self.goals.thread_name);
        Some(name.into_iter().collect())
    }

    fn references(&self, class_id: u64) -> Option<Followed> {
        Some(self.layouts.fields_of(class_id).ok()?.into_iter().filter(Field::is_reference).collect())
    }

    /// `None` when one of its classes has not been described.
    fn is_thread(&self, class_id: u64) -> Option<bool> {
        let mut next = class_id;
        // Superclasses in a circle are no Java.
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

/// A class has at most 65535 fields (JVM specification, 4.1) of 8 bytes, and so do its superclasses.
const VALUES_MAX: u64 = 1 << 20;

#[cfg(test)]
#[path = "lookout_tests.rs"]
mod tests;
