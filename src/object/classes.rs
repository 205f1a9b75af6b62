//! The largest classes of a heap, and which of them are the application's. A walk counts the instances. The names come from the head of the dump, which is read
//! again once the dump is whole.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use crate::base::units::Bytes;
use crate::compress::gunzip::Gunzip;
use crate::compress::spool::Spool;
use crate::hprof::{Amount, ClassShare, Frame, Histogram, Summary, TopClasses, element_of, names};

/// Most classes in a receipt.
const LISTED_MAX: usize = 1000;

/// Number of classes that are in a receipt however small they are.
const LISTED_MIN: usize = 30;

/// A class with this part of the heap's bytes or objects is in a receipt.
const PART: u64 = 1000;

/// A class of the application is in a receipt even with this smaller part. It is small where arrays hold its bytes.
const OWN_PART: u64 = 10_000;

/// Starts of the names of the JDK's own classes.
const JDK: [&str; 5] = ["java.", "javax.", "jdk.", "sun.", "com.sun."];

/// Number of classes that are shown as text.
const SHOWN: usize = 10;

/// Longest class name in a line of text. JSON contains whole names.
const NAME_SHOWN: usize = 120;

/// Adds the largest classes of a dump whose spool is sealed: its members are read in the order of the object.
pub fn add_of_spool(walk: &mut Summary, histogram: &Histogram, spool: &Spool) {
    add_named(walk, histogram, Gunzip::new(spool.reader()));
}

/// Adds the largest classes of a plain or gzipped dump in a file.
pub fn add_of_file(walk: &mut Summary, histogram: &Histogram, mut file: &File, gzipped: bool) {
    if let Err(error) = file.rewind() {
        log::warn!("the dump cannot be read again for the names of its classes: {error}");
    }
    let file = BufReader::new(file);
    if gzipped { add_named(walk, histogram, Gunzip::new(file)) } else { add_named(walk, histogram, file) }
}

/// Adds the classes with their names, and the stack of the thread that threw an OutOfMemoryError. If the names cannot be
/// read, the numbers alone are added. A dump without objects has no classes.
fn add_named(walk: &mut Summary, histogram: &Histogram, head: impl Read) {
    let mut ranking = histogram.top(LISTED_MAX);
    let total = ranking.total;
    if total.instances == 0 {
        return;
    }
    keep_first(&mut ranking.top, |ranked| has_part(ranked.amount, total, OWN_PART));
    let of_frames = walk.thrower.iter().flat_map(Frame::name_ids).filter(|id| *id != 0).collect();
    let wanted = [ranking.name_ids(), of_frames].concat();
    let names = names::find(head, &wanted).unwrap_or_else(|error| {
        log::warn!("cannot read the names of the classes: {error}");
        Default::default()
    });
    let mut classes = ranking.named(&names);
    let all: Amount = sum(&classes.top);
    keep_first(&mut classes.top, |share| has_part(share.amount, total, PART) || is_application(&share.name));
    classes.other += all - sum(&classes.top);
    walk.classes = Some(classes);
    walk.out_of_memory_stack = walk.thrower.iter().map(|frame| frame.named(&names)).collect();
}

/// Keeps the first [`LISTED_MIN`] rows, and those behind them that `is_kept` names.
fn keep_first<T>(rows: &mut Vec<T>, is_kept: impl Fn(&T) -> bool) {
    let mut at = 0;
    rows.retain(|row| {
        at += 1;
        at <= LISTED_MIN || is_kept(row)
    });
}

fn has_part(amount: Amount, total: Amount, part: u64) -> bool {
    let reaches = |amount: u64, total: u64| u128::from(amount) * u128::from(part) >= u128::from(total);
    reaches(amount.bytes, total.bytes) || reaches(amount.instances, total.instances)
}

fn sum(shares: &[ClassShare]) -> Amount {
    shares.iter().fold(Amount::default(), |sum, share| sum + share.amount)
}

/// Returns whether the class, or the element of the array, is not the JDK's.
pub fn is_application(name: &str) -> bool {
    let element = name.trim_end_matches("[]");
    element_of(&format!("{element}[]")).is_none() && !JDK.iter().any(|jdk| element.starts_with(jdk))
}

/// Returns a line for each of the largest classes: `12.3 MiB in 13678731 of java.lang.String`.
pub fn lines(classes: &TopClasses) -> Vec<String> {
    let shown = || classes.top.iter().take(SHOWN);
    let width = shown().map(|share| share.amount.instances.to_string().len()).max().unwrap_or(0);
    let line = |share: &ClassShare| {
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

    #[test]
    fn classes_of_the_application_are_not_the_jdk_s() {
        for (name, is_its_own) in [
            ("byte[]", false),
            ("long[][]", false),
            ("java.lang.Object[]", false),
            ("com.sun.proxy.X", false),
            ("com.example.Cart", true),
            ("com.example.Cart[][]", true),
            ("Main", true),
        ] {
            assert_eq!(is_application(name), is_its_own, "{name}");
        }
    }

    #[test]
    fn small_classes_are_listed_if_they_are_the_application_s() {
        let total = Amount { instances: 1_000_000, bytes: 100_000_000 };
        let has = |instances, bytes, part| has_part(Amount { instances, bytes }, total, part);
        assert!(has(1, 100_000, PART) && !has(999, 99_999, PART) && has(1_000, 0, PART));
        assert!(has(1, 10_000, OWN_PART) && !has(99, 9_999, OWN_PART));
        let mut rows: Vec<usize> = (0..100).collect();
        keep_first(&mut rows, |row| *row == 50);
        assert_eq!((rows.len(), rows.last()), (LISTED_MIN + 1, Some(&50)));
    }

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
