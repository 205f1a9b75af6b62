//! `--log-to`: what a run says, once more in another place. The output of an exec'ed hook is lost; the pod's log is not.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use super::output::{Stderr, write_within};
use crate::base::printable::printable_lines;
use crate::files::given_file;

/// How long its reader may take nothing before it misses the rest of a text.
const PATIENCE: Duration = Duration::from_millis(200);

static COPY: OnceLock<File> = OnceLock::new();

/// From now on everything goes there, too.
///
/// # Errors
/// When it cannot be opened for writing.
pub fn start(path: &OsStr) -> io::Result<()> {
    let _ = COPY.set(given_file::append(Path::new(path))?);
    Ok(())
}

/// What cannot be written there is lost: the run matters more.
pub fn add(text: &str) {
    if let Some(copy) = COPY.get() {
        let _ = write_within(copy, printable_lines(text).as_bytes(), PATIENCE);
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
