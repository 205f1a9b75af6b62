//! What a container may still use of memory and processors, from the files of its cgroup
//! (kernel: Documentation/admin-guide/cgroup-v2.rst, "Memory" and "CPU"; cgroup-v1/memory.rst;
//! scheduler/sched-bwc.rst).

use crate::attach::Identity;
use crate::condition::Reading;
use crate::target::Target;

/// Directory, limit, usage and the name in `memory.stat` of what is given back at need.
const VERSIONS: [(&str, &str, &str, &str); 2] = [
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
];

/// Free bytes of the target's container; `None` without a limit, or where it cannot be seen.
pub fn free_memory(target: &Target, identity: Identity) -> Option<u64> {
    match memory(target, identity) {
        Reading::Of(used, limit) => Some(limit.saturating_sub(used)),
        _ => None,
    }
}

/// Used bytes of the target's container and their limit.
pub fn memory(target: &Target, identity: Identity) -> Reading {
    let seen = VERSIONS.iter().find_map(|(dir, limit, usage, reclaimable)| {
        let read = |name: &str| read(target, identity, dir, name);
        used(&read(limit)?, &read(usage)?, &read("memory.stat").unwrap_or_default(), reclaimable)
    });
    seen.unwrap_or_default()
}

/// Processors that the target's container may use at a time; `None` without a quota, or where it cannot be seen.
pub fn processors(target: &Target, identity: Identity) -> Option<f64> {
    let second = read(target, identity, "sys/fs/cgroup", "cpu.max").and_then(|text| quota(&text));
    second.or_else(|| {
        let read = |name| read(target, identity, "sys/fs/cgroup/cpu", name);
        quota(&format!("{} {}", read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?))
    })
}

fn read(target: &Target, identity: Identity, dir: &str, name: &str) -> Option<String> {
    let path = format!("/{dir}/{name}");
    let bytes = target.read_inside(&path).or_else(|_| identity.io(|| target.read_inside(&path))).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Of "quota period"; `max` is the second version's word for no quota, -1 the first one's.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// `max` is the second version's word for no limit; the first has a number larger than any memory.
fn used(limit: &str, usage: &str, stat: &str, reclaimable: &str) -> Option<Reading> {
    let limit: u64 = if limit.trim() == "max" { u64::MAX } else { limit.trim().parse().ok()? };
    if limit >= 1 << 60 {
        return Some(Reading::NoLimit);
    }
    let usage: u64 = usage.trim().parse().ok()?;
    let cache = stat.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == reclaimable);
    let cache: u64 = cache.and_then(|(_, bytes)| bytes.trim().parse().ok()).unwrap_or(0);
    Some(Reading::Of(usage.saturating_sub(cache), limit))
}

#[cfg(test)]
mod tests {
    use super::{Reading, quota, used};

    #[test]
    fn a_quota_is_a_number_of_processors_and_none_is_unknown() {
        assert_eq!(quota("50000 100000\n"), Some(0.5));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(quota("-1 100000\n"), None);
        assert_eq!(quota("1"), None);
    }

    #[test]
    fn page_cache_counts_as_free_and_no_limit_is_not_unknown() {
        let stat = "anon 1\ninactive_file 200\n";
        assert_eq!(used("1000\n", "700\n", stat, "inactive_file"), Some(Reading::Of(500, 1000)));
        assert_eq!(used("max\n", "700\n", "", "inactive_file"), Some(Reading::NoLimit));
        assert_eq!(used("9223372036854771712\n", "700\n", "", "x"), Some(Reading::NoLimit));
        assert_eq!(used("much\n", "700\n", "", "x"), None);
    }
}
