//! `--log-to`: what a run says, once more in another place. The output of an exec'ed hook is lost; the pod's log is not.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;

use rustix::fs::OFlags;

use crate::output::Stderr;

static COPY: OnceLock<File> = OnceLock::new();

/// From now on everything goes there, too.
///
/// # Errors
/// When it cannot be opened for writing.
pub fn start(path: &OsStr) -> io::Result<()> {
    // A pipe whose reader is slow must not hold the run, and a terminal must not become ours.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    let _ = COPY.set(file);
    Ok(())
}

/// What cannot be written there is lost: the run matters more.
pub fn add(text: &str) {
    if let Some(mut copy) = COPY.get() {
        let _ = copy.write_all(text.as_bytes());
    }
}

/// Standard error and the copy: for the log.
#[derive(Debug)]
pub struct Both;

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        add(&String::from_utf8_lossy(bytes));
        Stderr.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
