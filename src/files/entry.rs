//! Names in directories that another user may write. A directory is held by its descriptor, and a name is looked up
//! only in it. So an exchange of the directory for a link leads nowhere else.
//!
//! The kernel has no unlink by descriptor. So files there are opened, renamed and removed with the rights of the user
//! who could do that himself. He wins nothing with a race.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, Mode, Stat, fstat, linkat, lstat, mkdirat, renameat, unlinkat};
use rustix::io::Errno;

use super::named_path::{Walk, walk, walk_in};
use super::regular_file::{Access, Links, hold_dir_in, metadata_in, open_dir_in, open_in, open_named_in};
use super::rename::rename_new_between;
use crate::base::identity::Identity;

/// Mode bits that let users other than the owner write.
pub const OTHERS_WRITE: u32 = 0o022;

/// The group's bit of [`OTHERS_WRITE`].
const GROUP_WRITES: u32 = 0o020;

/// A directory that this process holds by its descriptor.
#[derive(Debug)]
pub struct HeldDir {
    fd: OwnedFd,
    path: PathBuf,
}

impl HeldDir {
    /// Holds the directory at a path that a user named. The path may contain links of root and of this user.
    ///
    /// # Errors
    /// When there is no such directory, or a link of another user is on the way.
    pub fn named(path: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { fd: walk(path)?.into_dir()?, path: path.to_owned() }))
    }

    /// Holds the last existing directory on such a path, and returns the names that are missing.
    ///
    /// # Errors
    /// When a link of another user is on the way.
    pub fn as_far_as(path: &Path) -> io::Result<(Arc<Self>, Vec<OsString>)> {
        let Walk { dir: fd, left, .. } = walk(path)?;
        let above = path.ancestors().nth(left.len()).unwrap_or(path);
        Ok((Arc::new(Self { fd, path: above.to_owned() }), left.into()))
    }

    /// Holds the directory at such a path. What is missing on the way is made, for this user alone.
    ///
    /// # Errors
    /// As [`HeldDir::named`], and when a directory cannot be made.
    pub fn named_or_new(path: &Path) -> io::Result<Arc<Self>> {
        let (mut dir, missing) = Self::as_far_as(path)?;
        for name in missing {
            match mkdirat(&dir, &name, Mode::RWXU) {
                Err(error) if error != Errno::EXIST => return Err(error.into()),
                _ => dir = dir.below(&name)?,
            }
        }
        Ok(dir)
    }

    /// Holds a directory by a descriptor that another process has sent.
    pub fn adopt(fd: OwnedFd) -> Arc<Self> {
        Arc::new(Self { fd, path: PathBuf::new() })
    }

    /// Holds the directory `name` in this one. A link is refused.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn below(&self, name: impl AsRef<OsStr>) -> io::Result<Arc<Self>> {
        let name = name.as_ref();
        let fd = hold_dir_in(&self.fd, name, Links::Refuse)?;
        Ok(Arc::new(Self { fd, path: self.path.join(name) }))
    }

    /// Returns the path that the directory had when it was held.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path that the directory has now, without links. Returns the old path if the new one does not lead to
    /// it.
    pub fn real_path(&self) -> PathBuf {
        let told = std::fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        let number = |stat: Stat| (stat.st_dev, stat.st_ino);
        let is_it =
            |path: &PathBuf| lstat(path).is_ok_and(|stat| fstat(&self.fd).is_ok_and(|own| number(own) == number(stat)));
        let absolute = || std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        told.ok().filter(is_it).unwrap_or_else(absolute)
    }

    /// Returns the names in the directory.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn names(&self) -> io::Result<impl Iterator<Item = OsString> + use<>> {
        use std::os::unix::ffi::OsStrExt;
        let entries = Dir::read_from(open_dir_in(&self.fd, ".", Links::Refuse)?)?.filter_map(Result::ok);
        let names = entries.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
        Ok(names.filter(|name| name != "." && name != ".."))
    }

    /// Returns the entry `name` of this directory.
    pub fn entry(self: &Arc<Self>, name: impl Into<OsString>) -> Entry {
        Entry { dir: Arc::clone(self), name: name.into() }
    }

    /// Returns the entry at `path`, which must begin with the path of this directory. No directory between them may be
    /// a link.
    ///
    /// # Errors
    /// When one of these directories is missing.
    pub fn entry_at(self: &Arc<Self>, path: &Path) -> io::Result<Entry> {
        let outside = || io::Error::other(format!("{} is not in {}", path.display(), self.path.display()));
        let relative = path.strip_prefix(&self.path).map_err(|_| outside())?;
        let mut names = relative.components().map(|part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(outside()),
        });
        let last = names.next_back().ok_or_else(outside)??;
        let dir = names.try_fold(Arc::clone(self), |dir, name| dir.below(name?))?;
        Ok(dir.entry(last))
    }

    /// Returns the name of this directory in its parent, and holds the parent. By now that name may belong to another
    /// directory.
    ///
    /// # Errors
    /// When the directory has no parent or no name.
    pub fn parent_entry(&self) -> io::Result<Entry> {
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let fd = hold_dir_in(&self.fd, "..", Links::Refuse)?;
        let path = self.path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Arc::new(Self { fd, path }).entry(name))
    }

    /// Runs `f` as the user who may change `file` in this directory: the owner of the directory. Where all may write
    /// (`/tmp`, an emptyDir), as the owner of the file. If root may not take an identity, `f` runs as root.
    ///
    /// # Errors
    /// Errors of `f`.
    pub fn acting<T: Send>(
        &self,
        file: Option<&Metadata>,
        f: impl Fn() -> io::Result<T> + Send + Sync,
    ) -> io::Result<T> {
        let identity = self.identity_for(file)?;
        identity.run_as(&f).unwrap_or_else(|error| {
            log::debug!("{}: {error}", self.path.display());
            f()
        })
    }

    /// Returns whether other users can make names in this directory.
    ///
    /// # Errors
    /// When fstat(2) fails.
    pub fn is_shared(&self) -> io::Result<bool> {
        let dir = fstat(&self.fd)?;
        Ok(dir.st_uid != Identity::current().uid || dir.st_mode & OTHERS_WRITE != 0)
    }

    fn identity_for(&self, file: Option<&Metadata>) -> io::Result<Identity> {
        let ours = Identity::current();
        if ours.uid != 0 {
            return Ok(ours);
        }
        let dir = fstat(&self.fd)?;
        if dir.st_uid != ours.uid {
            return Ok(Identity::new(dir.st_uid, dir.st_gid));
        }
        let others_write = dir.st_mode & OTHERS_WRITE;
        Ok(match file.filter(|file| others_write != 0 && file.uid() != ours.uid) {
            Some(file) if others_write == GROUP_WRITES => Identity::new(file.uid(), dir.st_gid),
            Some(file) => Identity::new(file.uid(), file.gid()),
            None => ours,
        })
    }
}

impl AsFd for HeldDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A name in a held directory.
#[derive(Debug, Clone)]
pub struct Entry {
    dir: Arc<HeldDir>,
    name: OsString,
}

impl Entry {
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
        self.dir.path.join(&self.name)
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
            return Ok(Arc::new(HeldDir { fd, path: self.dir.path.clone() }).entry(name));
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
