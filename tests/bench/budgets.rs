//! The budgets of the design: the worst heap decides on each.

use crate::contestants::Contestant::{Bare, Flate2, Gzip, Isal, IsalS3, NoDisk};
use crate::results::{ANON, DISK, HeapResult, PAUSE, STORED, WALL};

/// What, at most how much, and how much it is: None where it does not hold for this heap, or was not measured.
type Budget = (&'static str, f64, fn(&HeapResult) -> Option<f64>);

const BUDGETS: [Budget; 11] = [
    ("whole time, isal to a directory, of bare jattach", 0.9, |h| h.ratio(Isal, Bare, WALL)),
    ("whole time, flate2 to a directory, of bare jattach", 1.25, |h| h.ratio(Flate2, Bare, WALL)),
    ("whole time, isal to a directory, of jattach + gzip -1 + upload", 0.25, |h| h.ratio(Isal, Gzip, WALL)),
    ("pause, isal, of bare jattach", 1.0, |h| h.ratio(Isal, Bare, PAUSE)),
    ("pause, flate2, of bare jattach", 1.2, |h| h.ratio(Flate2, Bare, PAUSE)),
    ("RssAnon to a directory, MiB", 32.0, |h| Some(h.row(Isal)?.range(ANON).1)),
    ("RssAnon to S3, MiB", 32.0, |h| Some(h.row(IsalS3)?.range(ANON).1)),
    ("RssAnon with --no-disk, MiB", 40.0, |h| Some(h.row(NoDisk)?.range(ANON).1)),
    ("disk beyond what is stored, isal to a directory, JDK 17 and 21, % of the dump", 5.0, excess),
    ("disk with --no-disk, MiB", 0.0, |h| Some(h.row(NoDisk)?.range(DISK).1)),
    ("stored size, isal, of gzip -1", 1.02, |h| h.ratio(Isal, Gzip, STORED)),
];

fn excess(heap: &HeapResult) -> Option<f64> {
    let ours = heap.row(Isal).filter(|_| matches!(&*heap.spec.jdk, "17" | "21"))?;
    let dump = heap.row(Bare)?.median(STORED);
    Some(100.0 * (ours.median(DISK) - ours.median(STORED)) / dump)
}

pub fn table(results: &[HeapResult]) -> String {
    let mut text = "| budget | bound | worst | where | |\n|---|--:|--:|---|---|\n".to_owned();
    for budget in &BUDGETS {
        text += &line(budget, results);
    }
    text
}

fn line(&(what, bound, value): &Budget, results: &[HeapResult]) -> String {
    let values = results.iter().filter_map(|heap| Some((value(heap)?, heap)));
    match values.max_by(|a, b| a.0.total_cmp(&b.0)) {
        None => format!("| {what} | {bound} | – | | not measured |\n"),
        Some((worst, heap)) => {
            let met = if worst <= bound { "met" } else { "**missed**" };
            format!("| {what} | {bound} | {worst:.2} | {} | {met} |\n", heap.spec)
        }
    }
}
