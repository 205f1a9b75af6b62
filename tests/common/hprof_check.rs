//! An independent reading of a dump, by the crate jvm-hprof: nothing of ours is asked whether our dump is right.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use jvm_hprof::heap_dump::SubRecord;
use jvm_hprof::{HeapDumpSegment, Id, Record, RecordTag};

use super::hprof_stream::{each_batch, open};

/// What a dump holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// By class name as HPROF spells it: `java/lang/String`, `Marker`. Arrays are not in here.
    pub instances: BTreeMap<String, u64>,
    pub total_instances: u64,
    pub object_arrays: u64,
    pub primitive_arrays: u64,
    pub classes: u64,
    /// The last record is HEAP DUMP END.
    pub ended: bool,
    /// Of the HPROF itself, after gunzip.
    pub raw_len: u64,
}

impl Census {
    pub fn of(&self, class: &str) -> u64 {
        self.instances.get(class).copied().unwrap_or(0)
    }
}

/// Counts a plain or gzipped dump; panics where it cannot be read to its last byte.
#[track_caller]
pub fn census(path: impl AsRef<Path>) -> Census {
    try_census(&path).unwrap_or_else(|e| panic!("{e}"))
}

/// Panics unless the dump is whole: it has its end record, and every object's class has a name.
#[track_caller]
pub fn assert_complete(path: impl AsRef<Path>) -> Census {
    let path = path.as_ref();
    let census = census(path);
    assert!(census.ended, "{}: no end record", path.display());
    assert!(census.classes > 0, "{}: no classes", path.display());
    let nameless = census.of(NAMELESS);
    assert_eq!(nameless, 0, "{}: objects without class", path.display());
    assert!(census.of("java/lang/String") > 0, "{}: no strings", path.display());
    census
}

/// The same for a dump that may be broken.
pub fn try_census(path: impl AsRef<Path>) -> Result<Census, String> {
    let path = path.as_ref();
    let dump = open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    // jvm-hprof panics at a tag that it does not know.
    panic::catch_unwind(AssertUnwindSafe(|| count(dump)))
        .unwrap_or_else(|_| Err("jvm-hprof panicked".to_owned()))
        .map_err(|e| format!("{}: {e}", path.display()))
}

const NAMELESS: &str = "(nameless)";

/// The bytes of the HPROF itself.
#[track_caller]
pub fn raw(path: impl AsRef<Path>) -> Vec<u8> {
    read(path.as_ref()).expect("the dump can be read")
}

pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    open(path)?.read_to_end(&mut raw)?;
    Ok(raw)
}

#[derive(Default)]
struct Tally {
    names: HashMap<Id, Vec<u8>>,
    class_names: HashMap<Id, Id>,
    by_class: HashMap<Id, u64>,
    census: Census,
}

fn count(dump: impl Read) -> Result<Census, String> {
    let mut tally = Tally::default();
    let raw_len = each_batch(dump, |batch| {
        for record in batch.parse()?.records_iter() {
            tally.record(&record.map_err(|_| "a record is cut")?)?;
        }
        Ok(())
    })?;
    let mut census = tally.finish();
    census.raw_len = raw_len;
    Ok(census)
}

impl Tally {
    fn record(&mut self, record: &Record<'_>) -> Result<(), String> {
        self.census.ended = record.tag() == RecordTag::HeapDumpEnd;
        if let Some(utf8) = record.as_utf_8() {
            let utf8 = utf8.map_err(|_| "a broken UTF8 record")?;
            self.names.insert(utf8.name_id(), utf8.text().to_owned());
        } else if let Some(class) = record.as_load_class() {
            let class = class.map_err(|_| "a broken LOAD CLASS record")?;
            self.class_names.insert(class.class_obj_id(), class.class_name_id());
        } else if let Some(segment) = record.as_heap_dump_segment() {
            self.segment(&segment.map_err(|_| "a broken segment")?)?;
        }
        Ok(())
    }

    fn segment(&mut self, segment: &HeapDumpSegment<'_>) -> Result<(), String> {
        for object in segment.sub_records() {
            match object.map_err(|_| "a sub-record is cut")? {
                SubRecord::Class(_) => self.census.classes += 1,
                SubRecord::ObjectArray(_) => self.census.object_arrays += 1,
                SubRecord::PrimitiveArray(_) => self.census.primitive_arrays += 1,
                SubRecord::Instance(instance) => {
                    self.census.total_instances += 1;
                    *self.by_class.entry(instance.class_obj_id()).or_default() += 1;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Names come last: since JDK 22 classes may be declared after their instances.
    fn finish(mut self) -> Census {
        for (class, count) in &self.by_class {
            let name = self.class_names.get(class).and_then(|id| self.names.get(id));
            let name = name.map_or(NAMELESS.into(), |text| String::from_utf8_lossy(text));
            *self.census.instances.entry(name.into_owned()).or_default() += count;
        }
        self.census
    }
}
