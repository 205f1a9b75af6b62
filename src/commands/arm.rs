//! `arm`: the JVM's own dump on OutOfMemoryError, switched on while it runs.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, accessat, statat};

use super::{Answer, Outcome, start_clock};
use crate::attach::{AttachOperation, VirtualMachine};
use crate::cli::ArmArgs;
use crate::deadline::Deadline;
use crate::discovery::{Jvm, PROC, select};
use crate::error::Error;
use crate::heap_dump::RoomError;
use crate::settings::{TargetSettings, UsageError};

/// The attach has a limit of its own; two flags are set at once.
const LIMIT: Duration = Duration::from_secs(120);

pub fn run(args: &ArmArgs, watch_signals: &mut dyn FnMut(&Deadline)) -> Outcome {
    match arm(args, watch_signals) {
        Ok(text) => Outcome { result: Ok(()), answer: Some(Answer { text, aside: false }) },
        Err(error) => Outcome::failed(error),
    }
}

fn arm(args: &ArmArgs, watch_signals: &mut dyn FnMut(&Deadline)) -> Result<String, Error> {
    let target = TargetSettings::of_arm(args)?;
    let deadline = start_clock(LIMIT, watch_signals)?;
    let jvm = select(Path::new(PROC), &target.selection)?;
    let dir = args.path.as_deref().unwrap_or(".");
    nothing_is_in_the_way(&jvm, dir)?;
    let vm = VirtualMachine::attach(&jvm, target.attach_timeout, &deadline)?;
    if let Some(path) = &args.path {
        set(&vm, "HeapDumpPath", path, &deadline)?;
    }
    set(&vm, "HeapDumpOnOutOfMemoryError", "1", &deadline)?;
    Ok(format!("{} writes its heap to {dir}/{} on OutOfMemoryError\n", jvm.describe(), file_name(&jvm)))
}

/// What HotSpot calls the dump in a directory (JDK: `heapDumper.cpp`, `HeapDumper::dump_heap`).
fn file_name(jvm: &Jvm) -> String {
    format!("java_pid{}.hprof", jvm.ns_pid)
}

/// The JVM opens its dump with O_EXCL, and only then says that it cannot.
fn nothing_is_in_the_way(jvm: &Jvm, dir: &str) -> Result<(), Error> {
    if dir != "." && !dir.starts_with('/') {
        return Err(UsageError::Dir(dir.to_owned()).into());
    }
    let name = file_name(jvm);
    let look = || {
        let held = if dir == "." { jvm.target.open_cwd() } else { jvm.target.open_dir(dir) }?;
        accessat(&held, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())?;
        Ok(statat(&held, &*name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
    };
    let path = jvm.target.seen_from_here(dir);
    match jvm.identity.io(look) {
        Ok(false) => Ok(()),
        Ok(true) => {
            let source = std::io::ErrorKind::AlreadyExists.into();
            Err(RoomError::Io {
                what: "let the JVM create its dump beside the old one, move away",
                path: format!("{path}/{name}"),
                source,
            }
            .into())
        }
        Err(source) => Err(RoomError::Io { what: "let the JVM write to", path, source }.into()),
    }
}

fn set(vm: &VirtualMachine<'_>, flag: &str, value: &str, deadline: &Deadline) -> Result<(), Error> {
    let reply = vm.execute(&AttachOperation::setflag(flag, value), deadline)?;
    if reply.completion_status == 0 && reply.message.trim().is_empty() {
        return Ok(());
    }
    let words = reply.message.trim().to_owned();
    Err(crate::heap_dump::DumpError::Flag { pid: vm.jvm().pid(), flag: flag.to_owned(), words }.into())
}
