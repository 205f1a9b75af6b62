//! The budgets of the design: the worst heap decides on each.

use crate::contestants::Contestant::{Bare, Flate2, Gzip, Isal, IsalS3, NoDisk};
use crate::results::{ANON, DISK, HeapResult, PAUSE, STORED, WALL};

struct Budget {
    what: &'static str,
    bound: f64,
    /// None where it does not hold for this heap, or was not measured.
    value: fn(&HeapResult) -> Option<f64>,
}

const BUDGETS: [Budget; 11] = [
    Budget { what: "whole time, isal to a directory, of bare jattach", bound: 0.9, value: |h| h.ratio(Isal, Bare, WALL) },
    Budget { what: "whole time, flate2 to a directory, of bare jattach", bound: 1.25, value: |h| h.ratio(Flate2, Bare, WALL) },
    Budget { what: "whole time, isal to a directory, of jattach + gzip -1 + upload", bound: 0.25, value: |h| h.ratio(Isal, Gzip, WALL) },
    Budget { what: "pause, isal, of bare jattach", bound: 1.0, value: |h| h.ratio(Isal, Bare, PAUSE) },
    Budget { what: "pause, flate2, of bare jattach", bound: 1.2, value: |h| h.ratio(Flate2, Bare, PAUSE) },
    Budget { what: "RssAnon to a directory, MiB", bound: 32.0, value: |h| Some(h.row(Isal)?.range(ANON).1) },
    Budget { what: "RssAnon to S3, MiB", bound: 32.0, value: |h| Some(h.row(IsalS3)?.range(ANON).1) },
    Budget { what: "RssAnon with --no-disk, MiB", bound: 40.0, value: |h| Some(h.row(NoDisk)?.range(ANON).1) },
    Budget { what: "disk beyond what is stored, % of the dump (isal, JDK 17 and 21)", bound: 5.0, value: excess },
    Budget { what: "disk with --no-disk, MiB", bound: 0.0, value: |h| Some(h.row(NoDisk)?.range(DISK).1) },
    Budget { what: "stored size, isal, of gzip -1", bound: 1.02, value: |h| h.ratio(Isal, Gzip, STORED) },
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

fn line(budget: &Budget, results: &[HeapResult]) -> String {
    let values = results.iter().filter_map(|heap| Some(((budget.value)(heap)?, heap)));
    match values.max_by(|a, b| a.0.total_cmp(&b.0)) {
        None => format!("| {} | {} | – | | not measured |\n", budget.what, budget.bound),
        Some((value, heap)) => {
            let met = if value <= budget.bound { "met" } else { "**missed**" };
            format!("| {} | {} | {value:.2} | {} | {met} |\n", budget.what, budget.bound, heap.spec)
        }
    }
}
