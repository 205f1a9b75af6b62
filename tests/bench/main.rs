//! `make bench`: the tool against its peers, in turn on the same JVMs. Flags: `--help`; the budgets are those of the
//! design, the method is told in the report.

#![allow(clippy::disallowed_methods, reason = "benchmarks read their own files and wait for their children")]

#[path = "../common/mod.rs"]
mod common;

mod budgets;
mod chart;
mod contestants;
mod heap;
mod machine;
mod measure;
mod median;
mod options;
mod results;
mod table;
mod watch;

use std::fs;
use std::process::ExitCode;

use clap::Parser;

use contestants::Site;
use options::{Options, report_dir};
use results::HeapResult;

fn main() -> ExitCode {
    let options = Options::parse();
    let site = Site::new(&options);
    let mut results = Vec::new();
    for spec in options.heaps() {
        results.extend(measure::heap(&spec, options.rounds(&spec), &site));
        // After each heap: the whole takes hours, and may be broken off.
        report(&site, &results);
    }
    let _ = fs::remove_dir_all(site.work());
    println!("{}", report(&site, &results));
    let failed = results.iter().flat_map(|heap| &heap.rows).any(|row| row.failed);
    if failed || results.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Writes both files, and returns the text.
fn report(site: &Site, results: &[HeapResult]) -> String {
    let text = table::markdown(&lines(site, results), results);
    fs::create_dir_all(report_dir()).expect("target can be written");
    fs::write(report_dir().join("bench.md"), &text).expect("target can be written");
    if let Some(svg) = chart::svg(&machine::today(), results) {
        fs::write(report_dir().join("bench.svg"), svg).expect("target can be written");
    }
    text
}

/// On what it was measured, and who ran.
fn lines(site: &Site, results: &[HeapResult]) -> Vec<String> {
    let mut lines = vec![
        machine::today(),
        machine::machine(),
        format!("{} on {}", site.work().display(), machine::file_system(site.work())),
    ];
    lines.extend(site.versions().into_iter().filter(|line| !line.is_empty()));
    let mut jdks: Vec<&str> = results.iter().map(|heap| &*heap.spec.jdk).collect();
    jdks.sort_unstable();
    jdks.dedup();
    lines.extend(jdks.into_iter().map(machine::java));
    lines
}
