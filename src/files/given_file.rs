//! Files that a user names for this run. They may be pipes, for example of a shell's `<(command)`. Reads wait for a
//! pipe, but not forever.
#![allow(clippy::disallowed_methods, reason = "it opens what is no regular file, and does not wait in open(2)")]

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::entry::{Entry, HeldDir};
use super::named_path::is_of_proc;
use super::regular_file::{Access, NotRegular, TEXT_MAX, open_in, read_bounded, text};
use crate::base::sys::{self, Standard};

/// Longest time for a whole text to come through a pipe. A command that asks a vault answers in seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Flags so that open(2) neither waits for the other end of a pipe nor takes a controlling terminal.
const FLAGS: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Flags to append to a file.
const APPEND: OFlags = OFlags::WRONLY.union(OFlags::APPEND).union(FLAGS);

/// Reads a text of at most `max` bytes from a file or a pipe.
///
/// # Errors
/// When the file cannot be read, is longer than `max`, or a pipe does not end in time.
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(FLAGS.bits().cast_signed()).open(path)?;
    match NotRegular::of_mode(file.metadata()?.mode()) {
        None => read_bounded(&file, max),
        Some(what) if what.is_dir() => Err(what.into()),
        Some(_) => read_pipe(file.as_fd(), max),
    }
}

/// Reads a text of at most `max` bytes from standard input.
///
/// # Errors
/// As [`read`].
pub fn read_stdin(max: u64) -> io::Result<Vec<u8>> {
    if sys::was_closed(Standard::Input) {
        return Err(io::Error::other("standard input was closed when this program was started"));
    }
    read_pipe(io::stdin().as_fd(), max)
}

/// Opens a file, a pipe or a terminal for appending. A slow reader does not block the run. Links of other users are
/// not followed: they may lead to a file that only this process can write.
///
/// # Errors
/// When the file cannot be written, for example a FIFO without a reader.
pub fn append(path: &Path) -> io::Result<File> {
    let entry = Entry::named(path)?.followed()?;
    if entry.metadata().is_ok_and(|meta| meta.is_symlink()) && is_of_proc(entry.dir()) {
        return append_to_descriptor(&entry);
    }
    // A name that has become a link meanwhile is refused.
    let flags = APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
    let file = File::from(openat(entry.dir(), entry.name(), flags, Mode::RUSR | Mode::WUSR)?);
    if entry.dir().is_shared()? && file.metadata()?.nlink() > 1 {
        return Err(io::Error::other("it has another name, and another user may have made this one"));
    }
    Ok(file)
}

/// Opens a file that another process has open, by `/proc/PID/fd/N`. The kernel checks only whether this process may
/// write the file. So the process must have the file open for writing itself: otherwise its owner could pass us any
/// file that he can read.
fn append_to_descriptor(link: &Entry) -> io::Result<File> {
    let theirs = Descriptor::of(link.dir(), link.name())?.for_writing()?;
    let file = File::from(openat(link.dir(), link.name(), APPEND, Mode::empty())?);
    let own = HeldDir::named(Path::new("/proc/self/fd"))?;
    let ours = Descriptor::of(&own, OsStr::new(&file.as_raw_fd().to_string()))?;
    // The descriptor may have changed between the first check and the open.
    let still = Descriptor::of(link.dir(), link.name())?.for_writing()?;
    let (opened, seen) = (fstat(&file)?, statat(link.dir(), link.name(), AtFlags::empty())?);
    let is_same = (opened.st_dev, opened.st_ino) == (seen.st_dev, seen.st_ino);
    if is_same && [theirs, still].iter().all(|seen| (seen.mount, seen.number) == (ours.mount, ours.number)) {
        return Ok(file);
    }
    Err(io::Error::other("the process has just put another file there"))
}

/// An open file of a process (proc_pid_fdinfo(5)).
struct Descriptor {
    flags: OFlags,
    mount: Option<u64>,
    /// The inode number. Known since Linux 5.14.
    number: Option<u64>,
}

impl Descriptor {
    /// Reads the facts of descriptor `name`. `dir` is the `fd` directory of the process.
    fn of(dir: &HeldDir, name: &OsStr) -> io::Result<Self> {
        let info = open_in(dir, Path::new("../fdinfo").join(name), Access::Read)?;
        let text = text(read_bounded(info, TEXT_MAX)?)?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let number = |key: &str| value(key).and_then(|text| text.parse().ok());
        let flags =
            value("flags:").and_then(|text| u32::from_str_radix(text, 8).ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { flags: OFlags::from_bits_retain(flags), mount: number("mnt_id:"), number: number("ino:") })
    }

    fn for_writing(self) -> io::Result<Self> {
        if self.flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
            return Ok(self);
        }
        Err(io::Error::other("the process has it open for reading only"))
    }
}

fn read_pipe(fd: BorrowedFd<'_>, max: u64) -> io::Result<Vec<u8>> {
    read_bounded(Pipe { fd, end: Instant::now() + PATIENCE }, max)
}

/// A reader of `fd` that fails after `end`.
struct Pipe<'a> {
    fd: BorrowedFd<'a>,
    end: Instant,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait()?;
            match rustix::io::read(self.fd, &mut *buf) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                other => return Ok(other?),
            }
        }
    }
}

impl Pipe<'_> {
    /// Waits until there is something to read. A FIFO that nobody has opened for writing yet is not at its end (Linux:
    /// `fs/pipe.c`, `pipe_poll`).
    fn wait(&self) -> io::Result<()> {
        let left = self.end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(self.fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => {
                let why = format!("it did not come to its end within {} s", PATIENCE.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, why))
            }
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn pipe_is_read_to_its_end_though_its_writer_comes_late() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let to = path.clone();
        let writer = std::thread::spawn(move || {
            let mut file = OpenOptions::new().write(true).open(to).unwrap();
            file.write_all(b"store = ").unwrap();
            file.write_all(b"\"-\"\n").unwrap();
        });
        assert_eq!(read(&path, 100).unwrap(), b"store = \"-\"\n");
        writer.join().unwrap();
        assert!(read(Path::new("/dev/zero"), 100).is_err() && read(dir.path(), 100).is_err());
        assert_eq!(read(Path::new("/dev/null"), 100).unwrap(), b"");
    }

    #[test]
    fn pipe_that_stays_open_is_given_up() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let mut pipe = Pipe { fd: reader.as_fd(), end: Instant::now() };
        assert_eq!(pipe.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
