//! What each class holds of a heap, by the crate jvm-hprof and with a spelling of its own.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;

use jvm_hprof::heap_dump::{PrimitiveArray, SubRecord};
use jvm_hprof::{Hprof, Id, IdSize, parse_hprof};

use super::hprof_check::read;

/// The objects of one class, and the bytes of their values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    pub bytes: u64,
    pub instances: u64,
    /// As Java writes it.
    pub name: String,
}

/// Of all classes that have objects, the largest first.
#[track_caller]
pub fn shares(path: impl AsRef<Path>) -> Vec<Share> {
    let raw = read(path.as_ref()).expect("the dump can be read");
    let hprof = parse_hprof(&raw).unwrap_or_else(|_| panic!("no HPROF header"));
    let mut shares: Vec<Share> = count(&hprof).into_values().collect();
    shares.sort_by_key(|share| Reverse((share.bytes, share.instances)));
    shares
}

/// An array of numbers has a type, all others a class.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Class(Id),
    Numbers(&'static str),
}

fn count(hprof: &Hprof<'_>) -> HashMap<Key, Share> {
    let (mut names, mut classes) = (HashMap::new(), HashMap::new());
    let mut shares: HashMap<Key, Share> = HashMap::new();
    for record in hprof.records_iter().map(|record| record.unwrap_or_else(|_| panic!("a record is cut"))) {
        if let Some(Ok(utf8)) = record.as_utf_8() {
            names.insert(utf8.name_id(), utf8.text().to_owned());
        } else if let Some(Ok(class)) = record.as_load_class() {
            classes.insert(class.class_obj_id(), class.class_name_id());
        } else if let Some(Ok(segment)) = record.as_heap_dump_segment() {
            for object in segment.sub_records().map(|object| object.unwrap_or_else(|_| panic!("a sub-record is cut"))) {
                let Some((key, bytes)) = size(&object, hprof.header().id_size()) else { continue };
                let share = shares.entry(key).or_insert(Share { bytes: 0, instances: 0, name: String::new() });
                share.bytes += bytes as u64;
                share.instances += 1;
            }
        }
    }
    for (key, share) in &mut shares {
        share.name = match key {
            Key::Numbers(name) => format!("{name}[]"),
            Key::Class(id) => spelled(std::str::from_utf8(&names[&classes[id]]).expect("a name of ours is UTF-8")),
        };
    }
    shares
}

fn size(object: &SubRecord<'_>, id_size: IdSize) -> Option<(Key, usize)> {
    Some(match object {
        SubRecord::Instance(instance) => (Key::Class(instance.class_obj_id()), instance.fields().len()),
        SubRecord::ObjectArray(array) => {
            let width = if matches!(id_size, IdSize::U64) { 8 } else { 4 };
            (Key::Class(array.array_class_obj_id()), array.elements(id_size).count() * width)
        }
        SubRecord::PrimitiveArray(array) => (Key::Numbers(array.primitive_type().java_type_name()), numbers(array)),
        _ => return None,
    })
}

pub(super) fn numbers(array: &PrimitiveArray<'_>) -> usize {
    let bytes = array.booleans().map(Iterator::count).or(array.bytes().map(Iterator::count));
    let pairs = array.chars().map(Iterator::count).or(array.shorts().map(Iterator::count));
    let fours = array.ints().map(Iterator::count).or(array.floats().map(Iterator::count));
    let eights = array.longs().map(Iterator::count).or(array.doubles().map(Iterator::count));
    let widths = [(bytes, 1), (pairs, 2), (fours, 4), (eights, 8)];
    widths.into_iter().find_map(|(count, width)| Some(count? * width)).expect("each array is of one type")
}

fn spelled(internal: &str) -> String {
    match internal.strip_prefix('[') {
        Some("Z") => "boolean[]".into(),
        Some("C") => "char[]".into(),
        Some("F") => "float[]".into(),
        Some("D") => "double[]".into(),
        Some("B") => "byte[]".into(),
        Some("S") => "short[]".into(),
        Some("I") => "int[]".into(),
        Some("J") => "long[]".into(),
        Some(array) if array.starts_with('[') => spelled(array) + "[]",
        Some(class) => spelled(&class[1..class.len() - 1]) + "[]",
        None => internal.replace('/', "."),
    }
}
