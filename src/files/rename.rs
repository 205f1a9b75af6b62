//! A rename that never replaces another file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

/// Renames `from` to `to`, both below `dir`, and never replaces a file. Some file systems, such as NFS, cannot do this
/// in one call (renameat2(2), EINVAL). There the file gets its new name by a hard link, which never replaces a file. A
/// directory has no hard links, so its new name is checked first.
///
/// # Errors
/// `AlreadyExists` when the new name is taken; or the file system's.
pub fn rename_new(dir: impl AsFd, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    rename_new_between(&dir, from, &dir, to)
}

/// Renames as [`rename_new`] does, from one directory into another.
///
/// # Errors
/// As [`rename_new`].
pub fn rename_new_between(
    from_dir: impl AsFd,
    from: impl AsRef<Path>,
    to_dir: impl AsFd,
    to: impl AsRef<Path>,
) -> io::Result<()> {
    let (from_dir, from, to_dir, to) = (from_dir.as_fd(), from.as_ref(), to_dir.as_fd(), to.as_ref());
    match renameat_with(from_dir, from, to_dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => rename_by_link(from_dir, from, to_dir, to),
        other => Ok(other?),
    }
}

fn rename_by_link(from_dir: BorrowedFd<'_>, from: &Path, to_dir: BorrowedFd<'_>, to: &Path) -> io::Result<()> {
    match linkat(from_dir, from, to_dir, to, AtFlags::empty()) {
        Ok(()) => return Ok(unlinkat(from_dir, from, AtFlags::empty())?),
        Err(Errno::EXIST) => return Err(io::ErrorKind::AlreadyExists.into()),
        // The file is a directory, or the file system has no hard links.
        Err(_) => {}
    }
    match statat(to_dir, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(renameat(from_dir, from, to_dir, to)?),
        Err(error) => Err(error.into()),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;

    #[test]
    fn another_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        std::fs::write(&from, "new").unwrap();
        std::fs::write(&to, "old").unwrap();
        assert_eq!(rename_new(CWD, &from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_file(&to).unwrap();
        rename_new(CWD, &from, &to).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"new");
    }

    #[test]
    fn file_system_without_a_safe_rename_replaces_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to, old, new] = ["from", "to", "old", "new"].map(|name| dir.path().join(name));
        let rename = |from: &Path, to: &Path| rename_by_link(CWD, from, CWD, to);
        std::fs::write(&from, "new").unwrap();
        std::fs::write(&to, "old").unwrap();
        assert_eq!(rename(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_file(&to).unwrap();
        rename(&from, &to).unwrap();
        assert!(std::fs::read(&to).unwrap() == b"new" && !from.exists());
        std::fs::create_dir(&old).unwrap();
        rename(&old, &new).unwrap();
        assert_eq!(rename(&new, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
