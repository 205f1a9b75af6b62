//! A process whose mappings are closed to us. It is not dumpable (prctl(2), PR_SET_DUMPABLE), for example after it
//! changed its user (jsvc). Or it has capabilities that we lack (ptrace(2), "Ptrace access mode checking").
//!
//! Its root, current directory, program and environment are closed as well. Still visible are its name, its command
//! line, and the names of its threads. hsperfdata is visible if both processes see the same file system.

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

/// Every HotSpot JVM has this thread (JDK: `vmThread.cpp`), and no other JVM has it.
const VM_THREAD: &str = "VM Thread";

/// Most users whose directories are searched.
const USERS_MAX: usize = 1000;

/// Tolerance for a clock that was set after the process started.
const CLOCK_SLACK: Duration = Duration::from_secs(10);

/// hsperfdata that was found by the name of its file.
pub struct Found {
    pub data: PerfData,
    /// The path of the file, as the JVM sees it.
    pub path: String,
    pub temp_dir: String,
}

/// Returns whether names suggest a HotSpot JVM: that of the process, of a word of its command line, or of a thread.
pub fn is_named_like_a_jvm(target: &Target, status: &ProcStatus, line: &CommandLine) -> bool {
    status.name == "java" || line.names_libjvm() || has_vm_thread(target)
}

fn has_vm_thread(target: &Target) -> bool {
    target.thread_names().iter().any(|name| name == VM_THREAD)
}

/// Searches the directories where the process would keep hsperfdata. Each directory is listed, because the file's path
/// contains a user name that may be any.
pub fn perf_data(start: &Start<'_>, target: &Target, identity: Identity, ns_pid: i32) -> Option<Found> {
    let dirs = start.line.alt_temp_dir().into_iter().chain([TMP]);
    dirs.into_iter().find_map(|temp_dir: &str| {
        let look = || in_dir(target, identity, temp_dir, ns_pid);
        let found = identity.io(look).or_else(|_| look());
        let data = found.inspect_err(|error| log::debug!("pid {}: no hsperfdata in {temp_dir}: {error}", target.pid()));
        let (user_dir, data) = data.ok()??;
        let path = format!("{}/{user_dir}/{ns_pid}", temp_dir.trim_end_matches('/'));
        Some(Found { data, path, temp_dir: temp_dir.to_owned() })
    })
}

/// Returns the name of the user's directory and the counters.
fn in_dir(target: &Target, identity: Identity, temp_dir: &str, ns_pid: i32) -> io::Result<Option<(String, PerfData)>> {
    let dir = target.open_dir(temp_dir)?;
    let names = Dir::read_from(open_dir_in(&dir, ".", Links::Refuse)?)?.filter_map(Result::ok);
    let names = names.filter(|entry| entry.file_name().to_bytes().starts_with(b"hsperfdata_"));
    let read = |user: &CStr| {
        let user_dir = hold_dir_in(&dir, OsStr::from_bytes(user.to_bytes()), Links::Refuse)?;
        let file = open_in(&user_dir, ns_pid.to_string(), Access::Read)?;
        let owner = file.metadata()?.uid();
        // The process may have been root when it created the file.
        if owner != identity.uid && owner != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        read_bounded(file, INSIDE_MAX)
    };
    let mut parsed = names.take(USERS_MAX).filter_map(|entry| {
        let data = PerfData::parse(&read(entry.file_name()).ok()?).ok()?;
        Some((entry.file_name().to_string_lossy().into_owned(), data))
    });
    Ok(parsed.find(|(_, data)| is_of_this_life(data, target)))
}

/// Returns whether hsperfdata belongs to this process. A file that an earlier process with the same pid has left has an
/// older start time.
fn is_of_this_life(data: &PerfData, target: &Target) -> bool {
    let begun = data.long("sun.rt.createVmBeginTime").and_then(|millis| u64::try_from(millis).ok());
    let (Some(begun), Some(age)) = (begun, target.age()) else { return false };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(begun) + CLOCK_SLACK >= now.saturating_sub(age)
}
