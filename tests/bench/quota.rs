//! A cgroup with a CPU quota (kernel: Documentation/scheduler/sched-bwc.rst; admin-guide/cgroup-v2.rst, "CPU"). What runs
//! in it is in a mount namespace where this group is all that can be seen, as in a container: JVM and tool read the
//! quota there.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

/// Microseconds in which the quota is used up; that of Kubernetes.
const PERIOD: f64 = 100_000.0;

pub struct Quota {
    pub cpus: f64,
    group: PathBuf,
    /// The mount of the CPU controller, where a container sees its own group.
    mount: &'static str,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    First,
    Second,
}

const FIRST: &str = "/sys/fs/cgroup/cpu";
const SECOND: &str = "/sys/fs/cgroup";

/// Enters the group, and sees it at the mount of all groups. Arguments: group, mount, program and its arguments.
const IN_A_NEW_VIEW: &str = r#"
echo $$ >"$1/cgroup.procs" &&
exec unshare --mount --propagation private sh -c 'mount --bind "$1" "$2" && shift 2 && exec "$@"' sh "$@"
"#;

/// Enters the group, and sees what a process there sees. Arguments: group, process, program and its arguments.
const BESIDE: &str = r#"
echo $$ >"$1/cgroup.procs" && jvm=$2 && shift 2 && exec nsenter --mount="/proc/$jvm/ns/mnt" -- "$@"
"#;

impl Quota {
    pub fn new(cpus: f64) -> Result<Quota, String> {
        let is_first = Path::new(FIRST).join("cgroup.procs").exists();
        let (version, mount) = if is_first { (Version::First, FIRST) } else { (Version::Second, SECOND) };
        let group = Path::new(mount).join(format!("jmap-bench-{}", process::id()));
        let quota = Quota { cpus, group, mount, version };
        let set = || {
            if version == Version::Second {
                fs::write(Path::new(SECOND).join("cgroup.subtree_control"), "+cpu")?;
            }
            fs::create_dir(&quota.group)?;
            quota.files().into_iter().try_for_each(|(name, text)| fs::write(quota.group.join(name), text))
        };
        set().map_err(|e: std::io::Error| format!("no CPU quota in {}: {e}", quota.group.display()))?;
        Ok(quota)
    }

    fn files(&self) -> Vec<(&'static str, String)> {
        let quota = (self.cpus * PERIOD) as u64;
        match self.version {
            Version::First => vec![("cpu.cfs_period_us", PERIOD.to_string()), ("cpu.cfs_quota_us", quota.to_string())],
            Version::Second => vec![("cpu.max", format!("{quota} {PERIOD}"))],
        }
    }

    /// What is put in front of the JVM's program.
    pub fn of_jvm(&self) -> Vec<OsString> {
        let words: [OsString; 6] = [
            "/bin/sh".into(),
            "-c".into(),
            IN_A_NEW_VIEW.into(),
            "sh".into(),
            self.group.clone().into(),
            self.mount.into(),
        ];
        words.into()
    }

    /// What is put in front of a program that runs beside the JVM.
    pub fn beside(&self, jvm: u32) -> Vec<OsString> {
        let group = self.group.clone().into();
        let words: [OsString; 6] =
            ["/bin/sh".into(), "-c".into(), BESIDE.into(), "sh".into(), group, jvm.to_string().into()];
        words.into()
    }

    /// Checks that the quota can be read where a container has it.
    pub fn check_seen_by(&self, jvm: u32) {
        for (name, text) in self.files() {
            let file = format!("/proc/{jvm}/root{}/{name}", self.mount);
            let seen = fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(seen.trim(), text, "{file}");
        }
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.group);
    }
}
