//! Asks a JVM for its heap, its flags and the layout of its dump, by diagnostic commands and `printflag`.

use super::estimate::Growth;
use super::{flags, heap_info, version, vm_info};
use crate::attach::{AttachError, AttachOperation, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::compress::cpu_share;
use crate::jvm::condition::{Reading, Usage};
use crate::jvm::hsperfdata::PerfData;
use crate::jvm::layout::Layout;
use crate::jvm::maps::Vm;
use crate::jvm::{Jvm, cgroup};

/// Returns the memory that the JVM and its container use, without asking the JVM.
pub fn usage(jvm: &Jvm) -> Usage {
    Usage {
        heap: jvm.perf_data.as_ref().and_then(PerfData::old_generation).into(),
        memory: cgroup::memory(&cgroup::files_of(&jvm.target, jvm.identity)),
    }
}

/// The range of the heap that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// The old generation, with the garbage in it.
    OldGeneration,
    /// All of the used heap, with the garbage: the collector has no old generation, or does not tell of it.
    WholeHeap,
}

/// Returns the used bytes of the old generation, if `GC.heap_info` tells them, or else of the whole heap.
///
/// # Errors
/// When the JVM does not answer.
pub fn heap_in_use(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<(Reading, Measured), AttachError> {
    let info = heap_info(vm, deadline)?;
    let all = flag(vm, "MaxHeapSize", deadline)?.and_then(|text| text.parse().ok());
    let Some(old) = heap_info::old_generation(&info) else {
        return Ok((heap_info::heap_used(&info).zip(all).into(), Measured::WholeHeap));
    };
    // The counters of a JVM say this of G1, too: its old generation may take the whole heap.
    Ok((Some(old.used).zip(old.most.or(all)).into(), Measured::OldGeneration))
}

/// Returns the number of OutOfMemoryErrors that the JVM has thrown, by `VM.info`; `None` if it does not tell (JDK 8).
///
/// # Errors
/// When the JVM does not answer.
pub fn out_of_memory_errors(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<Option<u64>, AttachError> {
    // The answer is not logged, because it has the command line and the environment.
    let info = vm.execute(&AttachOperation::jcmd("VM.info"), deadline)?.message;
    Ok(vm_info::out_of_memory_errors(&info))
}

/// Returns the value of a flag of the JVM; `None` if the JVM does not tell.
///
/// # Errors
/// When the JVM does not answer.
pub fn flag(vm: &VirtualMachine<'_>, name: &str, deadline: &Deadline) -> Result<Option<String>, AttachError> {
    let answer = vm.execute(&AttachOperation::printflag(name), deadline)?.message;
    Ok(flags::value_of(&answer, name).map(str::to_owned))
}

/// Returns the path where the JVM's own flag makes it dump: a directory or a file. An empty path names neither.
///
/// # Errors
/// When the JVM does not answer.
pub fn own_path(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<Option<String>, AttachError> {
    let own = flag(vm, "HeapDumpPath", deadline)?;
    own.map(|own| expanded(vm, own, deadline)).transpose()
}

/// Returns the path that the JVM makes of a given one: newer versions put their process number into it.
///
/// # Errors
/// When the JVM does not answer.
pub fn expanded(vm: &VirtualMachine<'_>, path: String, deadline: &Deadline) -> Result<String, AttachError> {
    if !path.contains('%') {
        return Ok(path);
    }
    let version = vm.execute(&AttachOperation::jcmd("VM.version"), deadline)?.message;
    Ok(if version::expands_pid(&version) { flags::with_pid(&path, vm.jvm().ns_pid) } else { path })
}

/// Returns whether the JVM compresses the dump that it writes by itself (JDK 17 and later: `HeapDumpGzipLevel`).
///
/// # Errors
/// When the JVM does not answer.
pub fn is_gzipped_by_own_flag(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<bool, AttachError> {
    let level = flag(vm, "HeapDumpGzipLevel", deadline)?;
    Ok(level.is_some_and(|level| level.parse().is_ok_and(|level: u32| level > 0)))
}

/// Returns the processors that the JVM's container may use at a time.
pub(super) fn processors(jvm: &Jvm) -> f64 {
    let machine = cpu_share::processors();
    cgroup::processors(&cgroup::files_of(&jvm.target, jvm.identity)).map_or(machine, |quota| quota.min(machine))
}

/// Returns how much larger than its heap a dump of the JVM may become.
pub(super) fn growth(vm: &VirtualMachine<'_>, layout: Layout, deadline: &Deadline) -> Result<Growth, AttachError> {
    // Objects of a native image have headers of 8 bytes, and its flags are others.
    if layout == Layout::Unknown {
        return Ok(Growth::CompactHeaders);
    }
    // Value objects came long after the option that shows the layout `Parts`. Their flags are diagnostic, so
    // `printflag` hides them (JDK: `jvmFlag.cpp`, `JVMFlag::find_flag`).
    if layout == Layout::Parts {
        let all = vm.execute(&AttachOperation::jcmd("VM.flags -all"), deadline)?.message;
        if FLATTENING.iter().any(|name| flags::is_on_in_list(&all, name)) {
            return Ok(Growth::FlatValues);
        }
        if vm.jvm().target.thread_names().iter().any(|name| name.starts_with(OF_VIRTUAL_THREADS)) {
            return Ok(Growth::VirtualThreads);
        }
    }
    let answer = vm.execute(&AttachOperation::printflag("UseCompactObjectHeaders"), deadline)?.message;
    let is_compact = flags::is_on(&answer, "UseCompactObjectHeaders") == Some(true);
    Ok(if is_compact { Growth::CompactHeaders } else { Growth::Common })
}

/// Start of the name of the thread that a JVM starts with its first virtual thread. Its name is
/// `VirtualThread-unparker`, from JDK 26 on `VirtualThread-unblocker` (JDK: `VirtualThread.java`). HotSpot keeps the
/// first seven bytes and the last six of a long name (JDK: `os_linux.cpp`, `os::set_native_thread_name`).
const OF_VIRTUAL_THREADS: &str = "Virtual";

/// Flags that let the JVM hold value objects without headers (JDK 28: `globals.hpp`).
const FLATTENING: [&str; 2] = ["UseArrayFlattening", "UseFieldFlattening"];

/// Returns the used bytes of the whole heap; `None` if the JVM does not tell.
///
/// # Errors
/// When the JVM does not answer.
pub fn heap_used(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<Option<u64>, AttachError> {
    Ok(heap_info::heap_used(&heap_info(vm, deadline)?))
}

fn heap_info(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<String, AttachError> {
    let answer = vm.execute(&AttachOperation::jcmd("GC.heap_info"), deadline)?.message;
    log::debug!("GC.heap_info: {answer}");
    Ok(answer)
}

/// Returns the layout of the JVM's dump, by the options of its `GC.heap_dump`.
///
/// # Errors
/// When the JVM does not answer.
pub fn layout(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<Layout, AttachError> {
    let help = vm.execute(&AttachOperation::jcmd("help GC.heap_dump"), deadline)?.message;
    if vm.jvm().vm == Vm::NativeImage {
        return Ok(Layout::Unknown);
    }
    if !help.contains("-overwrite") {
        return Ok(Layout::Patched);
    }
    // This option came in the same release as the repair of a lost socket.
    vm.socket_is_expendable();
    Ok(if help.contains("-parallel") { Layout::Parts } else { Layout::Sequential })
}
