//! The limit of open files (getrlimit(2), RLIMIT_NOFILE). A run that reaches it could not even remove its own files.

use std::io;

use rustix::io::{Errno, dup};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Open files of a run at most, without the parts of a dump. JDK 22 and later write one part for each dump thread.
const LEAST: usize = 40;

/// The limit of open files is so low that the run would fail halfway.
#[derive(Debug, thiserror::Error)]
#[error("this process may open {free} files more, and needs {least}")]
pub struct TooFewFiles {
    free: usize,
    least: usize,
}

/// Raises the soft limit to the hard limit, and checks that enough files can be opened.
///
/// # Errors
/// When there are too few.
pub fn ensure() -> Result<(), TooFewFiles> {
    let limit = getrlimit(Resource::Nofile);
    // The caller may have set a soft limit below the hard one; this process may raise it.
    let _ = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum });
    let mut held = Vec::with_capacity(LEAST);
    while held.len() < LEAST {
        match dup(io::stderr()) {
            Ok(fd) => held.push(fd),
            Err(Errno::MFILE) => return Err(TooFewFiles { free: held.len(), least: LEAST }),
            // The call that really needs a descriptor reports this error.
            Err(_) => break,
        }
    }
    Ok(())
}
