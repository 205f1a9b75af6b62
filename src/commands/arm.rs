//! `arm`: switches on the JVM's own dump on OutOfMemoryError, while the JVM runs.

use std::path::Path;
use std::time::Duration;

use super::{Answer, Failed, WatchSignals, start_clock};
use crate::attach::{AttachOperation, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::base::printable::printable;
use crate::base::units::Bytes;
use crate::cli::{ArmArgs, Flags};
use crate::error::Error;
use crate::heap_dump::{self, DiskLimits, DumpError, OwnDump, OwnDumpError, Room};
use crate::jvm::condition::Reading;
use crate::jvm::layout::Layout;
use crate::jvm::{Jvm, PROC, select};
use crate::settings::{TargetSettings, UsageError};

/// Time limit of the command. The attach has a limit of its own; two flags are set at once.
const LIMIT: Duration = Duration::from_secs(120);

pub fn run(args: &ArmArgs, flags: &Flags, watch_signals: &mut WatchSignals<'_>) -> Result<Answer, Failed> {
    let target = TargetSettings::of_arm(flags)?;
    let deadline = start_clock(LIMIT, watch_signals)?;
    let jvm = select(Path::new(PROC), &target.selection)?;
    if let Some(dir) = &args.path {
        // This check comes before the JVM is touched.
        must_be_usable(&jvm, dir)?;
    }
    let vm = VirtualMachine::attach(&jvm, target.attach_timeout, &deadline)?;
    let own = own_dump(&vm, args.path.as_deref(), &deadline)?;
    foresee(&vm, &own, &target.disk_limits, &deadline)?;
    if let Some(dir) = &args.path {
        set(&vm, "HeapDumpPath", dir, &deadline)?;
    }
    set(&vm, "HeapDumpOnOutOfMemoryError", "1", &deadline)?;
    let armed = format!("{} writes its heap to {} on OutOfMemoryError", jvm.describe(), own.path());
    Ok(Answer::of(printable(&armed).into_owned() + "\n"))
}

/// Fails if the JVM cannot use the directory. `%` may mean another directory to the JVM. So a path with `%` is checked
/// later, when the JVM has given its version.
fn must_be_usable(jvm: &Jvm, dir: &str) -> Result<(), Error> {
    if dir != "." && !dir.starts_with('/') {
        return Err(UsageError::Dir(dir.to_owned()).into());
    }
    if !dir.contains('%') {
        OwnDump::in_dir(jvm, dir, "")?;
    }
    Ok(())
}

/// Returns the file of the dump: in the directory that the user named, or else where the JVM's own flag says.
fn own_dump<'a>(vm: &'a VirtualMachine<'_>, named: Option<&str>, deadline: &Deadline) -> Result<OwnDump<'a>, Error> {
    let (jvm, name) = (vm.jvm(), file_name(vm, deadline)?);
    match named {
        Some(dir) => Ok(OwnDump::in_dir(jvm, &heap_dump::expanded(vm, dir.to_owned(), deadline)?, &name)?),
        None => Ok(OwnDump::of_path(jvm, &own_path(vm, deadline)?, &name)?),
    }
}

fn own_path(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<String, Error> {
    let untold = || DumpError::FlagUntold { pid: vm.jvm().pid(), flag: "HeapDumpPath".to_owned() };
    Ok(heap_dump::own_path(vm, deadline)?.ok_or_else(untold)?)
}

/// Returns HotSpot's name of a dump in a directory (JDK: `heapDumper.cpp`, `HeapDumper::dump_heap`). From JDK 17 on,
/// the JVM may compress the dump itself.
fn file_name(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<String, Error> {
    let gz = if heap_dump::is_gzipped_by_own_flag(vm, deadline)? { ".gz" } else { "" };
    Ok(format!("java_pid{}.hprof{gz}", vm.jvm().ns_pid))
}

/// Fails if anything keeps the dump from coming, and warns if anything may.
fn foresee(vm: &VirtualMachine<'_>, own: &OwnDump<'_>, limits: &DiskLimits, deadline: &Deadline) -> Result<(), Error> {
    let layout = heap_dump::layout(vm, deadline)?;
    let spent = spent(vm, deadline)?;
    own.must_be_free(layout, spent.is_some())?;
    if let Some(spent) = spent {
        return Err(spent.into());
    }
    let room = own.try_it(limits)?;
    let gzipped = heap_dump::is_gzipped_by_own_flag(vm, deadline)?;
    own.must_have_room(&room, heap_dump::heap_used(vm, deadline)?.unwrap_or(0), gzipped)?;
    if let Some(most) = heap_dump::flag(vm, "MaxHeapSize", deadline)?.and_then(|text| text.parse().ok()) {
        warn_of_full_heap(vm.jvm(), own, &room, most, layout, gzipped);
    }
    Ok(())
}

/// Returns an error if the JVM has had the one error at which it dumps. The first error counts, even if the JVM was not
/// armed then (JDK: `debug.cpp`, `report_java_out_of_memory`).
fn spent(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<Option<OwnDumpError>, Error> {
    let pid = vm.jvm().pid();
    match heap_dump::out_of_memory_errors(vm, deadline)? {
        Some(0) => Ok(None),
        Some(thrown) => Ok(Some(OwnDumpError::Spent { pid, thrown })),
        // JDK 8 does not tell its errors, but a dump that it has written shows them.
        None => {
            let own = own_path(vm, deadline)?;
            let written = OwnDump::of_path(vm.jvm(), &own, &file_name(vm, deadline)?);
            let written = written.ok().filter(OwnDump::was_written);
            if written.is_none() {
                log::warn!(
                    "pid {pid} does not tell whether it has had an OutOfMemoryError: it writes its heap at the first one \
                     of its life only"
                );
            }
            Ok(written.map(|own| OwnDumpError::Written { pid, path: own.path() }))
        }
    }
}

/// Warns if the dump of a full heap may fail: at an OutOfMemoryError, the heap is full as a rule.
fn warn_of_full_heap(jvm: &Jvm, own: &OwnDump<'_>, room: &Room, most: u64, layout: Layout, gzipped: bool) {
    let path = own.path();
    if own.is_memory() {
        log::warn!(
            "{path} is memory: the kernel may kill the application while it writes its heap there; name a directory on a \
             disk with --path"
        );
    }
    // From JDK 22 on, the heap lies there twice while the JVM joins the parts of its dump.
    let times = if layout == Layout::Parts && !gzipped { 2 } else { 1 };
    if !gzipped && room.free < most.saturating_mul(times) {
        let (heap, needed, free) = (Bytes(most), Bytes(most.saturating_mul(times)), Bytes(room.free));
        log::warn!(
            "when its heap of {heap} is full, its dump takes about {needed} at {path}, and {free} can be used ({}): it \
             may be cut; name a larger directory with --path",
            room.limit
        );
    }
    if let Reading::Of(_, limit) = heap_dump::usage(jvm).memory
        && limit <= most
    {
        log::warn!(
            "its container may use {}, and its heap may become {}: the kernel may kill it before it has an \
             OutOfMemoryError, and then there is no dump; lower -Xmx or raise the limit",
            Bytes(limit),
            Bytes(most)
        );
    }
}

fn set(vm: &VirtualMachine<'_>, flag: &str, value: &str, deadline: &Deadline) -> Result<(), Error> {
    let reply = vm.execute(&AttachOperation::setflag(flag, value), deadline)?;
    if reply.completion_status == 0 && reply.message.trim().is_empty() {
        return Ok(());
    }
    let words = reply.message.trim().to_owned();
    Err(DumpError::Flag { pid: vm.jvm().pid(), flag: flag.to_owned(), words }.into())
}
