//! `--log-to`: a second copy of the messages. The output of a hook that runs by exec is lost; the log of the pod is
//! not.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use super::output::{Stderr, write_within};
use crate::base::printable::printable_lines;
use crate::files::given_file;

/// Longest time for which the reader may accept nothing. After that it misses the rest of the text.
const PATIENCE: Duration = Duration::from_millis(200);

static COPY: OnceLock<File> = OnceLock::new();

/// Copies all messages from now on to the file at `path`.
///
/// # Errors
/// When the file cannot be opened for writing.
pub fn start(path: &OsStr) -> io::Result<()> {
    let _ = COPY.set(given_file::append(Path::new(path))?);
    Ok(())
}

/// Writes to the copy. A text that cannot be written is lost, because the run matters more.
pub fn add(text: &str) {
    if let Some(copy) = COPY.get() {
        let _ = write_within(copy, printable_lines(text).as_bytes(), PATIENCE);
    }
}

/// The writer of the log: standard error and the copy.
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
