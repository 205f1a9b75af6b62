//! A process whose mappings are closed to us: it is not dumpable (prctl(2), PR_SET_DUMPABLE), as after it has changed
//! its user (jsvc), or it has capabilities that we have not (ptrace(2), "Ptrace access mode checking"). Its root,
//! current directory, program and environment are closed as well. What is left are its name, its command line, the
//! names of its threads, and hsperfdata where it sees the same file system as we do.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Dir;

use super::command_line::CommandLine;
use super::hsperfdata::PerfData;
use super::proc_status::ProcStatus;
use super::target::{INSIDE_MAX, Target};
use super::temp_dir::{Start, TMP};
use crate::base::identity::Identity;
use crate::files::regular_file::{Access, Links, hold_dir_in, open_dir_in, open_in, read_bounded};

/// Every HotSpot has this thread (JDK: `vmThread.cpp`), and no other JVM.
const VM_THREAD: &str = "VM Thread";

/// So many users may have a JVM here.
const USERS_MAX: usize = 1000;

/// A clock may have been set since the process began.
const CLOCK_SLACK: Duration = Duration::from_secs(10);

/// hsperfdata that was found by its name.
pub struct Found {
    pub data: PerfData,
    pub temp_dir: String,
}

/// Whether it is a HotSpot JVM as far as names tell: of the process, of a word of its command line, of its threads.
pub fn is_named_like_a_jvm(target: &Target, status: &ProcStatus, line: &CommandLine) -> bool {
    status.name == "java" || line.names_libjvm() || has_vm_thread(target)
}

fn has_vm_thread(target: &Target) -> bool {
    target.thread_names().iter().any(|name| name == VM_THREAD)
}

/// Looks for hsperfdata of the process where it would keep it: the directory is listed, for the user's name in the
/// file's path may be any.
pub fn perf_data(start: &Start<'_>, target: &Target, identity: Identity, ns_pid: i32) -> Option<Found> {
    let dirs = start.line.alt_temp_dir().into_iter().chain([TMP]);
    dirs.into_iter().find_map(|temp_dir: &str| {
        let look = || in_dir(target, identity, temp_dir, ns_pid);
        let found = identity.io(look).or_else(|_| look());
        let data = found.inspect_err(|error| log::debug!("pid {}: no hsperfdata in {temp_dir}: {error}", target.pid()));
        Some(Found { data: data.ok()??, temp_dir: temp_dir.to_owned() })
    })
}

fn in_dir(target: &Target, identity: Identity, temp_dir: &str, ns_pid: i32) -> io::Result<Option<PerfData>> {
    let dir = target.open_dir(temp_dir)?;
    let names = Dir::read_from(open_dir_in(&dir, ".", Links::Refuse)?)?.filter_map(Result::ok);
    let names = names.filter(|entry| entry.file_name().to_bytes().starts_with(b"hsperfdata_"));
    let read = |user: &CStr| {
        let user_dir = hold_dir_in(&dir, OsStr::from_bytes(user.to_bytes()), Links::Refuse)?;
        let file = open_in(&user_dir, ns_pid.to_string(), Access::Read)?;
        let owner = file.metadata()?.uid();
        // It may have been root when it made the file.
        if owner != identity.uid && owner != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        read_bounded(file, INSIDE_MAX)
    };
    let all = names.take(USERS_MAX).filter_map(|entry| read(entry.file_name()).ok());
    let mut parsed = all.filter_map(|bytes| PerfData::parse(&bytes).ok());
    Ok(parsed.find(|data| is_of_this_life(data, target)))
}

/// A file that an earlier process of the same number has left tells of a VM that began before this process.
fn is_of_this_life(data: &PerfData, target: &Target) -> bool {
    let begun = data.long("sun.rt.createVmBeginTime").and_then(|millis| u64::try_from(millis).ok());
    let (Some(begun), Some(age)) = (begun, target.age()) else { return false };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(begun) + CLOCK_SLACK >= now.saturating_sub(age)
}
