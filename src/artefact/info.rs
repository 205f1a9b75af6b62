//! Facts of a JVM: version, flags, heap and machine. No `-D`, no arguments and no environment: they hold passwords.

use chrono::{SecondsFormat, Utc};

use super::info_sections::allowed;
use super::{ArtefactError, Kind, Text, answer, section};
use crate::attach::{AttachOperation, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::heap_dump::safe_flags;

/// Asks the JVM for its facts.
///
/// # Errors
/// When the JVM does not answer, or the run is stopped.
pub(super) fn info(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<Text<'static>, ArtefactError> {
    let version = vm.execute(&AttachOperation::jcmd("VM.version"), deadline)?.message;
    let mut text = section("time", &Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true));
    text += &section("version", &version);
    text += &section("uptime", &answer(vm, "VM.uptime", deadline)?);
    text += &section("flags (switches, numbers and paths only)", &safe_flags(&answer(vm, "VM.flags", deadline)?));
    text += &section("heap", &answer(vm, "GC.heap_info", deadline)?);
    // The answer is never logged: it has the command line and the environment.
    let report = vm.execute(&AttachOperation::jcmd("VM.info"), deadline)?;
    text += &match report.completion_status {
        0 => allowed(&report.message),
        _ => section("VM.info", "this JVM has no VM.info: it came with JDK 9"),
    };
    Ok(Text::ready(Kind::Info, vm.jvm().pid(), text, deadline))
}
