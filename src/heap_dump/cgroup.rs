//! The memory that a container may still use, from the files of its cgroup
//! (kernel: Documentation/admin-guide/cgroup-v2.rst, "Memory"; cgroup-v1/memory.rst).

use std::io;

use crate::attach::Identity;
use crate::target::Target;

/// Directory, limit, usage and the name in `memory.stat` of what is given back at need.
const VERSIONS: [(&str, &str, &str, &str); 2] = [
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
];

/// Free bytes of the target's container; `None` without a limit, or where it cannot be seen.
pub fn free_memory(target: &Target, identity: Identity) -> Option<u64> {
    VERSIONS.iter().find_map(|(dir, limit, usage, reclaimable)| {
        let read = |name: &str| -> io::Result<String> {
            let path = format!("root/{dir}/{name}");
            let bytes = target.read(&path).or_else(|_| identity.io(|| target.read(&path)))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        free(&read(limit).ok()?, &read(usage).ok()?, &read("memory.stat").unwrap_or_default(), reclaimable)
    })
}

/// `max` is the second version's word for no limit; the first has a number larger than any memory.
fn free(limit: &str, usage: &str, stat: &str, reclaimable: &str) -> Option<u64> {
    let limit: u64 = limit.trim().parse().ok().filter(|limit| *limit < 1 << 60)?;
    let usage: u64 = usage.trim().parse().ok()?;
    let cache = stat.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == reclaimable);
    let cache: u64 = cache.and_then(|(_, bytes)| bytes.trim().parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(cache)))
}

#[cfg(test)]
mod tests {
    use super::free;

    #[test]
    fn page_cache_counts_as_free_and_no_limit_as_unknown() {
        assert_eq!(free("1000\n", "700\n", "anon 1\ninactive_file 200\n", "inactive_file"), Some(500));
        assert_eq!(free("max\n", "700\n", "", "inactive_file"), None);
        assert_eq!(free("9223372036854771712\n", "700\n", "", "x"), None);
    }
}
