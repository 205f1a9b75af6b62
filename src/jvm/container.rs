//! The figures of a container as its cgroup files have them, for people (kernel: Documentation/admin-guide/cgroup-v2.rst;
//! cgroup-v1/memory.rst, pids.rst; scheduler/sched-bwc.rst). Only numbers are in these files.

use super::cgroup::{files_of, group_of, levels};
use super::target::Target;
use crate::base::identity::Identity;

/// Controllers of version 1 with their files, each in a mount of its own.
const FIRST: [(&str, &[&str]); 3] = [
    (
        "memory",
        &[
            "memory.usage_in_bytes",
            "memory.limit_in_bytes",
            "memory.max_usage_in_bytes",
            "memory.failcnt",
            "memory.memsw.usage_in_bytes",
            "memory.memsw.limit_in_bytes",
            "memory.kmem.usage_in_bytes",
            "memory.oom_control",
            "memory.stat",
        ],
    ),
    ("pids", &["pids.current", "pids.max"]),
    ("cpu", &["cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.stat"]),
];

/// Files of version 2, in one directory.
const SECOND: &[&str] = &[
    "memory.current",
    "memory.max",
    "memory.high",
    "memory.peak",
    "memory.swap.current",
    "memory.swap.max",
    "memory.events",
    "memory.pressure",
    "memory.stat",
    "pids.current",
    "pids.max",
    "cpu.max",
    "cpu.stat",
];

/// Returns the names and texts of the files that the kernel shows for the target's group.
pub fn figures(target: &Target, identity: Identity) -> Vec<(String, String)> {
    let read = files_of(target, identity);
    let groups = read("cgroup").unwrap_or_default();
    let of = |controller: &str, mount: &str, files: &[&str]| {
        let group = group_of(&groups, controller).unwrap_or_default();
        let read = |dir: &str| {
            let texts = files.iter().filter_map(|file| Some(((*file).to_owned(), read(&format!("{dir}/{file}"))?)));
            texts.collect::<Vec<_>>()
        };
        let dirs = levels(&group).map(|level| read(&format!("root/sys/fs/cgroup{mount}{level}")));
        dirs.into_iter().find(|texts| !texts.is_empty()).unwrap_or_default()
    };
    let second = of("", "", SECOND);
    if !second.is_empty() {
        return second;
    }
    FIRST.iter().flat_map(|(controller, files)| of(controller, &format!("/{controller}"), files)).collect()
}
