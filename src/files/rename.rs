//! A rename that never replaces another file.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, statat};
use rustix::io::Errno;

/// Both names are below `dir`. Where the file system cannot say it in one call (renameat2(2), EINVAL: NFS, for
/// example), the new name is looked for first: all names here have a run's own part.
///
/// # Errors
/// `AlreadyExists` when the new name is taken; or the file system's.
pub fn rename_new(dir: impl AsFd, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    rename_new_between(&dir, from, &dir, to)
}

/// The same for a name in one directory and a new one in another.
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
        Err(Errno::INVAL | Errno::NOSYS) => match statat(to_dir, to, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(renameat(from_dir, from, to_dir, to)?),
            Err(error) => Err(error.into()),
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        },
        other => Ok(other?),
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
}
