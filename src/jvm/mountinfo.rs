//! Parses `/proc/PID/mountinfo` (proc_pid_mountinfo(5)): the mount of a directory, and how long its files live. No I/O.

/// File systems that container engines mount as a root. Elsewhere the root is a directory of a larger file system.
const LAYERED: &[&str] = &["overlay", "aufs", "fuse.fuse-overlayfs", "9p", "virtiofs", "zfs"];

/// The lifetime of files on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Files in the container's own layer are lost when the container restarts.
    Container,
    /// Files in an emptyDir or in memory are lost with the pod.
    Pod,
    /// Files on a volume that the pod does not own outlive the pod, as do those outside of any container.
    OutlivesPod,
}

impl std::fmt::Display for Lifetime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Container => "it is lost when the container restarts",
            Self::Pod => "it survives a restart of the container, but is lost with the pod",
            Self::OutlivesPod => "it outlives the pod",
        })
    }
}

/// The mount that holds a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub mount_point: String,
    /// The path inside the file system that is mounted there.
    root: String,
    pub fs_type: String,
    /// True if the root of the process is that of a container.
    in_container: bool,
}

impl Mount {
    /// Returns the mount of `path`: the last one of those with the longest mount point above it.
    pub fn of(path: &str, mountinfo: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(mountinfo);
        let above = |path: &str| {
            let mounts = text.lines().filter_map(Self::parse).filter(|mount| mount.is_above(path));
            mounts.max_by_key(|mount| mount.mount_point.len())
        };
        let in_container = above("/").is_some_and(|root| root.lifetime() == Lifetime::Container);
        above(path).map(|mount| Self { in_container, ..mount })
    }

    /// Parses id, parent, device, root, mount point, options, optional fields, `-`, type, source, super options.
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let root = unescape(left.next()?);
        let mount_point = unescape(left.next()?);
        // Skips the options.
        left.next()?;
        let fs_type = right.split(' ').next()?.to_owned();
        Some(Self { mount_point, root, fs_type, in_container: false })
    }

    fn is_above(&self, path: &str) -> bool {
        let point = self.mount_point.trim_end_matches('/');
        path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns whether files on the mount are memory.
    pub fn is_memory(&self) -> bool {
        matches!(self.fs_type.as_str(), "tmpfs" | "ramfs")
    }

    /// Returns whether the mount is the node's own disk, which the kubelet watches: the container's layer, or an
    /// emptyDir.
    pub fn is_node_disk(&self) -> bool {
        !self.is_memory() && self.lifetime() != Lifetime::OutlivesPod
    }

    /// Returns whether bytes on the mount count against the disk limit of the container. Its layer and its emptyDirs
    /// do. Other volumes and memory do not. Outside of a container, the limit counts for every mount.
    pub fn counts_for_container(&self) -> bool {
        self.is_node_disk() || !self.in_container
    }

    /// Returns the lifetime of files on the mount. The kubelet mounts volumes from a directory with the kind of the
    /// volume in its name (Kubernetes: `pkg/kubelet/kubelet_getters.go`, `getPodVolumesDir`; `pkg/volume/util`,
    /// `EscapeQualifiedName`).
    pub fn lifetime(&self) -> Lifetime {
        if self.mount_point == "/" && (LAYERED.contains(&&*self.fs_type) || self.root != "/") {
            Lifetime::Container
        } else if self.root.contains("kubernetes.io~empty-dir") || self.is_memory() {
            Lifetime::Pod
        } else {
            Lifetime::OutlivesPod
        }
    }
}

/// Decodes blank, tab, newline and backslash, which the kernel writes as three octal digits.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "\
1 0 0:1 / / rw,relatime - overlay overlay rw,lowerdir=x
2 1 8:1 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/dumps /dumps rw - ext4 /dev/sda1 rw
3 1 0:9 / /tmp rw,nosuid - tmpfs tmpfs rw,size=16384k
4 1 0:8 /pvc-1 /data\\040x ro - nfs4 server:/ rw
";

    fn mount(path: &str) -> Mount {
        Mount::of(path, POD.as_bytes()).unwrap()
    }

    #[test]
    fn lifetime_of_a_file_is_that_of_its_mount() {
        assert_eq!(mount("/var/tmp").lifetime(), Lifetime::Container);
        assert_eq!(mount("/dumps/a").lifetime(), Lifetime::Pod);
        assert_eq!(mount("/tmp").lifetime(), Lifetime::Pod);
        assert_eq!(mount("/data x/a").lifetime(), Lifetime::OutlivesPod);
    }

    #[test]
    fn a_mount_holds_only_what_lies_below_it() {
        assert_eq!(mount("/dumps2").mount_point, "/");
        assert!(mount("/tmp/x").is_memory());
        assert!(mount("/dumps").is_node_disk());
    }

    #[test]
    fn container_limit_counts_for_no_volume_but_any_host_mount() {
        let counts = |path: &str| mount(path).counts_for_container();
        assert!(counts("/var/tmp") && counts("/dumps"));
        assert!(!counts("/data x") && !counts("/tmp"));
        let machine = "1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 8:2 / /data rw - xfs /dev/vdb rw\n\
                       3 1 0:9 / /tmp rw - tmpfs tmpfs rw\n";
        let counts = |path: &str| Mount::of(path, machine.as_bytes()).unwrap().counts_for_container();
        assert!(counts("/var/tmp") && counts("/data/dumps") && counts("/tmp"));
    }
}
