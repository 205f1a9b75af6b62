//! `make bench`: the tool against its peers, in turn on the same JVMs. Flags: `--help`; the budgets are those of the
//! design, the method is told in the report.

#![allow(clippy::disallowed_methods, reason = "benchmarks read their own files and wait for their children")]

#[path = "../common/mod.rs"]
mod common;

mod budgets;
mod chart;
mod companions;
mod contestants;
mod cpu_time;
mod heap;
mod machine;
mod measure;
mod median;
mod options;
mod quota;
mod results;
mod site;
mod spread;
mod table;
mod watch;

use std::fs;
use std::process::ExitCode;

use clap::Parser;

use options::{Options, report_dir};
use results::HeapResult;
use site::Site;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(companion) = options.companion {
        companions::be(companion);
        return ExitCode::SUCCESS;
    }
    let site = match Site::new(&options) {
        Ok(site) => site,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut results = Vec::new();
    for plan in options.plans() {
        results.extend(measure::heap(&plan, &site));
        // After each heap: the whole takes hours, and may be broken off.
        report(&options.report, &site, &results);
    }
    let _ = fs::remove_dir_all(site.work());
    println!("{}", report(&options.report, &site, &results));
    let failed = results.iter().flat_map(|heap| &heap.rows).any(|row| row.failed);
    if failed || results.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Writes both files, and returns the text.
fn report(name: &str, site: &Site, results: &[HeapResult]) -> String {
    let chart = chart::svg(&machine::today(), results);
    let chart = chart.map(|svg| {
        let file = format!("{name}.svg");
        write(&file, &svg);
        file
    });
    let text = table::markdown(&lines(site, results), chart.as_deref(), results);
    write(&format!("{name}.md"), &text);
    text
}

fn write(name: &str, text: &str) {
    fs::create_dir_all(report_dir()).expect("target can be written");
    fs::write(report_dir().join(name), text).expect("target can be written");
}

/// On what it was measured, and who ran.
fn lines(site: &Site, results: &[HeapResult]) -> Vec<String> {
    let mut lines = vec![
        machine::today(),
        machine::machine(),
        format!("dumps and stores on {}", machine::file_system(site.work())),
    ];
    lines.extend(site.lines());
    let mut jdks: Vec<&str> = results.iter().map(|heap| &*heap.spec.jdk).collect();
    jdks.sort_unstable();
    jdks.dedup();
    lines.extend(jdks.into_iter().map(machine::java));
    lines
}
