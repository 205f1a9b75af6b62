//! The largest classes of a heap. A walk counts the instances. The names come from the head of the dump, which is read
//! again once the dump is whole.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use crate::base::units::Bytes;
use crate::compress::gunzip::Gunzip;
use crate::compress::spool::Spool;
use crate::hprof::{Histogram, TopClasses, names};

/// Number of classes in a receipt.
const LISTED: usize = 30;

/// Number of classes that are shown as text.
const SHOWN: usize = 10;

/// Longest class name in a line of text. JSON contains whole names.
const NAME_SHOWN: usize = 120;

/// Returns the largest classes of a dump whose spool is sealed: its members are read in the order of the object.
pub fn of_spool(histogram: &Histogram, spool: &Spool) -> Option<TopClasses> {
    named(histogram, Gunzip::new(spool.reader()))
}

/// Returns the largest classes of a plain or gzipped dump in a file.
pub fn of_file(histogram: &Histogram, mut file: &File, gzipped: bool) -> Option<TopClasses> {
    if let Err(error) = file.rewind() {
        log::warn!("the dump cannot be read again for the names of its classes: {error}");
    }
    let file = BufReader::new(file);
    if gzipped { named(histogram, Gunzip::new(file)) } else { named(histogram, file) }
}

/// Adds the names to the histogram. If the names cannot be read, the numbers alone are returned. `None` for a dump
/// without objects.
fn named(histogram: &Histogram, head: impl Read) -> Option<TopClasses> {
    let ranking = histogram.top(LISTED);
    if ranking.total.instances == 0 {
        return None;
    }
    let names = names::find(head, &ranking.name_ids()).unwrap_or_else(|error| {
        log::warn!("cannot read the names of the classes: {error}");
        Default::default()
    });
    Some(ranking.named(&names))
}

/// Returns a line for each of the largest classes: `12.3 MiB in 13678731 of java.lang.String`.
pub fn lines(classes: &TopClasses) -> Vec<String> {
    let shown = || classes.top.iter().take(SHOWN);
    let width = shown().map(|share| share.amount.instances.to_string().len()).max().unwrap_or(0);
    let line = |share: &crate::hprof::ClassShare| {
        let bytes = Bytes(share.amount.bytes).to_string();
        format!("{bytes:>10} in {:>width$} of {}", share.amount.instances, shortened(&share.name))
    };
    shown().map(line).collect()
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME_SHOWN) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hprof::{Amount, ClassShare};

    #[test]
    fn lines_are_aligned_few_and_not_too_long() {
        let share =
            |name: &str, instances, bytes| ClassShare { name: name.into(), amount: Amount { instances, bytes } };
        let mut top = vec![share("byte[]", 9, 3 << 20), share("a.B", 12_345, 1 << 10), share(&"é".repeat(121), 1, 2)];
        top.extend((0..10).map(|_| share("x", 1, 1)));
        let lines = lines(&TopClasses { top, ..TopClasses::default() });
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "   3.0 MiB in     9 of byte[]");
        assert_eq!(lines[1], "   1.0 KiB in 12345 of a.B");
        assert_eq!(lines[2], format!("       2 B in     1 of {}…", "é".repeat(120)));
    }
}
