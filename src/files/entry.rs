//! Names in held directories that another user may write.
//!
//! The kernel has no unlink by descriptor. So files there are opened, renamed and removed with the rights of the user
//! who could do that himself. He wins nothing with a race.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, linkat, renameat, unlinkat};
use rustix::io::Errno;

pub use super::held_dir::{HeldDir, OTHERS_WRITE};
use super::named_path::{Walk, walk_in};
use super::regular_file::{Access, metadata_in, open_in, open_named_in};
use super::rename::rename_new_between;
use crate::base::identity::Identity;

/// A name in a held directory.
#[derive(Debug, Clone)]
pub struct Entry {
    dir: Arc<HeldDir>,
    name: OsString,
}

impl Entry {
    pub(super) fn new(dir: Arc<HeldDir>, name: OsString) -> Self {
        Self { dir, name }
    }

    /// Returns the entry at a path that a user named.
    ///
    /// # Errors
    /// When the directory is missing, or the path has no last name.
    pub fn named(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(HeldDir::named(path.parent().unwrap_or(Path::new("")))?.entry(name))
    }

    pub fn dir(&self) -> &Arc<HeldDir> {
        &self.dir
    }

    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Returns the path, for messages.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// Returns another name in the same directory.
    #[must_use]
    pub fn sibling(&self, name: impl Into<OsString>) -> Self {
        self.dir.entry(name)
    }

    /// Returns the name with `end` appended, in the same directory.
    #[must_use]
    pub fn with_end(&self, end: &str) -> Self {
        let mut name = self.name.clone();
        name.push(end);
        self.sibling(name)
    }

    /// Returns the metadata of the name itself. A link is not followed.
    ///
    /// # Errors
    /// When no file has this name.
    pub fn metadata(&self) -> io::Result<Metadata> {
        let look = || metadata_in(&self.dir, &self.name);
        match look() {
            // Root without CAP_DAC_READ_SEARCH may not look into a private directory of another user.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.dir.acting(None, look),
            other => other,
        }
    }

    pub fn exists(&self) -> bool {
        self.metadata().is_ok()
    }

    pub fn is_file(&self) -> bool {
        self.metadata().is_ok_and(|meta| meta.is_file())
    }

    /// Opens the file as its owner. A link is refused. In a shared directory, a hard link of this user's file is
    /// refused too: another user may have made it.
    ///
    /// # Errors
    /// `NotRegular`, or the file system's.
    pub fn open(&self, access: Access) -> io::Result<File> {
        let (ours, seen) = (Identity::current(), self.metadata()?);
        let open = || open_in(&self.dir, &self.name, access);
        // In a directory that only this user can write, the name still means the file that was seen.
        if ours.uid != 0 || !self.dir.is_shared()? {
            return open();
        }
        if seen.uid() != ours.uid {
            let opened = self.dir.acting(Some(&seen), open);
            // The directory and the file belong to different users.
            return opened.or_else(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    Identity::new(seen.uid(), seen.gid()).run_as(open).unwrap_or(Err(error))
                }
                _ => Err(error),
            });
        }
        let file = open()?;
        if file.metadata()?.nlink() > 1 {
            return Err(io::Error::other("it has another name, and another user may have made this one"));
        }
        Ok(file)
    }

    /// Opens the file that a user named, for reading. Links of root and of this user are followed.
    ///
    /// # Errors
    /// As [`Entry::open`].
    pub fn open_named(&self) -> io::Result<File> {
        let end = self.followed()?;
        let seen = end.metadata()?;
        // [`Entry::followed`] leaves only links of `/proc`, such as /proc/self/fd/0. The kernel follows them.
        if seen.is_symlink() && [0, Identity::current().uid].contains(&seen.uid()) {
            return open_named_in(&end.dir, Path::new(&end.name));
        }
        end.open(Access::Read)
    }

    /// Follows the links that a user named. The result is no link, or a link of `/proc`.
    ///
    /// # Errors
    /// When a link belongs to another user, or leads to no file.
    pub fn followed(&self) -> io::Result<Self> {
        if !self.metadata().is_ok_and(|seen| seen.is_symlink()) {
            return Ok(self.clone());
        }
        let Walk { dir: fd, mut left, .. } = walk_in(&self.dir, Path::new(&self.name))?;
        let name = left.pop_back().unwrap_or_else(|| ".".into());
        if left.is_empty() {
            return Ok(HeldDir::of(fd, self.dir.path().to_owned()).entry(name));
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Gives the file the name `to` as well, if no file has that name. On a file system without hard links, the file
    /// loses its old name.
    ///
    /// # Errors
    /// `AlreadyExists`, or the file system's.
    pub fn link_new(&self, to: &Self) -> io::Result<()> {
        match linkat(&self.dir, &self.name, &to.dir, &to.name, AtFlags::empty()) {
            Err(Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => self.rename_new(to),
            Ok(()) => Ok(()),
        }
    }

    /// Removes the file.
    ///
    /// # Errors
    /// When no file has this name, or the user may not remove it.
    pub fn remove(&self) -> io::Result<()> {
        let seen = self.metadata()?;
        self.dir.acting(Some(&seen), || Ok(unlinkat(&self.dir, &self.name, AtFlags::empty())?))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As [`Entry::remove`].
    pub fn remove_dir(&self) -> io::Result<()> {
        let seen = self.metadata()?;
        self.dir.acting(Some(&seen), || Ok(unlinkat(&self.dir, &self.name, AtFlags::REMOVEDIR)?))
    }

    /// Renames the file, if no file has the name `to`. A rename into another directory uses our own rights, because
    /// that directory is ours.
    ///
    /// # Errors
    /// `AlreadyExists`, or the file system's.
    pub fn rename_new(&self, to: &Self) -> io::Result<()> {
        let rename = || rename_new_between(&self.dir, &self.name, &to.dir, &to.name);
        if !Arc::ptr_eq(&self.dir, &to.dir) {
            return rename();
        }
        self.dir.acting(Some(&self.metadata()?), rename)
    }

    /// Renames our own file to `to` in the same directory. A file of that name is replaced.
    ///
    /// # Errors
    /// The file system's.
    pub fn replace(&self, to: &Self) -> io::Result<()> {
        Ok(renameat(&self.dir, &self.name, &to.dir, &to.name)?)
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
