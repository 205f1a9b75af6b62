//! A directory that is held by its descriptor. Names are looked up only in it, so an exchange of the directory for a
//! link leads nowhere else.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Dir, Mode, Stat, fstat, lstat, mkdirat};
use rustix::io::Errno;

use super::entry::Entry;
use super::named_path::{Walk, walk};
use super::regular_file::{Links, hold_dir_in, open_dir_in};
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

    /// Holds the directory `fd`, which is at `path`.
    pub(super) fn of(fd: OwnedFd, path: PathBuf) -> Arc<Self> {
        Arc::new(Self { fd, path })
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

    /// Holds a directory that is open already. `path` is for messages.
    pub fn adopt(fd: OwnedFd, path: impl Into<PathBuf>) -> Arc<Self> {
        Arc::new(Self { fd, path: path.into() })
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
        Entry::new(Arc::clone(self), name.into())
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

    pub(super) fn identity_for(&self, file: Option<&Metadata>) -> io::Result<Identity> {
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
