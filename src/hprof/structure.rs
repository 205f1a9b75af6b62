//! Selects the fields that `--redact all` leaves readable: numbers of the JDK's own objects. They tell how an object is
//! built, and nothing that the application has put into it. Without these numbers, analysers report what is not so.

use super::ids::IdMap;
use super::layouts::Class;
use super::types::{BOOLEAN, BYTE, FLOAT, INT, LONG};

/// Fields of one basic type, by their names. Only classes of the boot loader count, which are the JDK's own. A class of
/// the application has another loader, so its `size` is redacted. Names of classes would not help: the JVM may write
/// them behind the heap (see `heap_dump/growing_files.rs`).
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

/// Each row has its reason; docs/redaction.md has the same rows. No row has `hash`, because the hash of a short text
/// reveals the text.
const TABLE: &[Row] = &[
    // A String's encoding (JEP 254): without it, readers decode a text that stays wrongly.
    fields(BYTE, &["coder"]),
    // Elements of a collection, characters of a builder: if they are 0, Eclipse MAT reports empty collections.
    fields(INT, &["size", "count", "elementCount"]),
    // How often a collection has changed: tells a collection that was filled and emptied from one that was never used.
    fields(INT, &["modCount"]),
    // Room in a table, queue or buffer: MAT's fill ratios, and memory outside the heap.
    fields(INT, &["threshold", "capacity", "sizeCtl", "capacityIncrement"]),
    // How full a table may get: MAT's fill ratios.
    fields(FLOAT, &["loadFactor"]),
    // The size of a ConcurrentHashMap.
    fields(LONG, &["baseCount"]),
    // Members of an EnumSet as bits. Other sets have references, which stay.
    fields(LONG, &["elements"]),
    // Where a queue in an array begins and ends, and so its size.
    fields(INT, &["head", "tail", "takeIndex", "putIndex"]),
    // The size of a BitSet.
    fields(INT, &["wordsInUse"]),
    // Which part of an array or of memory a buffer or a sublist has.
    fields(INT, &["offset", "position", "limit", "mark"]),
    // The position of a constant in its enum: the code of the enum tells the same.
    fields(INT, &["ordinal"]),
    // How many references wait for the finalizer or a cleaner.
    fields(LONG, &["queueLength"]),
    // Thread.getState() is computed from the status, and analysers show both.
    fields(INT, &["threadStatus", "priority"]),
    // Whether a thread keeps the JVM alive.
    fields(BOOLEAN, &["daemon"]),
    // A thread's number, the one in a thread dump.
    fields(LONG, &["tid"]),
    // The state of a virtual thread. Other classes have a `state` that may be the application's.
    Row { beside: Some("carrierThread"), ..fields(INT, &["state"]) },
    // Shifts for the byte order of UTF-16 (JDK: `StringUTF16.java`): VisualVM decodes characters with them.
    statics(INT, &["HI_BYTE_SHIFT", "LO_BYTE_SHIFT"]),
    // Offsets of fields, see OFFSET_ENDS. VisualVM's heap library takes the size of references from the distance of two
    // offsets.
    statics(LONG, &[]),
];

/// The last row has all names with these ends: `annotationTypeOffset` (Class$Atomic), `runnerOffset` (FutureTask),
/// `SIZE_OFFSET`.
const OFFSETS: u8 = TABLE.len() as u8 - 1;
const OFFSET_ENDS: [&[u8]; 2] = [b"Offset", b"OFFSET"];

/// Most names that are remembered. Some hundreds have such an end.
const SYMBOLS_MAX: usize = 4096;

/// Names that classes in each JVM have. When all of them have come, the other expected names of the table have come as
/// well. The JDK's own symbols come first, if they come from its archive (JDK: `symbolTable.cpp`,
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

/// Texts that are no secrets, kept wherever they stand. VisualVM's heap library takes the size of references from this
/// property. Its values are those of JDK: `compressedOops.cpp`, `CompressedOops::mode_to_string`.
pub const TEXTS: [&str; 5] =
    ["java.vm.compressedOopsMode", "32-bit", "Zero based", "Non-zero based", "Non-zero disjoint base"];

/// The symbols of a dump that are names of the table.
#[derive(Debug, Default)]
pub struct Structure {
    /// Rows, by the identifiers of names.
    rows: IdMap<u8>,
    /// Names of `beside`, by their identifiers.
    beside: IdMap<&'static str>,
    /// One bit for each name of [`ALWAYS`] that has come.
    seen: u32,
}

impl Structure {
    /// Takes a symbol. Returns whether it is the name of a field of instances.
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

    /// Returns whether all expected names of the table have come.
    pub fn is_known(&self) -> bool {
        self.seen.count_ones() as usize == ALWAYS.len()
    }

    /// Returns whether a field of instances stays readable.
    pub fn keeps_field(&self, class: &Class, name_id: u64, basic_type: u8) -> bool {
        let Some(row) = self.row(class.is_jdk, name_id, basic_type, false) else { return false };
        let is_beside = |name: &str| class.fields.iter().any(|field| self.beside.get(&field.name_id) == Some(&name));
        row.beside.is_none_or(is_beside)
    }

    /// Returns whether a static field stays readable.
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
