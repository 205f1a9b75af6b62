//! The memory of a JVM as the kernel and the JVM see it: status, mappings by category, the container's figures, and
//! Native Memory Tracking. The kernel's part needs no answer of the JVM.

use std::io;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};

use super::smaps::Smaps;
use super::{ArtefactError, Kind, Text, answer, section};
use crate::attach::{AttachError, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::base::units::Bytes;
use crate::heap_dump::usage;
use crate::jvm::Jvm;
use crate::jvm::condition::Reading;
use crate::jvm::container;

/// Time for an answer of the JVM, without which the text is stored all the same.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts of the lines of `/proc/PID/status` about memory and threads (proc_pid_status(5)).
const STATUS: &[&str] = &["Vm", "Rss", "Hugetlb", "Threads"];

/// Describes the memory of a JVM. `vm` is the attached JVM, or the reason why it cannot be asked.
///
/// # Errors
/// When the JVM has ended, or the run is stopped.
pub fn memory<'a>(
    jvm: &Jvm,
    vm: Result<&VirtualMachine<'_>, &str>,
    deadline: &Deadline,
) -> Result<Text<'a>, ArtefactError> {
    let mut text = section("time", &Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true));
    text += &section("process", &status(jvm)?);
    text += &section("container", &container(jvm));
    text += &section("mappings", &mappings(jvm, deadline)?);
    text += &section("heap", &asked(vm, "GC.heap_info", deadline)?);
    text += &section("native memory tracking", &asked(vm, "VM.native_memory summary", deadline)?);
    Ok(Text::ready(Kind::Memory, jvm.pid(), text, deadline))
}

fn status(jvm: &Jvm) -> Result<String, AttachError> {
    let status = jvm.target.read("status").map_err(|_| AttachError::Gone { pid: jvm.pid() })?;
    let status = String::from_utf8_lossy(&status);
    let lines = status.lines().filter(|line| STATUS.iter().any(|start| line.starts_with(start)));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

fn container(jvm: &Jvm) -> String {
    let used = match usage(jvm).memory {
        Reading::Of(used, most) => format!("used, page cache not counted: {} of {}\n", Bytes(used), Bytes(most)),
        Reading::NoLimit => "no limit of memory is seen from inside\n".into(),
        Reading::Unknown => "what is used cannot be read\n".into(),
    };
    let figures = container::figures(&jvm.target, jvm.identity);
    let figures = figures.into_iter().map(|(file, value)| match value.trim_end() {
        value if value.contains('\n') => format!("{file}:\n  {}\n", value.replace('\n', "\n  ")),
        value => format!("{file}: {value}\n"),
    });
    used + &figures.collect::<String>()
}

fn mappings(jvm: &Jvm, deadline: &Deadline) -> Result<String, AttachError> {
    let read = || {
        let mut smaps = Smaps::default();
        jvm.target.read_pieces("smaps", |piece| {
            deadline.check("reading the mappings").map_err(io::Error::other)?;
            smaps.push(piece);
            Ok(())
        })?;
        io::Result::Ok(smaps.finish())
    };
    // The kernel shows mappings only to who may trace the process (ptrace(2), "Ptrace access mode checking").
    let text = read().or_else(|_| jvm.identity.io(read));
    deadline.check("reading the mappings")?;
    Ok(text.unwrap_or_else(|error| format!("cannot be read: {error}")))
}

fn asked(vm: Result<&VirtualMachine<'_>, &str>, command: &str, deadline: &Deadline) -> Result<String, AttachError> {
    let vm = match vm {
        Ok(vm) => vm,
        Err(why) => return Ok(format!("not asked: {why}")),
    };
    match answer(vm, command, &deadline.at_most(PATIENCE)) {
        Err(AttachError::Stopped(stopped)) if deadline.check("").is_ok() => Ok(format!("no answer: {stopped}")),
        other => other,
    }
}
