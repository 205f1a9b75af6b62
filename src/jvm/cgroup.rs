//! Memory and processors that a container may still use, by the files of its cgroup (kernel:
//! Documentation/admin-guide/cgroup-v2.rst, "Memory" and "CPU"; cgroup-v1/memory.rst; scheduler/sched-bwc.rst).

use super::condition::Reading;
use super::target::Target;
use crate::base::identity::Identity;
use crate::files::regular_file::{TEXT_MAX, read_named};

/// The memory files of a version of cgroups.
struct Version {
    /// The directory of its mount, below the process's root.
    dir: &'static str,
    /// Files with a limit. At the first one the kernel kills. At `memory.high` (v2) it throttles the processes and frees
    /// memory. The pages of a tmpfs cannot be freed, so nothing would go on.
    limits: &'static [&'static str],
    usage: &'static str,
    /// The fields of `memory.stat` with the pages of files that were read once, and often.
    reclaimable: &'static str,
    active: &'static str,
    /// The field of `memory.stat` with the lowest limit of all groups above.
    limit_above: Option<&'static str>,
}

const VERSIONS: [Version; 2] = [
    Version {
        dir: "sys/fs/cgroup",
        limits: &["memory.max", "memory.high"],
        usage: "memory.current",
        reclaimable: "inactive_file",
        active: "active_file",
        limit_above: None,
    },
    Version {
        dir: "sys/fs/cgroup/memory",
        limits: &["memory.limit_in_bytes"],
        usage: "memory.usage_in_bytes",
        reclaimable: "total_inactive_file",
        active: "total_active_file",
        limit_above: Some("hierarchical_memory_limit"),
    },
];

/// Reads the text of a file below a `/proc/PID`; `None` if it cannot be read.
pub type ReadFile<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Returns the used bytes of a process's group and their limit. Of several groups, one above the other, the fullest
/// counts.
pub fn memory(read: &ReadFile<'_>) -> Reading {
    let seen = VERSIONS.iter().find_map(|version| {
        of_levels(read, "memory", version.dir).filter_map(|read| version.used(&read)).reduce(Reading::fuller)
    });
    seen.unwrap_or_default()
}

/// Returns the bytes that a process may still take before the kernel kills in its group, or in a visible group above
/// it. Swap does not count. `None` without a visible limit: version 2 hides the groups above a container.
pub fn free_memory(read: &ReadFile<'_>) -> Option<u64> {
    VERSIONS
        .iter()
        .find_map(|version| of_levels(read, "memory", version.dir).filter_map(|read| version.free(&read)).min())
}

/// Returns a reader of the files of a process's group, and of each group above it. `dir` is the directory of the
/// controller's mount.
fn of_levels<'a>(
    read: &'a ReadFile<'_>,
    controller: &str,
    dir: &'static str,
) -> impl Iterator<Item = impl Fn(&str) -> Option<String> + 'a> {
    let group = read("cgroup").and_then(|text| group_of(&text, controller)).unwrap_or_default();
    let dirs: Vec<_> = levels(&group).map(|level| format!("root/{dir}{level}")).collect();
    dirs.into_iter().map(move |dir| move |name: &str| read(&format!("{dir}/{name}")))
}

/// Returns whether the memory of both processes is charged to the same group, by their `/proc/PID/cgroup` as this
/// process sees it.
pub fn is_same_group(ours: &ReadFile<'_>, theirs: &ReadFile<'_>) -> bool {
    let group = |read: &ReadFile<'_>| read("cgroup").and_then(|text| memory_group(&text));
    // If the group is unknown, one limit is assumed for both processes.
    group(ours) == group(theirs)
}

/// Returns a reader of the target's files. The reader takes the target's identity if our own rights are not enough.
pub fn files_of(target: &Target, identity: Identity) -> impl Fn(&str) -> Option<String> {
    move |path| {
        let read = || match path.strip_prefix("root/") {
            Some(inside) => target.read_inside(inside),
            None => target.read(path),
        };
        let bytes = read().or_else(|_| identity.io(read)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Reads a file below `/proc/self`.
pub fn own_file(path: &str) -> Option<String> {
    let bytes = read_named(format!("/proc/self/{path}"), TEXT_MAX).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

impl Version {
    /// Returns the bytes of files that the kernel frees before it kills. Files of a tmpfs are not in these two fields.
    fn page_cache(&self, stat: &str) -> u64 {
        let [read_once, read_often] = [self.reclaimable, self.active].map(|name| number_in(stat, name).unwrap_or(0));
        read_once.saturating_add(read_often)
    }

    /// Returns used bytes and limit of one group. Without a limit, version 2 says `max`.
    fn used(&self, read: &ReadFile<'_>) -> Option<Reading> {
        let limit = read(self.limits[0])?;
        let limit: u64 = if limit.trim() == "max" { u64::MAX } else { limit.trim().parse().ok()? };
        if limit >= NO_LIMIT {
            return Some(Reading::NoLimit);
        }
        Some(Reading::Of(self.usage(read, &read("memory.stat").unwrap_or_default())?, limit))
    }

    /// Returns used bytes of one group, without the page cache.
    fn usage(&self, read: &ReadFile<'_>, stat: &str) -> Option<u64> {
        let usage: u64 = read(self.usage)?.trim().parse().ok()?;
        Some(usage.saturating_sub(self.page_cache(stat)))
    }

    /// Returns the free bytes of one group; `None` without a limit or without the files of the group.
    fn free(&self, read: &ReadFile<'_>) -> Option<u64> {
        let stat = read("memory.stat").unwrap_or_default();
        let above = self.limit_above.and_then(|name| number_in(&stat, name));
        let limits = self.limits.iter().filter_map(|name| read(name)?.trim().parse().ok());
        let limit = limits.chain(above).min().filter(|limit| *limit < NO_LIMIT)?;
        Some(limit.saturating_sub(self.usage(read, &stat)?))
    }
}

/// Returns the group that is charged for memory.
fn memory_group(text: &str) -> Option<String> {
    group_of(text, "memory")
}

/// Returns the group of a controller, from a `/proc/PID/cgroup` (cgroups(7)). The line of version 1's controller counts
/// before that of version 2.
pub(super) fn group_of(text: &str, controller: &str) -> Option<String> {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let first = lines().find(|(controllers, _)| controllers.split(',').any(|name| name == controller));
    let second = || lines().find(|(controllers, _)| controllers.is_empty());
    first.or_else(second).map(|(_, path)| path.to_owned())
}

/// Returns the paths of a group and of all groups above it. A container sees only its own group, at the last path. A
/// path with `..` leads out of the namespace, so only the root is returned for it.
pub(super) fn levels(group: &str) -> impl Iterator<Item = &str> {
    let seen = if group.split('/').any(|name| name == "..") { "" } else { group.trim_end_matches('/') };
    std::iter::successors(Some(seen), |level| level.rfind('/').map(|end| &level[..end]))
}

fn number_in(stat: &str, name: &str) -> Option<u64> {
    let mut pairs = stat.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(other, _)| *other == name).and_then(|(_, number)| number.trim().parse().ok())
}

/// Returns the processors that a process's group, and each visible group above it, may use at a time; `None` without a
/// visible quota.
pub fn processors(read: &ReadFile<'_>) -> Option<f64> {
    let second = of_levels(read, "cpu", "sys/fs/cgroup").filter_map(|read| quota(&read("cpu.max")?));
    let first = of_levels(read, "cpu", "sys/fs/cgroup/cpu")
        .filter_map(|read| quota(&format!("{} {}", read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?)));
    second.chain(first).reduce(f64::min)
}

/// Parses "quota period". Without a quota, version 2 says `max` and version 1 says -1.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Values from here on mean no limit: version 1 reports a number larger than any memory.
const NO_LIMIT: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// A service in a slice that is fuller than the service itself.
    const SLICE: [(&str, &str); 5] = [
        ("cgroup", "0::/shop.slice/cart.service\n"),
        ("root/sys/fs/cgroup/shop.slice/memory.max", "1000"),
        ("root/sys/fs/cgroup/shop.slice/memory.current", "900"),
        ("root/sys/fs/cgroup/shop.slice/cart.service/memory.max", "800"),
        ("root/sys/fs/cgroup/shop.slice/cart.service/memory.current", "100"),
    ];

    /// Returns a reader of a `/proc/PID` with these files.
    fn reader(files: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
    }

    fn free(files: &[(&str, &str)]) -> Option<u64> {
        free_memory(&reader(files))
    }

    #[test]
    fn second_version_counts_max_and_high_and_no_swap() {
        let container = |max, high| {
            free(&[
                ("cgroup", "0::/\n"),
                ("root/sys/fs/cgroup/memory.max", max),
                ("root/sys/fs/cgroup/memory.high", high),
                ("root/sys/fs/cgroup/memory.current", "700\n"),
                ("root/sys/fs/cgroup/memory.swap.max", "max\n"),
                ("root/sys/fs/cgroup/memory.stat", "anon 1\ninactive_anon 300\ninactive_file 200\nshmem 300\n"),
            ])
        };
        assert_eq!(container("1000\n", "max\n"), Some(500));
        assert_eq!(container("1000\n", "800\n"), Some(300));
        assert_eq!(container("max\n", "600\n"), Some(100));
        assert_eq!(container("max\n", "400\n"), Some(0));
        // A limit of the pod or of a slice. The container's own group does not show it.
        assert_eq!(container("max\n", "max\n"), None);
    }

    #[test]
    fn group_with_least_left_of_all_above_counts() {
        assert_eq!(free(&SLICE), Some(100));
        assert_eq!(free(&SLICE[3..]), None, "a group is found by its path only");
    }

    #[test]
    fn first_version_tells_the_lowest_limit_above() {
        let files = [
            ("cgroup", "5:devices:/x\n4:cpu,memory:/kubepods/pod/app\n0::/\n"),
            ("root/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("root/sys/fs/cgroup/memory/memory.usage_in_bytes", "700\n"),
            (
                "root/sys/fs/cgroup/memory/memory.stat",
                "cache 1\ntotal_inactive_file 50\nhierarchical_memory_limit 800\n",
            ),
        ];
        assert_eq!(free(&files), Some(150));
        assert_eq!(free(&files[..3]), None);
    }

    #[test]
    fn group_of_another_container_is_another_group() {
        let group = |text: &'static str| move |_: &str| Some(text.to_owned());
        let ours = "9:name=systemd:/a\n4:memory:/pod/app\n0::/\n";
        assert!(is_same_group(&group(ours), &group("4:memory:/pod/app\n0::/x\n")));
        assert!(!is_same_group(&group(ours), &group("4:memory:/pod/sidecar\n0::/\n")));
        assert!(!is_same_group(&group("0::/\n"), &group("0::/../sidecar\n")));
        assert!(is_same_group(&|_| None, &|_| None));
        assert_eq!(levels("/../sidecar").collect::<Vec<_>>(), [""]);
        assert_eq!(levels("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", ""]);
    }

    #[test]
    fn a_quota_is_a_number_of_processors_and_none_is_unknown() {
        assert_eq!(quota("50000 100000\n"), Some(0.5));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(quota("-1 100000\n"), None);
        assert_eq!(quota("1"), None);
    }

    #[test]
    fn page_cache_counts_as_free_and_no_limit_is_not_unknown() {
        let container = |limit| {
            memory(&reader(&[
                ("root/sys/fs/cgroup/memory.max", limit),
                ("root/sys/fs/cgroup/memory.current", "700\n"),
                ("root/sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 200\nactive_file 100\nshmem 50\n"),
            ]))
        };
        assert_eq!(container("1000\n"), Reading::Of(400, 1000));
        assert_eq!(container("max\n"), Reading::NoLimit);
        assert_eq!(container("9223372036854771712\n"), Reading::NoLimit);
        assert_eq!(container("much\n"), Reading::Unknown);
    }

    #[test]
    fn fullest_group_of_all_above_tells_the_memory() {
        assert_eq!(memory(&reader(&SLICE)), Reading::Of(900, 1000));
        assert_eq!(memory(&reader(&[&SLICE[..1], &SLICE[3..]].concat())), Reading::Of(100, 800));
        let without_limit = [("root/sys/fs/cgroup/shop.slice/cart.service/memory.max", "max")];
        assert_eq!(memory(&reader(&[&SLICE[..3], &without_limit, &SLICE[4..]].concat())), Reading::Of(900, 1000));
    }

    #[test]
    fn smallest_quota_of_all_groups_above_counts() {
        let second = [
            ("cgroup", "0::/shop.slice/cart.service\n"),
            ("root/sys/fs/cgroup/shop.slice/cpu.max", "50000 100000\n"),
            ("root/sys/fs/cgroup/shop.slice/cart.service/cpu.max", "150000 100000\n"),
        ];
        assert_eq!(processors(&reader(&second)), Some(0.5));
        assert_eq!(processors(&reader(&[second[0], second[2]])), Some(1.5));
        let first = [
            ("cgroup", "5:cpu,cpuacct:/shop.slice\n4:memory:/other\n0::/x\n"),
            ("root/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("root/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("root/sys/fs/cgroup/cpu/shop.slice/cpu.cfs_quota_us", "200000\n"),
            ("root/sys/fs/cgroup/cpu/shop.slice/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(processors(&reader(&first)), Some(2.0));
        assert_eq!(processors(&reader(&first[..3])), None);
    }
}
