//! Writes to standard output and standard error. Each write has a time limit, because a reader may be slow or gone. The
//! kubelet's exec even stops reading without closing when its client is gone (Kubernetes 1.36, WebSocket path).

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use super::screen;
use crate::base::sys::{Standard, was_closed};

/// What a pipe takes without blocking once it says that it takes anything (PIPE_BUF, pipe(7)).
const PIPE_BUF: usize = 4096;

/// Longest time for which a reader of standard error may accept nothing. After that it misses the line.
const STDERR_PATIENCE: Duration = Duration::from_secs(1);

/// True if the reader of standard error was too slow for the last line. Until it reads again, no line waits for it.
static STDERR_IS_STUCK: AtomicBool = AtomicBool::new(false);

/// Writes as much as cannot block once poll(2) reports `out` as writable.
///
/// # Errors
/// When the reader is gone.
pub fn write_some(out: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let is_file = fstat(out).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    let piece = if is_file { bytes.len() } else { PIPE_BUF.min(bytes.len()) };
    match rustix::io::write(out, &bytes[..piece]) {
        Ok(0) if piece > 0 => Err(io::ErrorKind::WriteZero.into()),
        Ok(n) => Ok(n),
        Err(Errno::INTR | Errno::AGAIN) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

/// Writes all bytes for a reader that accepts some at least every `patience`.
///
/// # Errors
/// When the reader is gone, or accepts nothing for `patience`. It then misses the rest.
pub fn write_within(out: impl AsFd, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
    let mut since = Instant::now();
    while !bytes.is_empty() {
        let left = patience.saturating_sub(since.elapsed());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&out, PollFlags::OUT)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let n = write_some(out.as_fd(), bytes)?;
        if n > 0 {
            (bytes, since) = (&bytes[n..], Instant::now());
        }
    }
    Ok(())
}

/// Writes to standard output, for which nothing stands in.
///
/// # Errors
/// As [`write_within`], and when it was closed from the start.
pub fn write_answer(bytes: &[u8], patience: Duration) -> io::Result<()> {
    if was_closed(Standard::Output) {
        return Err(io::Error::other("it was closed when this program was started"));
    }
    write_within(io::stdout().lock(), bytes, patience)
}

/// Standard error. What nobody takes in time is lost: the run matters more.
#[derive(Debug, Clone, Copy)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_stderr(|| [screen::taken_away().as_bytes(), bytes].concat());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what `text` returns to standard error. No other thread writes there while `text` is made.
pub(super) fn write_stderr<T: AsRef<[u8]>>(text: impl FnOnce() -> T) {
    let stderr = io::stderr().lock();
    // A line begins only if the reader can accept it, so that no half lines appear.
    if STDERR_IS_STUCK.load(Ordering::Relaxed) && !takes_something(&stderr) {
        return;
    }
    let written = write_within(stderr, text().as_ref(), STDERR_PATIENCE);
    let is_stuck = written.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
    STDERR_IS_STUCK.store(is_stuck, Ordering::Relaxed);
}

fn takes_something(out: impl AsFd) -> bool {
    let timeout = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(&out, PollFlags::OUT)], Some(&timeout)), Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_that_takes_nothing_is_not_waited_for() {
        let (reader, writer) = io::pipe().unwrap();
        let begun = Instant::now();
        let written = write_within(&writer, &[7; 1 << 20], Duration::from_millis(20));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(reader);
        let written = write_within(&writer, b"more", Duration::from_secs(60));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
