//! `--with`: asks the JVM for threads and flags just before its dump, by the same attach. The answers become one small
//! text beside the dump.

use std::fmt::Write;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};

use crate::attach::{AttachOperation, VirtualMachine};
use crate::base::deadline::{Deadline, Stopped};
use crate::base::units::Bytes;
use crate::heap_dump::{self, safe_flags};
use crate::jvm::condition::{Reading, Usage};
use crate::jvm::maps::Vm;
use crate::settings::Context;

/// Most bytes of one answer: thousands of threads with deep stacks.
const LONGEST: usize = 2 << 20;

/// Time limit for all answers: a JVM that struggles is to be dumped, not asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the JVM. If an answer does not come, the text lacks it, and the dump is made all the same.
///
/// # Errors
/// When the run is stopped.
pub fn context(
    vm: &VirtualMachine<'_>,
    with: &[Context],
    reason: &str,
    deadline: &Deadline,
) -> Result<Option<String>, Stopped> {
    if with.is_empty() || vm.jvm().vm == Vm::NativeImage {
        return Ok(None);
    }
    let text = ask(vm, with, reason, &deadline.at_most(PATIENCE.min(deadline.remaining() / 5)));
    deadline.check("asking for threads and flags")?;
    Ok(Some(text))
}

fn ask(vm: &VirtualMachine<'_>, with: &[Context], reason: &str, deadline: &Deadline) -> String {
    let mut text = String::new();
    section(&mut text, "reason of the dump", reason);
    section(&mut text, "time", &Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true));
    section(&mut text, "memory", &memory(&heap_dump::usage(vm.jvm())));
    section(&mut text, "heap", &answer(vm, &AttachOperation::jcmd("GC.heap_info"), deadline));
    if with.contains(&Context::Flags) {
        let flags = answer(vm, &AttachOperation::jcmd("VM.flags"), deadline);
        section(&mut text, "flags", &safe_flags(&flags));
    }
    if with.contains(&Context::Threads) {
        section(&mut text, "threads", &answer(vm, &AttachOperation::threaddump(), deadline));
    }
    text
}

fn answer(vm: &VirtualMachine<'_>, operation: &AttachOperation<'_>, deadline: &Deadline) -> String {
    vm.execute(operation, deadline).map_or_else(|error| format!("no answer: {error}"), |reply| reply.message)
}

fn memory(usage: &Usage) -> String {
    let line = |what: &str, reading: Reading| match reading {
        Reading::Of(used, most) => format!("{what}: {} of {}\n", Bytes(used), Bytes(most)),
        Reading::Unknown | Reading::NoLimit => String::new(),
    };
    let old = line("old generation after its last collection", usage.heap);
    format!("{}{old}", line("container, page cache not counted", usage.memory))
}

fn section(text: &mut String, title: &str, content: &str) {
    let mut end = content.len().min(LONGEST);
    while !content.is_char_boundary(end) {
        end -= 1;
    }
    let cut = if end < content.len() { "\n… cut\n" } else { "" };
    // Writing to a string cannot fail.
    let _ = write!(text, "=== {title}\n{}{cut}\n\n", content[..end].trim_end());
}
