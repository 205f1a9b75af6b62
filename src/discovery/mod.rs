//! Which processes are JVMs, and which of them is taken. A JVM is known by what it maps (`libjvm.so`), not by
//! its name; hsperfdata adds facts and is never required.

mod elf;
pub mod hsperfdata;
pub mod limits;
pub mod maps;
pub mod mountinfo;
pub mod proc_status;
mod select;

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sysinfo::{Pid as SysPid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::attach::Identity;
use crate::target::Target;
use hsperfdata::PerfData;
use maps::{Mapped, MapsReader, Vm};
use proc_status::SIGQUIT;
pub use select::{DiscoveryError, Preference, Selection, select};

/// The kernel's process directory.
pub const PROC: &str = "/proc";

/// A JVM that was found.
#[derive(Debug)]
pub struct Jvm {
    pub target: Target,
    /// Its number in its own pid namespace: the one in its file names.
    pub ns_pid: i32,
    pub identity: Identity,
    pub vm: Vm,
    /// Its mappings were hidden from us: it is taken for a JVM by its name.
    pub by_name_only: bool,
    pub resident_bytes: u64,
    pub perf_data: Option<PerfData>,
    /// Main class or jar; no arguments, they may be secrets.
    pub main_class: Option<String>,
}

impl Jvm {
    pub fn pid(&self) -> i32 {
        self.target.pid()
    }

    /// One line that tells this JVM from others.
    pub fn describe(&self) -> String {
        let main_class = self.main_class.as_deref().unwrap_or("unknown main class");
        let version = self.perf_data.as_ref().and_then(PerfData::vm_version);
        let version = version.map(|version| format!(", version {version}")).unwrap_or_default();
        format!("pid {} ({main_class}{version}, uid {})", self.pid(), self.identity.uid)
    }
}

/// All JVMs that can be seen, by process number; never this process itself.
///
/// # Errors
/// When the process list cannot be read.
pub fn discover(proc_root: &Path) -> Result<Vec<Jvm>, DiscoveryError> {
    let list_error = |source| DiscoveryError::ProcessList { proc_root: proc_root.to_owned(), source };
    let entries = std::fs::read_dir(proc_root).map_err(list_error)?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let others = pids.filter(|pid: &i32| pid.unsigned_abs() != std::process::id());
    let mut jvms: Vec<Jvm> = others.filter_map(|pid| look_at(proc_root, pid)).collect();
    jvms.sort_by_key(Jvm::pid);
    add_memory(&mut jvms);
    Ok(jvms)
}

/// The one JVM that was asked for by its number.
fn only(proc_root: &Path, pid: i32) -> Result<Jvm, DiscoveryError> {
    let ours = pid.unsigned_abs() == std::process::id();
    let found = if ours { None } else { look_at(proc_root, pid) };
    let mut found = [found.ok_or_else(|| why_no_jvm(proc_root, pid))?];
    add_memory(&mut found);
    let [jvm] = found;
    Ok(jvm)
}

/// sysinfo looks at each process in many files, so it is asked about JVMs only.
fn add_memory(jvms: &mut [Jvm]) {
    let pids: Vec<SysPid> = jvms.iter().map(|jvm| SysPid::from_u32(jvm.pid().unsigned_abs())).collect();
    let Ok(mut system) = System::new() else { return };
    let wanted = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), false, wanted);
    for (jvm, pid) in jvms.iter_mut().zip(pids) {
        jvm.resident_bytes = system.process(pid).map_or(0, sysinfo::Process::memory);
    }
}

/// What this process is, when it is a JVM. One that ends while we look is none.
fn look_at(proc_root: &Path, pid: i32) -> Option<Jvm> {
    let target = Target::open(proc_root, pid).ok()?;
    let status = target.status().ok()?;
    let identity = Identity { uid: status.euid?, gid: status.egid? };
    // A child that the JVM forked maps the same until it becomes something else. Every JVM has more threads.
    if status.threads == Some(1) && status.name != "java" {
        return None;
    }
    let mapped = mapped(&target).or_else(|error| match error.kind() {
        // The process's own user may look.
        io::ErrorKind::PermissionDenied => identity.io(|| mapped(&target)),
        _ => Err(error),
    });
    let (vm, by_name_only) = match &mapped {
        Ok(Mapped { vm: Some(vm), .. }) => (*vm, false),
        // One that does not catch SIGQUIT has no attach support.
        Ok(_) if status.catches(SIGQUIT) == Some(true) && is_native_image(identity, &target) => {
            (Vm::NativeImage, false)
        }
        Ok(_) => return None,
        Err(_) if status.name == "java" => (Vm::HotSpot, true),
        Err(_) => return None,
    };
    if status.threads == Some(1) && !by_name_only {
        return None;
    }
    let ns_pid = status.ns_pid.unwrap_or(pid);
    let perf_data = perf_data(&target, identity, mapped.ok().and_then(|mapped| mapped.hsperfdata));
    let main_class = perf_data.as_ref().and_then(PerfData::main_class).map(str::to_owned);
    let main_class = main_class.or_else(|| main_class_of(&target.read("cmdline").ok()?));
    // Taken now: later it tells whether the number still means this process.
    target.start_ticks();
    Some(Jvm { target, ns_pid, identity, vm, by_name_only, resident_bytes: 0, perf_data, main_class })
}

/// Why a process that was asked for by number is not in the list of JVMs.
fn why_no_jvm(proc_root: &Path, pid: i32) -> DiscoveryError {
    if pid.unsigned_abs() == std::process::id() {
        return DiscoveryError::Ourselves { pid };
    }
    let look = || {
        let target = Target::open(proc_root, pid)?;
        let status = target.status()?;
        // It maps nothing any more. A thread of the kernel has no memory either.
        if status.is_zombie() || !status.has_memory && status.name == "java" {
            return Err(rustix::io::Errno::SRCH.into());
        }
        let identity = Identity { uid: status.euid.unwrap_or(0), gid: status.egid.unwrap_or(0) };
        io::Result::Ok((status.name, is_native_image(identity, &target)))
    };
    match look() {
        Ok((name, true)) => DiscoveryError::NativeImage { pid, name },
        Ok((name, false)) => DiscoveryError::NotAJvm { pid, name },
        Err(source) => DiscoveryError::NoSuchProcess { pid, source },
    }
}

/// Whether its file is a GraalVM native image.
fn is_native_image(identity: Identity, target: &Target) -> bool {
    let Ok(exe) = target.open_exe().or_else(|_| identity.io(|| target.open_exe())) else { return false };
    elf::has_section(elf::SVM_HEAP, |at, len| {
        let mut bytes = vec![0; len];
        exe.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
    })
}

/// A process may map hundreds of thousands of files, so the text is never held as a whole.
fn mapped(target: &Target) -> io::Result<Mapped> {
    let mut reader = MapsReader::default();
    target.read_pieces("maps", |piece| {
        reader.push(piece);
        Ok(())
    })?;
    Ok(reader.finish())
}

/// The counters, when the JVM keeps a file that we can read.
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

/// Options of the launcher whose value is the next word (JDK: `src/java.base/share/native/libjli/java.c`).
const WITH_VALUE: &[&str] = &[
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--add-exports",
    "--add-opens",
    "--add-reads",
    "--limit-modules",
    "--patch-module",
    "--enable-native-access",
];

/// Main class, jar or module from the words of a command line.
fn main_class_of(cmdline: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(cmdline);
    let mut words = text.split('\0').filter(|word| !word.is_empty());
    let program = words.next()?.rsplit('/').next()?;
    // Behind another program's name stand arguments of its own, which may be secrets.
    if program != "java" {
        return Some(program.to_owned());
    }
    while let Some(word) = words.next() {
        if matches!(word, "-jar" | "-m" | "--module") {
            return words.next().map(str::to_owned);
        }
        if WITH_VALUE.contains(&word) {
            words.next();
        } else if !word.starts_with('-') && !word.starts_with('@') {
            return Some(word.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_class_is_found_behind_options_that_take_a_value() {
        assert_eq!(
            main_class_of(b"java\0-Xmx1g\0-cp\0a.jar\0com.shop.Main\0--token=x\0").as_deref(),
            Some("com.shop.Main")
        );
        assert_eq!(main_class_of(b"java\0-jar\0/app/app.jar\0x\0").as_deref(), Some("/app/app.jar"));
        assert_eq!(main_class_of(b"/app/server\0--db-password\0hunter2\0").as_deref(), Some("server"));
        assert_eq!(main_class_of(b"java\0-version\0"), None);
        assert_eq!(main_class_of(b""), None);
    }
}
