//! `ps`: lists the JVMs here, and what can be done with each. Nothing is done to any of them.

use std::path::Path;

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::{Answer, Failed};
use crate::attach::VirtualMachine;
use crate::base::printable::printable;
use crate::base::units::Bytes;
use crate::cli::Flags;
use crate::jvm::hsperfdata::PerfData;
use crate::jvm::{Jvm, PROC, discover};
use crate::settings::{Output, output_of};

/// A line of the table.
#[derive(Debug, Serialize)]
struct Row {
    pid: i32,
    ns_pid: i32,
    uid: u32,
    vm: String,
    version: Option<String>,
    main_class: Option<String>,
    heap_used: Option<u64>,
    heap_max: Option<u64>,
    resident: u64,
    /// The error says why the JVM is not attachable.
    attachable: Result<(), String>,
}

pub fn run(flags: &Flags) -> Result<Answer, Failed> {
    let output = output_of(flags)?;
    let jvms = discover(Path::new(PROC))?;
    let rows: Vec<Row> = jvms.iter().map(row).collect();
    let text = match output {
        Output::Json => json(&rows),
        Output::Text if rows.is_empty() => "no JVM among the processes that can be seen here\n".to_owned(),
        Output::Text => table(&rows),
    };
    Ok(Answer::of(text))
}

fn row(jvm: &Jvm) -> Row {
    let perf_data = jvm.perf_data.as_ref();
    Row {
        pid: jvm.pid(),
        ns_pid: jvm.ns_pid,
        uid: jvm.identity.uid,
        vm: jvm.vm.to_string(),
        version: perf_data.and_then(PerfData::vm_version).map(str::to_owned),
        main_class: jvm.main_class.clone(),
        heap_used: perf_data.and_then(PerfData::heap_used),
        heap_max: perf_data.and_then(PerfData::heap_max),
        resident: jvm.resident_bytes,
        attachable: VirtualMachine::prospect(jvm).map_err(|error| error.to_string()),
    }
}

fn json(rows: &[Row]) -> String {
    let value = |row: &Row| {
        let mut value = serde_json::to_value(row).unwrap_or_default();
        value["attachable"] = row.attachable.is_ok().into();
        value["why_not"] = row.attachable.as_ref().err().cloned().into();
        value
    };
    serde_json::Value::from_iter(rows.iter().map(value)).to_string() + "\n"
}

fn table(rows: &[Row]) -> String {
    let head = ["PID", "INSIDE", "UID", "VM", "VERSION", "HEAP USED/MAX", "RESIDENT", "MAIN CLASS", "ATTACHABLE"];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| cells(row).map(|cell| printable(&cell).into_owned())));
    let widths: Vec<usize> =
        (0..head.len()).map(|column| lines.iter().map(|line| line[column].width()).max().unwrap_or(0)).collect();
    let line = |cells: &[String; 9]| {
        // A Chinese character takes two columns.
        let padded = cells.iter().zip(&widths).map(|(cell, width)| cell.clone() + &" ".repeat(width - cell.width()));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

fn cells(row: &Row) -> [String; 9] {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |bytes| Bytes(bytes).to_string());
    [
        row.pid.to_string(),
        row.ns_pid.to_string(),
        row.uid.to_string(),
        row.vm.clone(),
        row.version.clone().unwrap_or_else(|| "?".into()),
        format!("{}/{}", size(row.heap_used), size(row.heap_max)),
        Bytes(row.resident).to_string(),
        row.main_class.clone().unwrap_or_else(|| "?".into()),
        row.attachable.as_ref().err().map_or_else(|| "yes".to_owned(), |why| format!("no: {why}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_whatever_a_class_is_called() {
        let row = |name: &str| Row {
            pid: 1,
            ns_pid: 1,
            uid: 0,
            vm: "HotSpot".into(),
            version: None,
            main_class: Some(name.into()),
            heap_used: None,
            heap_max: None,
            resident: 0,
            attachable: Ok(()),
        };
        let table = table(&[row("com.acme.Cart"), row("com.acme.购物车服务")]);
        let columns = |line: &str| line.trim_end_matches("yes").trim_end_matches("ATTACHABLE").width();
        let widths: Vec<_> = table.lines().map(columns).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{widths:?}\n{table}");
    }
}
