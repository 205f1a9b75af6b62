//! target/bench/bench.md.

use crate::budgets;
use crate::contestants::Contestant;
use crate::results::{ANON, CPU, DISK, HeapResult, Of, PAUSE, Row, STORED, WALL};

const HEAD: &str = "\
| contestant | time s | min–max | × bare | pause s | × bare | CPU s | anon MiB | disk MiB | stored MiB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

const LEGEND: &str = "\
Medians over the rounds. In a round each contestant dumps the same JVM once, after a dump that does not count; × bare \
is the median of each round's ratio to `jattach PID dumpheap FILE -all`, which neither compresses nor stores. All \
dump unreachable objects too. S3 is a server in this process, on the same disk; peers upload by one `curl -T`. Time: \
from the first command to the end of the last; ours syncs what it stores in a directory, bare jattach leaves it to \
the kernel. Pause: the longest time that a thread of the JVM was kept from running. CPU: of the processes that were \
started, not of the JVM. anon: peak RssAnon of these processes together, every 5 ms. disk: peak of the blocks of all \
files in the dump and store directories, with or without a name, every 10 ms; what the S3 server stores is not in it. \
These looks take about a twentieth of one core from all alike. The first dump of each contestant of ours is read by \
an independent parser, and its objects are counted.
";

pub fn markdown(machine: &[String], results: &[HeapResult]) -> String {
    let mut text = "# jmap-dump-tool against its peers\n\n".to_owned();
    for line in machine {
        text += &format!("- {line}\n");
    }
    text +=
        &format!("\n![time and pause](bench.svg)\n\n## Budgets\n\n{}\n## Heaps\n\n{LEGEND}", budgets::table(results));
    for heap in results {
        text += &section(heap);
    }
    text
}

fn section(heap: &HeapResult) -> String {
    let rounds = heap.rows.iter().map(|row| row.runs.len()).max().unwrap_or_default();
    let dump = heap.row(Contestant::Bare).map_or(f64::NAN, |row| row.median(STORED));
    let mut text = format!("\n### {}\n\nDump {dump:.0} MiB, {rounds} rounds.\n\n{HEAD}", heap.spec);
    for row in &heap.rows {
        text += &line(row, heap.row(Contestant::Bare));
    }
    text
}

fn line(row: &Row, bare: Option<&Row>) -> String {
    let name = row.contestant.name();
    if let Some(obstacle) = &row.obstacle {
        let what = if row.failed { "**failed**" } else { "skipped" };
        // A line break would end the table.
        let why = obstacle.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/");
        return format!("| {name} | {what}: {why} | | | | | | | | |\n");
    }
    let ratio = |of: Of| bare.map_or("–".to_owned(), |bare| format!("{:.2}", row.ratio(bare, of)));
    let (shortest, longest) = row.range(WALL);
    let cells = [
        format!("{:.2}", row.median(WALL)),
        format!("{shortest:.2}–{longest:.2}"),
        ratio(WALL),
        format!("{:.2}", row.median(PAUSE)),
        ratio(PAUSE),
        format!("{:.2}", row.median(CPU)),
        format!("{:.1}", row.median(ANON)),
        format!("{:.0}", row.median(DISK)),
        format!("{:.1}", row.median(STORED)),
    ];
    format!("| {name} | {} |\n", cells.join(" | "))
}
