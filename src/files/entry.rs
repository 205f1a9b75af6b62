//! Names in directories that another user may write. The directory is held by its descriptor, and a name is looked up in
//! it alone: whoever exchanges the directory for a link leads nothing astray. There is no unlink by descriptor, so what
//! is opened, renamed or removed there is so as the user who could do that himself: a race that he wins gains nothing.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, Stat, fstat, linkat, lstat, renameat, unlinkat};
use rustix::io::Errno;

use super::named_path::{Walk, walk, walk_in};
use super::regular_file::{Access, Links, hold_dir_in, metadata_in, open_dir_in, open_in, open_named_in};
use super::rename::rename_new_between;
use crate::base::identity::Identity;

/// Anybody but the owner.
pub const OTHERS_WRITE: u32 = 0o022;

/// The group alone, of those.
const GROUP_WRITES: u32 = 0o020;

/// A directory that is held.
#[derive(Debug)]
pub struct HeldDir {
    fd: OwnedFd,
    path: PathBuf,
}

impl HeldDir {
    /// Holds the directory at a path that a user named. Links are followed once, and those of another user never.
    ///
    /// # Errors
    /// When there is none, or a link of another user is on the way.
    pub fn named(path: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { fd: walk(path)?.into_dir()?, path: path.to_owned() }))
    }

    /// Holds as much of such a path as there is, and tells the names that are missing.
    ///
    /// # Errors
    /// When a link of another user is on the way.
    pub fn as_far_as(path: &Path) -> io::Result<(Arc<Self>, Vec<OsString>)> {
        let Walk { dir: fd, left, .. } = walk(path)?;
        let above = path.ancestors().nth(left.len()).unwrap_or(path);
        Ok((Arc::new(Self { fd, path: above.to_owned() }), left.into()))
    }

    /// Holds what another process has held.
    pub fn adopt(fd: OwnedFd) -> Arc<Self> {
        Arc::new(Self { fd, path: PathBuf::new() })
    }

    /// Holds the directory `name` in this one, which is no link.
    ///
    /// # Errors
    /// When there is none.
    pub fn below(&self, name: impl AsRef<OsStr>) -> io::Result<Arc<Self>> {
        let name = name.as_ref();
        let fd = hold_dir_in(&self.fd, name, Links::Refuse)?;
        Ok(Arc::new(Self { fd, path: self.path.join(name) }))
    }

    /// As it was called when it was held.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As it is called by now, without links; as it was called where this process cannot reach it by that.
    pub fn real_path(&self) -> PathBuf {
        let told = std::fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        let number = |stat: Stat| (stat.st_dev, stat.st_ino);
        let is_it =
            |path: &PathBuf| lstat(path).is_ok_and(|stat| fstat(&self.fd).is_ok_and(|own| number(own) == number(stat)));
        let absolute = || std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        told.ok().filter(is_it).unwrap_or_else(absolute)
    }

    /// The names there.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn names(&self) -> io::Result<impl Iterator<Item = OsString> + use<>> {
        use std::os::unix::ffi::OsStrExt;
        let entries = Dir::read_from(open_dir_in(&self.fd, ".", Links::Refuse)?)?.filter_map(Result::ok);
        let names = entries.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
        Ok(names.filter(|name| name != "." && name != ".."))
    }

    /// The name in this directory.
    pub fn entry(self: &Arc<Self>, name: impl Into<OsString>) -> Entry {
        Entry { dir: Arc::clone(self), name: name.into() }
    }

    /// The one at `path`, which begins with that of this directory. No directory between them is a link.
    ///
    /// # Errors
    /// When one of these is not there.
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

    /// The name of this directory in the one above it, which is held by now: another one may have that name.
    ///
    /// # Errors
    /// When there is none above it, or it has no name.
    pub fn parent_entry(&self) -> io::Result<Entry> {
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let fd = hold_dir_in(&self.fd, "..", Links::Refuse)?;
        let path = self.path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Arc::new(Self { fd, path }).entry(name))
    }

    /// Runs `f` as the user who may do with a file there what he wants: the directory's owner, or, where all may write
    /// (`/tmp`, an emptyDir), the file's. Root without the right to take an identity does it itself.
    ///
    /// # Errors
    /// Those of `f`.
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

    /// Somebody else may make names there.
    ///
    /// # Errors
    /// When it cannot be looked at.
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
            return Ok(Identity { uid: dir.st_uid, gid: dir.st_gid });
        }
        let others_write = dir.st_mode & OTHERS_WRITE;
        Ok(match file.filter(|file| others_write != 0 && file.uid() != ours.uid) {
            Some(file) if others_write == GROUP_WRITES => Identity { uid: file.uid(), gid: dir.st_gid },
            Some(file) => Identity { uid: file.uid(), gid: file.gid() },
            None => ours,
        })
    }
}

impl AsFd for HeldDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A name in a directory that is held.
#[derive(Debug, Clone)]
pub struct Entry {
    dir: Arc<HeldDir>,
    name: OsString,
}

impl Entry {
    /// The one at a path that a user named.
    ///
    /// # Errors
    /// When its directory is not there, or it names none.
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

    /// For messages.
    pub fn path(&self) -> PathBuf {
        self.dir.path.join(&self.name)
    }

    /// Another name in the same directory.
    #[must_use]
    pub fn sibling(&self, name: impl Into<OsString>) -> Self {
        self.dir.entry(name)
    }

    /// The name with `end` behind it.
    #[must_use]
    pub fn with_end(&self, end: &str) -> Self {
        let mut name = self.name.clone();
        name.push(end);
        self.sibling(name)
    }

    /// Of the name itself: a link is not followed.
    ///
    /// # Errors
    /// When nothing has it.
    pub fn metadata(&self) -> io::Result<Metadata> {
        let look = || metadata_in(&self.dir, &self.name);
        match look() {
            // Root without CAP_DAC_READ_SEARCH, in a private directory.
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

    /// Opens the file, which is no link, as its owner. In a directory of somebody else it has no other name: that may
    /// be one where this one leads to.
    ///
    /// # Errors
    /// `NotRegular`, or the file system's.
    pub fn open(&self, access: Access) -> io::Result<File> {
        let (ours, seen) = (Identity::current(), self.metadata()?);
        let open = || open_in(&self.dir, &self.name, access);
        // Where root alone makes names, they are what they were.
        if ours.uid != 0 || !self.dir.is_shared()? {
            return open();
        }
        if seen.uid() != ours.uid {
            let opened = self.dir.acting(Some(&seen), open);
            // The directory is another user's than the file.
            return opened.or_else(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    Identity { uid: seen.uid(), gid: seen.gid() }.run_as(open).unwrap_or(Err(error))
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

    /// Opens the file that a user named, for reading: a link is followed, unless another user has made it.
    ///
    /// # Errors
    /// As [`Entry::open`].
    pub fn open_named(&self) -> io::Result<File> {
        let end = self.followed()?;
        let seen = end.metadata()?;
        // The kernel's own is left, of a process of this user: /proc/self/fd/0, for example.
        if seen.is_symlink() && [0, Identity::current().uid].contains(&seen.uid()) {
            return open_named_in(&end.dir, Path::new(&end.name));
        }
        end.open(Access::Read)
    }

    /// The name at the end of the links that a user named, which is no link but one of `/proc`.
    ///
    /// # Errors
    /// When one of the links is another user's, or leads to no file.
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

    /// Gives the file one more name, which nothing has. Where a file has but one, the old one goes.
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

    /// Takes the name away.
    ///
    /// # Errors
    /// When nothing has it, or it is not that user's.
    pub fn remove(&self) -> io::Result<()> {
        let seen = self.metadata()?;
        self.dir.acting(Some(&seen), || Ok(unlinkat(&self.dir, &self.name, AtFlags::empty())?))
    }

    /// The same of an empty directory.
    ///
    /// # Errors
    /// As [`Entry::remove`].
    pub fn remove_dir(&self) -> io::Result<()> {
        let seen = self.metadata()?;
        self.dir.acting(Some(&seen), || Ok(unlinkat(&self.dir, &self.name, AtFlags::REMOVEDIR)?))
    }

    /// Gives the file another name, which nothing has. Into another directory it goes as ourselves: that one is ours.
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

    /// Puts our own file, in the same directory, in the place of the one called `to`.
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
