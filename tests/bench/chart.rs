//! target/bench/bench.svg: whole time and pause beside bare jattach, by JDK.

use crate::contestants::Contestant;
use crate::heap::Kind;
use crate::results::{HeapResult, Of, PAUSE, WALL};
use crate::spread::Spread;

/// Plain colours, which every viewer knows, and others for a dark one.
const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 } .head { font-weight: 600 } .faint { fill: #59636e }
.paper { fill: #ffffff } .ours { fill: #0969da } .peer { fill: #afb8c1 }
.one { stroke: #cf222e; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .faint { fill: #9198a1 }
  .paper { fill: #0d1117 } .ours { fill: #4493f8 } .peer { fill: #59636e }
  .one { stroke: #ff7b72 }
}
";

const ROW: f64 = 19.0;
const BAR: f64 = 13.0;
const NAMES: f64 = 180.0;
const PANEL: f64 = 330.0;
/// For the number and its interval behind the longest bar.
const NUMBER: f64 = 120.0;
const TOP: f64 = 66.0;

struct Panel {
    title: &'static str,
    of: Of,
    left: f64,
}

const PANELS: [Panel; 2] = [
    Panel { title: "whole time, × bare jattach", of: WALL, left: NAMES },
    Panel { title: "pause of the application, × bare jattach", of: PAUSE, left: NAMES + PANEL + NUMBER },
];

/// None without a heap of the chosen kind.
pub fn svg(date: &str, results: &[HeapResult]) -> Option<String> {
    let heaps = chosen(results);
    let first = heaps.first()?;
    let (kind, size) = (first.spec.kind.name(), first.spec.gib());
    let title = format!("Dump of {size} GiB ({kind}), stored; less is better");
    let mut body = text(14.0, 24.0, "title", &title);
    body += &text(
        14.0,
        42.0,
        "faint",
        &format!("{date}. 1.0 is the dump alone, uncompressed and not stored. In parentheses: the 95 % interval."),
    );
    let mut y = TOP;
    for panel in &PANELS {
        body += &text(panel.left, y, "head", panel.title);
    }
    for heap in &heaps {
        y += ROW;
        body += &text(14.0, y + BAR - 2.0, "head", &format!("JDK {}", heap.spec.jdk));
        y += group(&mut body, heap, &heaps, y + ROW);
    }
    let (width, height) = (NAMES + 2.0 * (PANEL + NUMBER) + 14.0, y + 2.0 * ROW);
    // Below the bars, so that no number is crossed out.
    let lines = lines(&heaps, height - ROW);
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n<style>\n{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{lines}{body}</svg>\n"
    ))
}

/// Of each JDK the heap like an application's that is nearest to 1 GiB.
fn chosen(results: &[HeapResult]) -> Vec<&HeapResult> {
    let any_mixed = results.iter().any(|heap| heap.spec.kind == Kind::Mixed);
    let kind = results.first().map(|heap| heap.spec.kind).filter(|_| !any_mixed).unwrap_or(Kind::Mixed);
    let like = |heap: &&HeapResult| heap.spec.kind == kind && heap.row(Contestant::Bare).is_some();
    let nearest = results.iter().filter(like).map(|heap| heap.spec.mb).min_by_key(|mb| mb.abs_diff(1024));
    results.iter().filter(like).filter(|heap| Some(heap.spec.mb) == nearest).collect()
}

/// The bars of one JDK; returns their height.
fn group(body: &mut String, heap: &HeapResult, all: &[&HeapResult], top: f64) -> f64 {
    let mut y = top;
    for row in heap.rows.iter().filter(|row| row.ran() && row.contestant.dumps()) {
        *body += &text(22.0, y + BAR - 2.0, "", row.contestant.name());
        for panel in &PANELS {
            if let Some(ratio) = heap.ratio(row.contestant, Contestant::Bare, panel.of) {
                *body += &bar(panel, y, ratio, scale(all, panel.of), row.contestant);
            }
        }
        y += ROW;
    }
    y - top + ROW / 2.0
}

fn bar(panel: &Panel, y: f64, ratio: Spread, scale: f64, contestant: Contestant) -> String {
    let class = if contestant.is_ours() { "ours" } else { "peer" };
    let (left, width) = (panel.left, ratio.middle * scale);
    let bar =
        format!("<rect class=\"{class}\" x=\"{left}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>\n");
    bar + &text(left + width + 5.0, y + BAR - 2.0, "", &ratio.to_string())
}

/// Pixels of 1.0: the longest bar of a panel fills it.
fn scale(heaps: &[&HeapResult], of: Of) -> f64 {
    let rows = heaps.iter().flat_map(|heap| heap.rows.iter().map(move |row| (heap, row.contestant)));
    let ratios = rows
        .filter(|(_, contestant)| contestant.dumps())
        .filter_map(|(heap, contestant)| heap.ratio(contestant, Contestant::Bare, of));
    PANEL / ratios.map(|ratio| ratio.middle).fold(1.0, f64::max)
}

fn lines(heaps: &[&HeapResult], bottom: f64) -> String {
    let line = |panel: &Panel| {
        let x = panel.left + scale(heaps, panel.of);
        format!("<line class=\"one\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\"/>\n", TOP + 6.0)
    };
    PANELS.iter().map(line).collect()
}

fn text(x: f64, y: f64, class: &str, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>\n")
}
