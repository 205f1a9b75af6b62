//! Limits of a disk that cannot be seen from inside a container: of the container (`ephemeral-storage`), and of a
//! volume (an emptyDir's `sizeLimit`). The kubelet evicts a pod that exceeds one.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, statat};

use crate::files::regular_file::{Links, hold_dir_in, open_dir_in};
use crate::jvm::cgroup::own_file;
use crate::jvm::mountinfo::Mount;

/// Limits that the user has given, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskLimits {
    /// The limit for the bytes that the container writes to the node's disk.
    pub container: Option<u64>,
    /// Directories as the JVM sees them, and how many bytes each may hold, on any file system.
    pub dirs: Vec<(String, u64)>,
}

impl DiskLimits {
    pub fn is_told_for(&self, path: &str) -> bool {
        self.container.is_some() || self.of_dir(path).is_some()
    }

    /// Returns the innermost directory with a limit that holds `path`.
    pub fn of_dir(&self, path: &str) -> Option<(&str, u64)> {
        let above = self.dirs.iter().filter(|(dir, _)| Path::new(path).starts_with(dir));
        above.max_by_key(|(dir, _)| dir.trim_end_matches('/').len()).map(|(dir, limit)| (dir.as_str(), *limit))
    }
}

impl DiskLimits {
    /// Returns how many bytes may still be written below a directory that this process sees.
    pub fn left_at(&self, dir: &Path) -> u64 {
        let absolute = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let absolute = absolute.to_string_lossy();
        let container = self.container.filter(|_| counts_for_container(&absolute)).unwrap_or(u64::MAX);
        let Some((volume, limit)) = self.of_dir(&absolute) else { return container };
        let held = hold_dir_in(CWD, volume, Links::Follow);
        container.min(limit.saturating_sub(held.map_or(0, |held| occupied(&held))))
    }
}

/// Returns whether the container's limit counts for a path that this process sees.
fn counts_for_container(path: &str) -> bool {
    let mount = own_file("mountinfo").and_then(|text| Mount::of(path, text.as_bytes()));
    mount.as_ref().is_none_or(Mount::counts_for_container)
}

/// Most files that are counted.
const ENTRIES_MAX: usize = 20_000;

/// Levels of directories that are searched.
const LEVELS: usize = 8;

/// Returns the bytes that the files below a directory occupy. Files that cannot be examined count as nothing.
pub fn occupied(dir: &OwnedFd) -> u64 {
    let mut entries = ENTRIES_MAX;
    occupied_in(dir, LEVELS, &mut entries).unwrap_or(0)
}

fn occupied_in(dir: impl AsFd, levels: usize, entries: &mut usize) -> io::Result<u64> {
    let dir = open_dir_in(dir, ".", Links::Refuse)?;
    let mut bytes = 0;
    for entry in Dir::read_from(&dir)?.filter_map(Result::ok) {
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let Some(left) = entries.checked_sub(1) else { break };
        *entries = left;
        let Ok(stat) = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        // A block has 512 bytes on any file system (stat(2)).
        bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        if levels > 0 && FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let inner = hold_dir_in(&dir, OsStr::from_bytes(name.to_bytes()), Links::Refuse);
            bytes += inner.map_or(0, |inner| occupied_in(inner, levels - 1, entries).unwrap_or(0));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn innermost_directory_with_a_limit_counts() {
        let dirs = [("/", 9), ("/dumps", 5), ("/dumps/old/", 1)].map(|(dir, limit)| (dir.to_owned(), limit));
        let limits = DiskLimits { container: None, dirs: dirs.into() };
        assert_eq!(limits.of_dir("/dumps/a"), Some(("/dumps", 5)));
        assert_eq!(limits.of_dir("/dumps/old/a"), Some(("/dumps/old/", 1)));
        assert_eq!(limits.of_dir("/dumps2"), Some(("/", 9)));
        assert_eq!(DiskLimits::default().of_dir("/dumps"), None);
    }

    #[test]
    fn files_below_a_directory_count_but_links_do_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("inner")).unwrap();
        std::fs::write(dir.path().join("inner/file"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        let held = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let bytes = occupied(&held);
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
    }
}
