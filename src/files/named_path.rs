//! Paths that a user named. Each name on the way is opened by itself. A symbolic link counts only if root or this user
//! has made it: otherwise the application could choose where root writes and removes.
#![allow(clippy::disallowed_methods, reason = "it opens places only, and reads and writes nothing (O_PATH)")]

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, openat, readlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Most links on one path (Linux: `include/linux/namei.h`, MAXSYMLINKS).
const LINKS_MAX: usize = 40;

/// The file system of processes (statfs(2), PROC_SUPER_MAGIC).
const PROC: u64 = 0x9fa0;

const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// The last directory that a path leads to, and the names after it.
#[derive(Debug)]
pub struct Walk {
    pub dir: OwnedFd,
    /// The names that remain. The first one is missing, is no directory, or is a link of `/proc` to no directory.
    pub left: VecDeque<OsString>,
    links: usize,
}

/// Walks along `path`.
///
/// # Errors
/// When a link of another user is on the path, or this user may not enter a directory.
pub fn walk(path: &Path) -> io::Result<Walk> {
    walk_in(CWD, path)
}

/// Walks along `path` from the directory `at`.
///
/// # Errors
/// As [`walk`].
pub fn walk_in(at: impl AsFd, path: &Path) -> io::Result<Walk> {
    let start = if path.is_absolute() { "/" } else { "." };
    let dir = openat(at, start, PLACE | OFlags::DIRECTORY, Mode::empty())?;
    let mut walk = Walk { dir, left: names(path).collect(), links: 0 };
    while let Some(name) = walk.left.pop_front() {
        if !walk.enter(&name)? {
            walk.left.push_front(name);
            break;
        }
    }
    Ok(walk)
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().map(|part| part.as_os_str().to_owned())
}

impl Walk {
    /// Returns the directory at the end of the path.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn into_dir(self) -> io::Result<OwnedFd> {
        let Some(name) = self.left.front() else { return Ok(self.dir) };
        let why = openat(&self.dir, name, PLACE | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty());
        Err(why.err().unwrap_or(Errno::NOENT).into())
    }

    /// Enters `name`. Returns false if `name` is no directory.
    fn enter(&mut self, name: &OsStr) -> io::Result<bool> {
        let found = match openat(&self.dir, name, PLACE | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(false),
            other => other?,
        };
        match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Directory => self.dir = found,
            FileType::Symlink if is_of_proc(&found) => return self.enter_as_kernel(name),
            FileType::Symlink => self.follow(&found, name)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Enters a link of `/proc`, which only the kernel makes and follows, for example `/proc/PID/root`.
    fn enter_as_kernel(&mut self, name: &OsStr) -> io::Result<bool> {
        match openat(&self.dir, name, PLACE | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOTDIR) => Ok(false),
            other => {
                self.dir = other?;
                Ok(true)
            }
        }
    }

    /// Puts the names of the link's target before the names that remain.
    fn follow(&mut self, link: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let uid = fstat(link)?.st_uid;
        if ![0, geteuid().as_raw()].contains(&uid) {
            let name = name.display();
            let why = format!("'{name}' is a symbolic link of another user, uid {uid}; name what it leads to");
            return Err(io::Error::other(why));
        }
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        // Reads the link that was checked, even if its name belongs to another file by now (readlink(2), since Linux
        // 2.6.39).
        let target = OsString::from_vec(readlinkat(link, "", Vec::new())?.into_bytes());
        names(Path::new(&target)).rev().for_each(|name| self.left.push_front(name));
        Ok(())
    }
}

/// Returns whether the file lies in `/proc`.
pub fn is_of_proc(fd: impl AsFd) -> bool {
    fstatfs(fd).is_ok_and(|fs| fs.f_type as u64 == PROC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{lchown, symlink};

    /// Returns the inode number of the last directory, and the names that remain.
    fn end(path: &Path) -> io::Result<(u64, Vec<String>)> {
        let walk = walk(path)?;
        let left = walk.left.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        Ok((fstat(&walk.dir)?.st_ino, left))
    }

    #[test]
    fn own_links_are_followed_and_missing_names_are_left() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/file"), "text").unwrap();
        symlink("b/../b/.", dir.path().join("a/link")).unwrap();
        symlink(dir.path().join("a/link"), dir.path().join("far")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        let number = |path: &str| std::os::unix::fs::MetadataExt::ino(&dir.path().join(path).metadata().unwrap());
        for (path, ends, left) in [
            ("far", "a/b", vec![]),
            ("a/b/../link", "a/b", vec![]),
            ("far/c/d", "a/b", vec!["c", "d"]),
            ("a/file", "a", vec!["file"]),
        ] {
            let left = left.into_iter().map(str::to_owned).collect();
            assert_eq!(end(&dir.path().join(path)).unwrap(), (number(ends), left), "{path}");
        }
        assert_eq!(end(&dir.path().join("loop")).unwrap_err().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        assert_eq!(end(Path::new("/proc/self/root/proc/self/root")).unwrap(), end(Path::new("/")).unwrap());
        assert_eq!(end(Path::new("")).unwrap(), end(Path::new(".")).unwrap());
        let denied = |path: &str| walk(&dir.path().join(path)).unwrap().into_dir().unwrap_err().kind();
        assert_eq!(denied("a/file"), io::ErrorKind::NotADirectory);
        assert_eq!(denied("a/none/b"), io::ErrorKind::NotFound);
    }

    #[test]
    fn link_of_another_user_is_refused_anywhere_on_the_path() {
        if !geteuid().is_root() {
            return eprintln!("SKIP link_of_another_user_is_refused: not root; run the tests as root");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("theirs")).unwrap();
        lchown(dir.path().join("theirs"), Some(1000), Some(1000)).unwrap();
        symlink("theirs", dir.path().join("ours")).unwrap();
        for path in ["theirs", "theirs/file", "ours", "a/../theirs/file"] {
            let error = end(&dir.path().join(path)).unwrap_err().to_string();
            assert!(error.contains("link of another user, uid 1000"), "{path}: {error}");
        }
    }
}
