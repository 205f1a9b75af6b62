//! `arm`: the JVM's own dump on OutOfMemoryError, switched on while it runs.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, accessat, statat};

use super::{Answer, Outcome, WatchSignals, start_clock};
use crate::attach::{AttachOperation, VirtualMachine};
use crate::cli::ArmArgs;
use crate::deadline::Deadline;
use crate::discovery::{Jvm, PROC, select};
use crate::error::Error;
use crate::heap_dump::{DumpError, RoomError, is_gzipped_by_own_flag, own_path};
use crate::memory;
use crate::printable::printable;
use crate::regular_file::{Links, hold_dir_in};
use crate::settings::{TargetSettings, UsageError};

/// The attach has a limit of its own; two flags are set at once.
const LIMIT: Duration = Duration::from_secs(120);

pub fn run(args: &ArmArgs, watch_signals: &mut WatchSignals<'_>) -> Outcome {
    match arm(args, watch_signals) {
        Ok(text) => Outcome { result: Ok(()), answer: Some(Answer { text, aside: false }) },
        Err(error) => Outcome::failed(error),
    }
}

fn arm(args: &ArmArgs, watch_signals: &mut WatchSignals<'_>) -> Result<String, Error> {
    let target = TargetSettings::of_arm(args)?;
    let deadline = start_clock(LIMIT, watch_signals)?;
    let jvm = select(Path::new(PROC), &target.selection)?;
    if let Some(dir) = &args.path {
        // Before the JVM is touched.
        must_be_writable(&jvm, dir)?;
    }
    let vm = VirtualMachine::attach(&jvm, target.attach_timeout, &deadline)?;
    let name = file_name(&vm, &deadline)?;
    let path = match &args.path {
        Some(dir) => free(&jvm, dir, &name)?,
        None => by_own_flag(&vm, &name, &deadline)?,
    };
    if let Some(dir) = &args.path {
        set(&vm, "HeapDumpPath", dir, &deadline)?;
    }
    set(&vm, "HeapDumpOnOutOfMemoryError", "1", &deadline)?;
    Ok(printable(&format!("{} writes its heap to {path} on OutOfMemoryError", jvm.describe())).into_owned() + "\n")
}

/// The JVM takes what is no directory for the name of a file (JDK: `heapDumper.cpp`, `HeapDumper::dump_heap`).
fn by_own_flag(vm: &VirtualMachine<'_>, name: &str, deadline: &Deadline) -> Result<String, Error> {
    let jvm = vm.jvm();
    let untold = || DumpError::FlagUntold { pid: jvm.pid(), flag: "HeapDumpPath".to_owned() };
    let own = own_path(vm, deadline)?.ok_or_else(untold)?;
    if own.is_empty() {
        return free(jvm, ".", name);
    }
    if jvm.identity.io(|| open_dir(jvm, &own)).is_ok() {
        return free(jvm, &own, name);
    }
    let (dir, name) = own.rsplit_once('/').unwrap_or((".", &own));
    free(jvm, if dir.is_empty() { "/" } else { dir }, name)
}

/// What HotSpot calls the dump in a directory (JDK: as above). From 17 on it may compress it itself.
fn file_name(vm: &VirtualMachine<'_>, deadline: &Deadline) -> Result<String, Error> {
    let gz = if is_gzipped_by_own_flag(vm, deadline)? { ".gz" } else { "" };
    Ok(format!("java_pid{}.hprof{gz}", vm.jvm().ns_pid))
}

fn must_be_writable(jvm: &Jvm, dir: &str) -> Result<(), Error> {
    if dir != "." && !dir.starts_with('/') {
        return Err(UsageError::Dir(dir.to_owned()).into());
    }
    open_writable(jvm, dir).map(drop)
}

fn open_writable(jvm: &Jvm, dir: &str) -> Result<OwnedFd, Error> {
    let opened = jvm.identity.io(|| {
        let held = open_dir(jvm, dir)?;
        accessat(&held, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())?;
        Ok(held)
    });
    let what = "let the JVM write to";
    opened.map_err(|source| RoomError::Io { what, path: seen_from_here(jvm, dir), source }.into())
}

/// The path of a file that the JVM can make: it opens its dump with O_EXCL, and only then says that it cannot.
fn free(jvm: &Jvm, dir: &str, name: &str) -> Result<String, Error> {
    let held = open_writable(jvm, dir)?;
    let path = format!("{}/{name}", dir.trim_end_matches('/'));
    if memory::holds(&held) {
        log::warn!(
            "{path} is memory: the kernel may kill the application while it writes its heap there; name a directory on a \
             disk with --path"
        );
    }
    if jvm.identity.io(|| Ok(statat(&held, name, AtFlags::SYMLINK_NOFOLLOW)?)).is_err() {
        return Ok(path);
    }
    let (path, source) = (seen_from_here(jvm, &path), io::ErrorKind::AlreadyExists.into());
    Err(RoomError::Io { what: "let the JVM create its dump beside the old one, move away", path, source }.into())
}

/// A path that does not begin at the root begins at the JVM's current directory.
fn open_dir(jvm: &Jvm, dir: &str) -> io::Result<OwnedFd> {
    match dir {
        "/" => jvm.target.open_root(),
        _ if dir.starts_with('/') => jvm.target.open_dir(dir),
        _ => hold_dir_in(jvm.target.open_cwd()?, dir, Links::Follow),
    }
}

fn seen_from_here(jvm: &Jvm, path: &str) -> String {
    if path.starts_with('/') { jvm.target.seen_from_here(path) } else { format!("/proc/{}/cwd/{path}", jvm.pid()) }
}

fn set(vm: &VirtualMachine<'_>, flag: &str, value: &str, deadline: &Deadline) -> Result<(), Error> {
    let reply = vm.execute(&AttachOperation::setflag(flag, value), deadline)?;
    if reply.completion_status == 0 && reply.message.trim().is_empty() {
        return Ok(());
    }
    let words = reply.message.trim().to_owned();
    Err(DumpError::Flag { pid: vm.jvm().pid(), flag: flag.to_owned(), words }.into())
}
