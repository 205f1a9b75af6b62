//! The budgets of the design.

use crate::contestants::Contestant::{Bare, Gzip, Igzip, Isal, IsalS3, Jcmd, NoDisk, Pigz};
use crate::results::{ANON, CPU, DISK, HeapResult, LOCAL, PAUSE, STORED, WALL};
use crate::spread::Spread;

/// What, at most how much, and how much it is: None where it was not measured.
type Budget = (&'static str, f64, fn(&HeapResult) -> Option<Value>);

const BUDGETS: [Budget; 11] = [
    ("pause, isal to a directory, of bare jattach", 1.05, |h| of_rounds(h.ratio(Isal, Bare, PAUSE))),
    ("whole time, isal to a directory, of what it may take", 1.0, |h| of_rounds(of_allowed(h))),
    ("whole time, isal to a directory, of jattach + pigz -1", 0.5, |h| of_rounds(h.ratio(Isal, Pigz, LOCAL))),
    ("whole time, isal to a directory, of jcmd -gz=1", 0.5, |h| of_rounds(h.ratio(Isal, Jcmd, LOCAL))),
    ("CPU, isal to a directory, of igzip -1 of the dump", 1.25, |h| of_rounds(h.ratio(Isal, Igzip, CPU))),
    ("stored size, isal, of gzip -1", 1.02, |h| of_rounds(h.ratio(Isal, Gzip, STORED))),
    ("RssAnon to a directory, MiB", 32.0, |h| Some(Value::Largest(h.row(Isal)?.range(ANON).1))),
    ("RssAnon to S3, MiB", 32.0, |h| Some(Value::Largest(h.row(IsalS3)?.range(ANON).1))),
    ("RssAnon with --no-disk, MiB", 40.0, |h| Some(Value::Largest(h.row(NoDisk)?.range(ANON).1))),
    ("disk beyond what is stored, isal to a directory, from 2 CPUs on, % of the dump", 10.0, excess),
    ("disk with --no-disk, MiB", 0.0, |h| Some(Value::Largest(h.row(NoDisk)?.range(DISK).1))),
];

#[derive(Clone, Copy)]
enum Value {
    /// The median decides.
    OfRounds(Spread),
    /// The largest of all rounds.
    Largest(f64),
}

impl Value {
    fn decisive(self) -> f64 {
        match self {
            Value::OfRounds(spread) => spread.middle,
            Value::Largest(value) => value,
        }
    }

    fn text(self) -> String {
        match self {
            Value::OfRounds(spread) => spread.to_string(),
            Value::Largest(value) => format!("{value:.2}"),
        }
    }
}

fn of_rounds(spread: Option<Spread>) -> Option<Value> {
    spread.map(Value::OfRounds)
}

/// 1.15 times the bare dump, or 1.1 times what JVM and compression cost the processors, whichever is more.
fn of_allowed(heap: &HeapResult) -> Option<Spread> {
    let (ours, bare) = (heap.row(Isal)?, heap.row(Bare)?);
    let floors = heap.floors().unwrap_or_else(|| vec![0.0; bare.runs.len()]);
    let rounds = ours.runs.iter().zip(&bare.runs).zip(floors);
    Spread::of(rounds.map(|((ours, bare), floor)| WALL(ours) / (1.15 * WALL(bare)).max(1.1 * floor)).collect())
}

/// Below two processors nothing is compressed before the JVM has finished.
fn excess(heap: &HeapResult) -> Option<Value> {
    let ours = heap.row(Isal).filter(|_| heap.cpus >= 2.0)?;
    let dump = heap.row(Bare)?.median(STORED);
    let excess = ours.runs.iter().map(|run| 100.0 * (DISK(run) - STORED(run)) / dump);
    excess.max_by(f64::total_cmp).map(Value::Largest)
}

/// The worst heap decides on each.
pub fn table(results: &[HeapResult]) -> String {
    let mut text = "| budget | bound | worst (95 %) | where | |\n|---|--:|--:|---|---|\n".to_owned();
    for (what, bound, value) in &BUDGETS {
        let values = results.iter().filter_map(|heap| Some((value(heap)?, heap)));
        text += &match values.max_by(|a, b| a.0.decisive().total_cmp(&b.0.decisive())) {
            None => format!("| {what} | {bound} | – | | not measured |\n"),
            Some((worst, heap)) => {
                format!("| {what} | {bound} | {} | {} | {} |\n", worst.text(), heap.spec, verdict(worst, *bound))
            }
        };
    }
    text
}

/// All that were measured on one heap.
pub fn of_heap(heap: &HeapResult) -> String {
    let mut text = "| budget | bound | (95 %) | |\n|---|--:|--:|---|\n".to_owned();
    for (what, bound, value) in &BUDGETS {
        if let Some(value) = value(heap) {
            text += &format!("| {what} | {bound} | {} | {} |\n", value.text(), verdict(value, *bound));
        }
    }
    text
}

fn verdict(value: Value, bound: f64) -> &'static str {
    if value.decisive() <= bound { "met" } else { "**missed**" }
}
