//! What `--redact all` leaves readable: numbers of the JDK's own objects that tell how they are built, and not what
//! the application has put into them. Analysers need them, or report what is not so.

use super::ids::IdMap;
use super::layouts::Class;
use super::types::{BOOLEAN, BYTE, FLOAT, INT, LONG};

/// Fields of one basic type in classes of the boot loader, which are the JDK's own, by their names. A class of the
/// application has another loader, so its `size` goes. The names of classes would be no help: the JVM may write them
/// behind the heap (see `heap_dump/files.rs`).
struct Row {
    is_static: bool,
    basic_type: u8,
    names: &'static [&'static str],
    /// The class must declare this field as well.
    beside: Option<&'static str>,
}

const fn fields(basic_type: u8, names: &'static [&'static str]) -> Row {
    Row { is_static: false, basic_type, names, beside: None }
}

const fn statics(basic_type: u8, names: &'static [&'static str]) -> Row {
    Row { is_static: true, basic_type, names, beside: None }
}

/// Each row with its reason; docs/redaction.md has the same. `hash` is in none: the hash of a short text tells the text.
const TABLE: &[Row] = &[
    // A String's encoding (JEP 254): without it, a text that stays is read as another one.
    fields(BYTE, &["coder"]),
    // Elements of a collection, characters of a builder: if they are 0, Eclipse MAT reports empty collections.
    fields(INT, &["size", "count", "elementCount"]),
    // How often a collection has changed: tells one that is filled and emptied from one that was never used.
    fields(INT, &["modCount"]),
    // Room in a table, queue or buffer: MAT's fill ratios, and memory outside the heap.
    fields(INT, &["threshold", "capacity", "sizeCtl", "capacityIncrement"]),
    // How full a table may get: MAT's fill ratios.
    fields(FLOAT, &["loadFactor"]),
    // The size of a ConcurrentHashMap.
    fields(LONG, &["baseCount"]),
    // Members of an EnumSet as bits. Those of other sets are references, which stay.
    fields(LONG, &["elements"]),
    // Where a queue in an array begins and ends, and so its size.
    fields(INT, &["head", "tail", "takeIndex", "putIndex"]),
    // The size of a BitSet.
    fields(INT, &["wordsInUse"]),
    // Which part of an array or of memory a buffer or a sublist has.
    fields(INT, &["offset", "position", "limit", "mark"]),
    // Which constant of its enum this is: the code tells as much.
    fields(INT, &["ordinal"]),
    // How many references wait for the finalizer or a cleaner.
    fields(LONG, &["queueLength"]),
    // Thread.getState() is made of the status, and analysers show both.
    fields(INT, &["threadStatus", "priority"]),
    // Whether a thread keeps the JVM alive.
    fields(BOOLEAN, &["daemon"]),
    // A thread's number, the one in a thread dump.
    fields(LONG, &["tid"]),
    // The same for a virtual thread. Other classes have a `state` that may be the application's.
    Row { beside: Some("carrierThread"), ..fields(INT, &["state"]) },
    // The byte order of UTF-16 (JDK: `StringUTF16.java`): VisualVM shifts characters by them.
    statics(INT, &["HI_BYTE_SHIFT", "LO_BYTE_SHIFT"]),
    // Offsets of fields, see OFFSET_ENDS: VisualVM's heap library takes the size of references from the distance of two.
    statics(LONG, &[]),
];

/// The last row has all names that end so: `annotationTypeOffset` (Class$Atomic), `runnerOffset` (FutureTask), `SIZE_OFFSET`.
const OFFSETS: u8 = TABLE.len() as u8 - 1;
const OFFSET_ENDS: [&[u8]; 2] = [b"Offset", b"OFFSET"];

/// Some hundreds end so.
const SYMBOLS_MAX: usize = 4096;

/// Each JVM has loaded classes with these. When all of them have passed by, those of the other rows that are to be
/// expected have as well: the JDK's own symbols come first, if they come from its archive (JDK: `symbolTable.cpp`,
/// `SymbolTable::symbols_do`).
const ALWAYS: [&str; 14] = [
    "coder",
    "size",
    "count",
    "modCount",
    "threshold",
    "loadFactor",
    "capacity",
    "limit",
    "position",
    "ordinal",
    "threadStatus",
    "priority",
    "daemon",
    "tid",
];

/// Texts that are no secrets of anybody, kept wherever they stand. VisualVM's heap library takes the size of references from
/// this property, whose values are those of JDK: `compressedOops.cpp`, `CompressedOops::mode_to_string`.
pub const TEXTS: [&str; 5] =
    ["java.vm.compressedOopsMode", "32-bit", "Zero based", "Non-zero based", "Non-zero disjoint base"];

/// Which symbols of a dump are the names of the table.
#[derive(Debug, Default)]
pub struct Structure {
    /// Rows by the identifiers of names.
    rows: IdMap<u8>,
    /// Identifiers of the names that are only beside others.
    beside: IdMap<&'static str>,
    /// Of [`ALWAYS`], a bit for each that has passed by.
    seen: u32,
}

impl Structure {
    /// Whether it is the name of a field of instances.
    pub fn symbol(&mut self, id: u64, text: &[u8]) -> bool {
        if self.rows.len() >= SYMBOLS_MAX {
            return false;
        }
        let row = row_of(text);
        if let Some(row) = row {
            self.rows.insert(id, row);
        }
        if let Some(beside) = TABLE.iter().filter_map(|row| row.beside).find(|name| name.as_bytes() == text) {
            self.beside.insert(id, beside);
        }
        if let Some(at) = ALWAYS.iter().position(|name| name.as_bytes() == text) {
            self.seen |= 1 << at;
        }
        row.is_some_and(|row| !TABLE[usize::from(row)].is_static)
    }

    /// The names of the table have passed by, as far as they will.
    pub fn is_known(&self) -> bool {
        self.seen.count_ones() as usize == ALWAYS.len()
    }

    /// Whether a field of instances is left as it is.
    pub fn keeps_field(&self, class: &Class, name_id: u64, basic_type: u8) -> bool {
        let Some(row) = self.row(class.is_jdk, name_id, basic_type, false) else { return false };
        let is_beside = |name: &str| class.fields.iter().any(|field| self.beside.get(&field.name_id) == Some(&name));
        row.beside.is_none_or(is_beside)
    }

    /// The same for a static field.
    pub fn keeps_static(&self, is_jdk: bool, name_id: u64, basic_type: u8) -> bool {
        self.row(is_jdk, name_id, basic_type, true).is_some()
    }

    fn row(&self, is_jdk: bool, name_id: u64, basic_type: u8, is_static: bool) -> Option<&'static Row> {
        let row = TABLE.get(usize::from(*self.rows.get(&name_id).filter(|_| is_jdk)?))?;
        (row.basic_type == basic_type && row.is_static == is_static).then_some(row)
    }
}

fn row_of(text: &[u8]) -> Option<u8> {
    let is_named = |row: &Row| row.names.iter().any(|name| name.as_bytes() == text);
    match TABLE.iter().position(is_named) {
        Some(row) => Some(row as u8),
        None => OFFSET_ENDS.iter().any(|end| text.ends_with(end)).then_some(OFFSETS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hprof::tally::SYMBOL_MAX;

    #[test]
    fn each_name_of_the_table_is_in_one_row_and_in_the_docs() {
        let mut names: Vec<_> = TABLE.iter().flat_map(|row| row.names).collect();
        assert!(ALWAYS.iter().all(|always| names.contains(&always)));
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.iter().all(|name| name.len() <= SYMBOL_MAX));
        let docs = include_str!("../../docs/redaction.md");
        assert!(names.iter().all(|name| docs.contains(&format!("`{name}`"))));
        assert_eq!(TABLE[usize::from(OFFSETS)].names.len(), 0);
    }
}
