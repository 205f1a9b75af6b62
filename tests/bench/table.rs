//! target/bench/bench.md.

use crate::budgets;
use crate::contestants::Contestant;
use crate::results::{ANON, CPU, DISK, HeapResult, JVM_CPU, LOCAL, Of, PAUSE, Row, SERVER_CPU, STORED, WALL};
use crate::spread::Spread;

const HEAD: &str = "\
| contestant | time s | min–max | × bare (95 %) | here s | pause s | × bare (95 %) | CPU s | × igzip (95 %) | JVM CPU s | \
S3 CPU s | anon MiB | disk MiB | stored MiB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

/// Cells behind the name of a contestant.
const CELLS: usize = 13;

const METHOD: &str = "\
In a round each contestant dumps the same JVM once. Before the first round the JVM dumps once, and that dump does not \
count. The order moves on by one in each round. All dump unreachable objects too. Before each run, the kernel writes \
to the disk what earlier runs have left.

**Figures.** Seconds are medians over the rounds. A ratio is that of two runs of the same round: its median, and in \
parentheses its 95 % interval. The interval is that of the sign test: with n rounds it goes from the k-th smallest to \
the k-th largest ratio, k being as large as 95 % allow (1 for 6 rounds, 3 for 12). It assumes nothing about how the \
figures are distributed. With fewer than 6 rounds it goes from the smallest to the largest, and covers less (75 % with \
3 rounds). Memory and disk are the largest of all rounds.

- **Bare** is `jattach PID dumpheap FILE -all`. It neither compresses nor stores.
- **Time** goes from the first command to the end of the last. Ours syncs what it stores in a directory. Bare jattach \
leaves that to the kernel.
- **Here** is the time until the compressed dump was a local file, where the upload came after that. The budgets compare \
it with ours to a directory.
- **Pause** is the longest time that a thread of the JVM was kept from running.
- **CPU** is user and system time of all processes that were started for the run. **JVM CPU** is that of the JVM in the \
same time, and **S3 CPU** that of the server.
- **igzip** is `igzip -1` of a dump that jattach has written before, from the page cache into a file. It is the measure \
of the processor time that deflate needs. Its time is no time of a dump.
- **What the whole time may be** is 1.15 times bare, or 1.1 times (JVM CPU of the bare dump + CPU of igzip) / CPUs, \
whichever is more.
- **anon** is the peak of RssAnon of the run's processes together, looked at every 5 ms.
- **disk** is the peak of the blocks of all files in the dump and store directories, with or without a name, looked at \
every 10 ms. What the S3 server stores is not in it.
- **S3** is a server in a process of its own on the same machine. Its directory is on the same disk. Peers upload by one \
`curl -T`.

The looks take about a twentieth of one core from all alike. An independent parser reads each dump of ours to its end \
and counts its objects. In the first dump of each contestant, 200 random objects are also read by a reader that works as \
that of Eclipse MAT, and compared with a reading from the front.
";

pub fn markdown(machine: &[String], chart: Option<&str>, results: &[HeapResult]) -> String {
    let mut text = "# jmap-dump-tool against its peers\n\n".to_owned();
    for line in machine {
        text += &format!("- {line}\n");
    }
    if let Some(chart) = chart {
        text += &format!("\n![time and pause]({chart})\n");
    }
    text += &format!("\n## Budgets\n\n{}\n## Method\n\n{METHOD}\n## Heaps\n", budgets::table(results));
    for heap in results {
        text += &section(heap);
    }
    text
}

fn section(heap: &HeapResult) -> String {
    let dump = heap.row(Contestant::Bare).map_or(f64::NAN, |row| row.median(STORED));
    let rounds = heap.rounds();
    let mut text = format!("\n### {}\n\nDump {dump:.0} MiB, {rounds} rounds.{}\n\n{HEAD}", heap.spec, floor(heap));
    for row in &heap.rows {
        text += &line(row, heap);
    }
    text + "\n" + &budgets::of_heap(heap)
}

/// What JVM and compression cost.
fn floor(heap: &HeapResult) -> String {
    let (Some(floors), Some(bare)) = (heap.floors(), heap.row(Contestant::Bare)) else { return String::new() };
    let ratios = floors.iter().zip(&bare.runs).map(|(floor, run)| floor / WALL(run)).collect();
    let ratio = Spread::of(ratios).map_or("–".to_owned(), |ratio| ratio.to_string());
    let cpus = (heap.cpus * 100.0).round() / 100.0;
    format!(" JVM CPU of the bare dump and CPU of igzip, on {cpus} CPUs: {ratio} × bare.")
}

fn line(row: &Row, heap: &HeapResult) -> String {
    let name = row.contestant.name();
    if let Some(obstacle) = &row.obstacle {
        let what = if row.failed { "**failed**" } else { "skipped" };
        // A line break would end the table.
        let why = obstacle.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/");
        return format!("| {name} | {what}: {why} {}|\n", "| ".repeat(CELLS - 1));
    }
    format!("| {name} | {} |\n", cells(row, heap).join(" | "))
}

fn cells(row: &Row, heap: &HeapResult) -> [String; CELLS] {
    let none = || "–".to_owned();
    let seconds = |of: Of| Some(row.median(of)).filter(|value| !value.is_nan()).map(|value| format!("{value:.2}"));
    let ratio = |to: Contestant, of: Of| heap.row(to).and_then(|to| row.ratio(to, of)).map(|ratio| ratio.to_string());
    let of_dump = |cell: Option<String>| cell.filter(|_| row.contestant.dumps()).unwrap_or_else(none);
    let has_upload = row.runs.iter().any(|run| run.local.is_some());
    let (shortest, longest) = row.range(WALL);
    [
        seconds(WALL).unwrap_or_else(none),
        format!("{shortest:.2}–{longest:.2}"),
        of_dump(ratio(Contestant::Bare, WALL)),
        seconds(LOCAL).filter(|_| has_upload).unwrap_or_else(none),
        of_dump(seconds(PAUSE)),
        of_dump(ratio(Contestant::Bare, PAUSE)),
        seconds(CPU).unwrap_or_else(none),
        ratio(Contestant::Igzip, CPU).filter(|_| row.contestant != Contestant::Bare).unwrap_or_else(none),
        of_dump(seconds(JVM_CPU)),
        seconds(SERVER_CPU).unwrap_or_else(none),
        format!("{:.1}", row.range(ANON).1),
        format!("{:.0}", row.range(DISK).1),
        format!("{:.1}", row.median(STORED)),
    ]
}
