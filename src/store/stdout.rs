//! `--store -`: the dump itself on standard output, once it is known to be whole.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::{FileType, fstat};

use super::{Beside, Digest, Finished, StoreError, StoredObject, Verified};
use crate::deadline::{Deadline, Woken};
use crate::spool::Spool;

/// What is read from the spool at a time.
const PIECE: u64 = 1 << 20;

/// What a pipe takes without blocking once it says that it takes anything (PIPE_BUF, pipe(7)).
pub const PIPE_BUF: usize = 4096;

pub(super) fn write(spool: &Spool, digest: &Digest, deadline: &Deadline) -> Result<Finished, StoreError> {
    let mut buf = vec![0; PIECE as usize];
    let mut at = 0;
    while at < digest.bytes {
        let n = PIECE.min(digest.bytes - at) as usize;
        spool.read_exact_at(&mut buf[..n], at).map_err(StoreError::Spool)?;
        write_all(&buf[..n], deadline)?;
        at += n as u64;
    }
    let object = StoredObject {
        url: "-".into(),
        key: String::new(),
        bytes: digest.bytes,
        sha256: digest.sha256.clone(),
        verified: Verified::Acknowledged,
    };
    Ok(Finished { object, beside: Beside::Nowhere })
}

/// A reader may stall without going away, and the run still has an end: what might block is written in pieces that
/// cannot.
fn write_all(mut bytes: &[u8], deadline: &Deadline) -> Result<(), StoreError> {
    let error = |source| StoreError::Local { what: "write the dump to", path: "standard output".into(), source };
    let out = std::io::stdout();
    let is_file = fstat(&out).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    let piece = if is_file { bytes.len() } else { PIPE_BUF };
    while !bytes.is_empty() {
        let what = "waiting for the reader of the dump";
        if deadline.wait(out.as_fd(), PollFlags::OUT, Duration::from_secs(5), what)? == Woken::TimedOut {
            log::warn!("{what}");
            continue;
        }
        match rustix::io::write(&out, &bytes[..piece.min(bytes.len())]) {
            Ok(0) => return Err(error(io::ErrorKind::WriteZero.into())),
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(errno) => return Err(error(errno.into())),
        }
    }
    Ok(())
}
