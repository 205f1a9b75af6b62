//! How many files this process may have open (getrlimit(2), RLIMIT_NOFILE): a run that has too few in the middle of its
//! work could not even remove what it has made.

use std::io;

use rustix::io::{Errno, dup};
use rustix::process::{Resource, getrlimit, setrlimit};

/// What a run has open at most, but for the parts of a dump: JDK 22 and later write one for each of their threads.
const LEAST: usize = 40;

/// The run would fail in the middle of its work.
#[derive(Debug, thiserror::Error)]
#[error("this process may open {free} files more, and needs {least}")]
pub struct TooFewFiles {
    free: usize,
    least: usize,
}

/// Takes what the limit allows, and refuses when that is too little.
///
/// # Errors
/// When there are too few.
pub fn ensure() -> Result<(), TooFewFiles> {
    let limit = getrlimit(Resource::Nofile);
    // Who starts this program may leave the rest to it.
    let _ = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum });
    let mut held = Vec::with_capacity(LEAST);
    while held.len() < LEAST {
        match dup(io::stderr()) {
            Ok(fd) => held.push(fd),
            Err(Errno::MFILE) => return Err(TooFewFiles { free: held.len(), least: LEAST }),
            // Whatever that is, somebody else tells it.
            Err(_) => break,
        }
    }
    Ok(())
}
