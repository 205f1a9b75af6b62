//! Opens files that another process may have made. No call here waits. Links are followed only on paths that a user or
//! the kernel named. A file that is not regular is refused, and the error names its kind.
//!
//! open(2) of a FIFO waits for the other end, and of a terminal for its carrier. With O_NONBLOCK it waits for neither,
//! and nothing changes for regular files (open(2), "O_NONBLOCK"). `clippy.toml` forbids all other ways to open a file.
#![allow(clippy::disallowed_methods, reason = "this is the place that they are replaced by")]

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, statat};

use crate::base::units::Bytes;

/// Flags of every open: never wait, never take a controlling terminal, never pass the descriptor to a child.
const ALWAYS: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Mode of a file that only its owner can read and write.
pub const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Longest text file: settings, tokens, keys, receipts and status files have kilobytes. A longer file is refused.
pub const TEXT_MAX: u64 = 1 << 20;

/// The file is not a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {}, no regular file", words(.0))]
pub struct NotRegular(FileType);

fn words(kind: &FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::BlockDevice => "a block device",
        FileType::CharacterDevice => "a character device",
        _ => "something unknown",
    }
}

impl NotRegular {
    /// Returns the [`NotRegular`] inside an I/O error.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// Returns the kind by the mode of stat(2); `None` for a regular file.
    pub fn of_mode(mode: u32) -> Option<Self> {
        let kind = FileType::from_raw_mode(mode);
        (kind != FileType::RegularFile).then_some(Self(kind))
    }

    pub fn is_fifo(self) -> bool {
        self.0 == FileType::Fifo
    }

    pub fn is_link(self) -> bool {
        self.0 == FileType::Symlink
    }

    pub fn is_dir(self) -> bool {
        self.0 == FileType::Directory
    }
}

impl From<NotRegular> for io::Error {
    fn from(what: NotRegular) -> Self {
        Self::new(io::ErrorKind::InvalidInput, what)
    }
}

/// The file is longer than a file of its kind can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is longer than {}", Bytes(*.0))]
pub struct TooLong(u64);

/// Returns whether the file was refused for its kind or its length. Another try would fail too.
pub fn is_refused(error: &io::Error) -> bool {
    NotRegular::of(error).is_some() || error.get_ref().is_some_and(|inner| inner.is::<TooLong>())
}

/// The access for which a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
    /// Reads anywhere, writes at the end.
    ReadAppend,
}

impl Access {
    fn flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::Write => OFlags::WRONLY,
            Self::ReadWrite => OFlags::RDWR,
            Self::ReadAppend => OFlags::RDWR.union(OFlags::APPEND),
        }
    }
}

/// The treatment of a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    Follow,
    Refuse,
}

impl Links {
    fn flags(self) -> (OFlags, AtFlags) {
        match self {
            Self::Follow => (OFlags::empty(), AtFlags::empty()),
            Self::Refuse => (OFlags::NOFOLLOW, AtFlags::SYMLINK_NOFOLLOW),
        }
    }
}

/// Opens a file that was found in `dir`. A link is refused.
///
/// # Errors
/// [`NotRegular`], or the file system's.
pub fn open_in(dir: impl AsFd, name: impl AsRef<Path>, access: Access) -> io::Result<File> {
    checked(dir, name.as_ref(), access.flags(), Links::Refuse)
}

/// Opens a file whose path a user or the kernel named, for reading. Links are followed.
///
/// # Errors
/// As [`open_in`].
pub fn open_named(path: &Path) -> io::Result<File> {
    open_named_in(CWD, path)
}

/// Opens a file whose path below `dir` a user or the kernel named, for reading.
///
/// # Errors
/// As [`open_in`].
pub fn open_named_in(dir: impl AsFd, path: &Path) -> io::Result<File> {
    checked(dir, path, OFlags::RDONLY, Links::Follow)
}

/// Opens the file `name` in `dir`, or creates it.
///
/// # Errors
/// As [`open_in`].
pub fn open_or_create_in(dir: impl AsFd, name: impl AsRef<Path>, access: Access) -> io::Result<File> {
    checked(dir, name.as_ref(), access.flags() | OFlags::CREATE, Links::Refuse)
}

/// Opens a pipe that the caller has seen at `name`, for writing, without waiting for a reader.
///
/// # Errors
/// The file system's.
pub fn open_pipe_for_writing(dir: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    Ok(openat(dir, name, OFlags::WRONLY | ALWAYS, Mode::empty())?)
}

/// Creates a file in `dir`.
///
/// # Errors
/// `AlreadyExists`, or the file system's.
pub fn create_in(dir: impl AsFd, name: impl AsRef<Path>, access: Access, mode: Mode) -> io::Result<File> {
    // O_EXCL never opens an existing file and never follows a link.
    let flags = access.flags() | OFlags::CREATE | OFlags::EXCL | ALWAYS;
    Ok(File::from(openat(dir, name.as_ref(), flags, mode)?))
}

/// Creates a private file without a name in the directory `dir` below `at`.
///
/// # Errors
/// The file system's: overlayfs before Linux 6.10 and NFS cannot do it.
pub fn create_nameless_in(at: impl AsFd, dir: impl AsRef<Path>, access: Access) -> io::Result<File> {
    Ok(File::from(openat(at, dir.as_ref(), access.flags() | OFlags::TMPFILE | ALWAYS, PRIVATE)?))
}

/// Holds a directory for paths below it. Its names cannot be listed by this descriptor.
///
/// # Errors
/// When there is no such directory.
pub fn hold_dir_in(at: impl AsFd, path: impl AsRef<Path>, links: Links) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | links.flags().0;
    Ok(openat(at, path.as_ref(), flags, Mode::empty())?)
}

/// Holds a directory below `root`, as a process with that root sees it. Absolute links start at `root`, too.
///
/// # Errors
/// When there is no such directory; ENOSYS before Linux 5.6.
pub fn hold_dir_below(root: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?)
}

/// Opens a file below `root` for reading, as a process with that root sees it. Links are followed.
///
/// # Errors
/// As `openat(2)`; ENOSYS before Linux 5.6.
pub fn open_below(root: impl AsFd, path: &str) -> io::Result<File> {
    let held = openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)?;
    open_named(Path::new(&format!("/proc/self/fd/{}", held.as_raw_fd())))
}

/// Returns the metadata of `name` in `dir`. A link is not followed.
///
/// # Errors
/// When no file has this name.
pub fn metadata_in(dir: impl AsFd, name: impl AsRef<Path>) -> io::Result<Metadata> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    File::from(openat(dir, name.as_ref(), flags, Mode::empty())?).metadata()
}

/// Opens a directory, to list, lock or sync it.
///
/// # Errors
/// When there is no such directory, or it cannot be read.
pub fn open_dir_in(at: impl AsFd, path: impl AsRef<Path>, links: Links) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | ALWAYS | links.flags().0;
    Ok(File::from(openat(at, path.as_ref(), flags, Mode::empty())?))
}

/// Reads a file whose path a user or the kernel named.
///
/// # Errors
/// As [`open_in`] and [`read_bounded`].
pub fn read_named(path: impl AsRef<Path>, max: u64) -> io::Result<Vec<u8>> {
    read_bounded(open_named(path.as_ref())?, max)
}

/// Reads all bytes, if there are at most `max`. The length that the file system reports does not count.
///
/// # Errors
/// [`TooLong`], or the file system's.
pub fn read_bounded(from: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(io::Error::new(io::ErrorKind::FileTooLarge, TooLong(max))) } else { Ok(bytes) }
}

/// Converts the bytes to text.
///
/// # Errors
/// `InvalidData` when the bytes are not UTF-8.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// Opens a regular file. The kind is checked before the open, because opening some devices has effects. The kind is
/// checked again after it, because the name may belong to another file by then.
fn checked(dir: impl AsFd, path: &Path, flags: OFlags, links: Links) -> io::Result<File> {
    let (open_flags, stat_flags) = links.flags();
    match statat(&dir, path, stat_flags) {
        Ok(stat) => must_be_regular(stat.st_mode)?,
        // There is no file yet; openat(2) creates it.
        Err(rustix::io::Errno::NOENT) if flags.contains(OFlags::CREATE) => {}
        Err(error) => return Err(error.into()),
    }
    let file = openat(&dir, path, flags | open_flags | ALWAYS, PRIVATE)?;
    must_be_regular(fstat(&file)?.st_mode)?;
    Ok(File::from(file))
}

fn must_be_regular(mode: u32) -> io::Result<()> {
    NotRegular::of_mode(mode).map_or(Ok(()), |what| Err(what.into()))
}

#[cfg(test)]
#[path = "regular_file_tests.rs"]
mod tests;
