//! Finds the JVMs among the processes, and selects one. A JVM is known by what it maps (`libjvm.so`), not by its name.
//! hsperfdata adds facts and is never required.

pub mod cgroup;
mod closed;
mod command_line;
pub mod condition;
pub mod container;
mod elf;
pub mod hsperfdata;
pub mod layout;
pub mod maps;
pub mod memory;
pub mod mountinfo;
pub mod proc_limits;
pub mod proc_status;
mod select;
pub mod target;
mod temp_dir;

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sysinfo::{Pid as SysPid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::base::identity::Identity;
use command_line::CommandLine;
use hsperfdata::PerfData;
use maps::{Mapped, MapsReader, Vm};
use proc_status::{ProcStatus, SIGQUIT};
pub use select::{DiscoveryError, Preference, Selection, select};
use target::Target;
use temp_dir::Start;
pub use temp_dir::TMP;

/// The kernel's process directory.
pub const PROC: &str = "/proc";

/// A JVM that was found.
#[derive(Debug)]
pub struct Jvm {
    pub target: Target,
    /// The JVM's pid in its own pid namespace, which is a part of the names of its files.
    pub ns_pid: i32,
    pub identity: Identity,
    pub vm: Vm,
    /// True if its mappings are closed to us. The name of the process or of a thread then shows that it is a JVM.
    pub by_name_only: bool,
    /// The directory of its attach socket, as the JVM sees it.
    pub temp_dir: String,
    /// True if its visible options contain -XX:+DisableAttachMechanism.
    pub disables_attach: bool,
    pub resident_bytes: u64,
    pub perf_data: Option<PerfData>,
    /// Main class or jar. Without arguments, because they may be secrets.
    pub main_class: Option<String>,
}

impl Jvm {
    pub fn pid(&self) -> i32 {
        self.target.pid()
    }

    /// Returns one line that identifies this JVM.
    pub fn describe(&self) -> String {
        let main_class = self.main_class.as_deref().unwrap_or("unknown main class");
        let version = self.perf_data.as_ref().and_then(PerfData::vm_version);
        let version = version.map(|version| format!(", version {version}")).unwrap_or_default();
        format!("pid {} ({main_class}{version}, uid {})", self.pid(), self.identity.uid)
    }
}

/// Returns all visible JVMs, ordered by pid. Never this process itself.
///
/// # Errors
/// When the process list cannot be read.
pub fn discover(proc_root: &Path) -> Result<Vec<Jvm>, DiscoveryError> {
    let mut jvms: Vec<Jvm> = others(proc_root)?.filter_map(|pid| look_at(proc_root, pid)).collect();
    jvms.sort_by_key(Jvm::pid);
    add_memory(&mut jvms);
    Ok(jvms)
}

fn others(proc_root: &Path) -> Result<impl Iterator<Item = i32>, DiscoveryError> {
    let list_error = |source| DiscoveryError::ProcessList { proc_root: proc_root.to_owned(), source };
    let entries = std::fs::read_dir(proc_root).map_err(list_error)?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|pid: &i32| pid.unsigned_abs() != std::process::id()))
}

/// Most closed processes that a message names.
const CLOSED_MAX: usize = 5;

/// Returns the processes that may be JVMs but are closed to us, although they are our own or we are root.
fn closed_to_us(proc_root: &Path) -> Result<Vec<String>, DiscoveryError> {
    let ours = Identity::current().uid;
    let closed = |pid: i32| {
        let target = Target::open(proc_root, pid).ok()?;
        let status = target.status().ok()?;
        // A JVM has several threads and catches SIGQUIT. One without attach support (-Xrs) cannot be dumped anyway.
        let may_be = status.has_memory && status.threads != Some(1) && status.catches(SIGQUIT) != Some(false);
        let is_ours = ours == 0 || status.euid == Some(ours);
        let error = (may_be && is_ours).then(|| target.read("maps").err())??;
        (error.kind() == io::ErrorKind::PermissionDenied).then(|| format!("pid {pid} ({})", status.name))
    };
    Ok(others(proc_root)?.filter_map(closed).take(CLOSED_MAX).collect())
}

/// Returns the JVM with the pid that the user named.
fn only(proc_root: &Path, pid: i32) -> Result<Jvm, DiscoveryError> {
    let ours = pid.unsigned_abs() == std::process::id();
    let found = if ours { None } else { look_at(proc_root, pid) };
    let mut found = [found.ok_or_else(|| why_no_jvm(proc_root, pid))?];
    add_memory(&mut found);
    let [jvm] = found;
    Ok(jvm)
}

/// Adds the resident memory of the JVMs. Only of them, because sysinfo reads many files of each process.
fn add_memory(jvms: &mut [Jvm]) {
    let pids: Vec<SysPid> = jvms.iter().map(|jvm| SysPid::from_u32(jvm.pid().unsigned_abs())).collect();
    let Ok(mut system) = System::new() else { return };
    let wanted = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), false, wanted);
    for (jvm, pid) in jvms.iter_mut().zip(pids) {
        jvm.resident_bytes = system.process(pid).map_or(0, sysinfo::Process::memory);
    }
}

/// Returns the JVM in this process. `None` if it is no JVM, or ends meanwhile.
fn look_at(proc_root: &Path, pid: i32) -> Option<Jvm> {
    let target = Target::open(proc_root, pid).ok()?;
    let status = target.status().ok()?;
    let identity = Identity { uid: status.euid?, gid: status.egid?, groups: status.groups.clone().into() };
    // A child that the JVM forked maps the same until it becomes something else. Every JVM has more threads.
    if status.threads == Some(1) && status.name != "java" {
        return None;
    }
    let ns_pid = status.ns_pid.unwrap_or(pid);
    let mapped = mapped(&target, ns_pid).or_else(|error| match error.kind() {
        // The process's own user may read its mappings.
        io::ErrorKind::PermissionDenied => identity.io(|| mapped(&target, ns_pid)),
        _ => Err(error),
    });
    match mapped {
        Ok(mapped) => {
            let vm = match mapped.vm {
                Some(vm) => vm,
                // A native image that does not catch SIGQUIT has no attach support.
                None if status.catches(SIGQUIT) == Some(true) && is_native_image(identity, &target) => Vm::NativeImage,
                None => return None,
            };
            if status.threads == Some(1) {
                return None;
            }
            let root = target.link("root").or_else(|_| identity.io(|| target.link("root"))).unwrap_or_default();
            Some(open_jvm(target, ns_pid, identity, vm, mapped.below(&root.to_string_lossy())))
        }
        Err(_) => closed_jvm(target, &status, ns_pid, identity),
    }
}

/// Returns a JVM whose mappings are readable.
fn open_jvm(target: Target, ns_pid: i32, identity: Identity, vm: Vm, mapped: Mapped) -> Jvm {
    target.hold_dirs();
    let start = Start::of(&target, identity);
    let (temp_dir, line) = (start.temp_dir(&mapped), start.line);
    let perf_data = perf_data(&target, identity, mapped.hsperfdata);
    jvm(target, ns_pid, identity, vm, perf_data, temp_dir, line)
}

/// Returns a JVM whose mappings are closed to us; `None` if nothing shows that it is one.
fn closed_jvm(target: Target, status: &ProcStatus, ns_pid: i32, identity: Identity) -> Option<Jvm> {
    let start = Start::of(&target, identity);
    let found = closed::perf_data(&start, &target, identity, ns_pid);
    if found.is_none() && !closed::is_named_like_a_jvm(&target, status, &start.line) {
        return None;
    }
    let (perf_data, temp_dir) = match found {
        Some(found) => (Some(found.data), found.temp_dir),
        None => (None, start.temp_dir(&Mapped::default())),
    };
    let line = start.line;
    let jvm = jvm(target, ns_pid, identity, Vm::HotSpot, perf_data, temp_dir, line);
    Some(Jvm { by_name_only: true, ..jvm })
}

fn jvm(
    target: Target,
    ns_pid: i32,
    identity: Identity,
    vm: Vm,
    perf_data: Option<PerfData>,
    temp_dir: String,
    line: CommandLine,
) -> Jvm {
    // The start time is read now. Later it shows whether the pid still belongs to this process.
    target.start_ticks();
    let main_class = perf_data.as_ref().and_then(PerfData::main_class).map(str::to_owned);
    let disables_attach = line.disables_attach();
    let main_class = main_class.or(line.main);
    let (by_name_only, resident_bytes) = (false, 0);
    Jvm { target, ns_pid, identity, vm, by_name_only, temp_dir, disables_attach, resident_bytes, perf_data, main_class }
}

/// Returns the reason why the process that the user named is no JVM.
fn why_no_jvm(proc_root: &Path, pid: i32) -> DiscoveryError {
    if pid.unsigned_abs() == std::process::id() {
        return DiscoveryError::Ourselves { pid };
    }
    let look = || {
        let target = Target::open(proc_root, pid)?;
        let status = target.status()?;
        // The process has ended and maps nothing. A thread of the kernel has no memory either.
        if status.is_zombie() || !status.has_memory && status.name == "java" {
            return Err(rustix::io::Errno::SRCH.into());
        }
        let identity = Identity::new(status.euid.unwrap_or(0), status.egid.unwrap_or(0));
        let look = || target.read_pieces("maps", |_| Ok(()));
        let closed = look().err().filter(|_| identity.io(look).is_err());
        io::Result::Ok((status.name, is_native_image(identity, &target), closed))
    };
    match look() {
        Ok((name, true, _)) => DiscoveryError::NativeImage { pid, name },
        Ok((name, false, Some(source))) if source.kind() == io::ErrorKind::PermissionDenied => {
            DiscoveryError::Closed { pid, name, source }
        }
        Ok((name, false, _)) => DiscoveryError::NotAJvm { pid, name },
        Err(source) => DiscoveryError::NoSuchProcess { pid, source },
    }
}

/// Returns whether the program is a GraalVM native image.
fn is_native_image(identity: Identity, target: &Target) -> bool {
    let Ok(exe) = target.open_exe().or_else(|_| identity.io(|| target.open_exe())) else { return false };
    elf::has_section(elf::SVM_HEAP, |at, len| {
        let mut bytes = vec![0; len];
        exe.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
    })
}

/// Reads the mappings in pieces, because a process may map hundreds of thousands of files.
fn mapped(target: &Target, ns_pid: i32) -> io::Result<Mapped> {
    let mut reader = MapsReader::of(ns_pid);
    target.read_pieces("maps", |piece| {
        reader.push(piece);
        Ok(())
    })?;
    Ok(reader.finish())
}

/// Returns the counters, if the JVM has a file that we can read.
fn perf_data(target: &Target, identity: Identity, path: Option<String>) -> Option<PerfData> {
    let path = path?;
    let bytes = target.read_inside(&path).or_else(|_| identity.io(|| target.read_inside(&path)));
    match bytes.map(|bytes| PerfData::parse(&bytes)) {
        Ok(Ok(data)) => Some(data),
        Ok(Err(error)) => {
            log::debug!("pid {}: {path} is no hsperfdata: {error}", target.pid());
            None
        }
        Err(error) => {
            log::debug!("pid {}: cannot read {path}: {error}", target.pid());
            None
        }
    }
}
