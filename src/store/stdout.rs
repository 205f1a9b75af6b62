//! `--store -`: writes the dump to standard output, once it is known to be whole.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::{Finished, StoreError, StoreSettings, Upload};
use crate::base::deadline::{Deadline, Woken, tick};
use crate::compress::spool::Spool;
use crate::object::stored::{Digest, StoredObject, Verified};
use crate::terminal::output::write_some;

/// Bytes that are read from the spool at a time.
const PIECE: u64 = 1 << 20;

/// Interval of the message that the run waits for the reader.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// The reader of standard output.
#[derive(Debug)]
pub struct ToReader {
    /// Time after which a reader that accepts nothing counts as gone. A kubelet whose client is gone neither reads nor
    /// closes.
    timeout: Duration,
    deadline: Deadline,
}

impl ToReader {
    pub(super) fn new(settings: &StoreSettings, deadline: &Deadline) -> Self {
        Self { timeout: settings.reader_timeout, deadline: deadline.clone() }
    }

    pub(super) fn write(self, spool: &Spool, digest: &Digest) -> Result<Finished, StoreError> {
        let mut buf = vec![0; PIECE as usize];
        let mut at = 0;
        while at < digest.bytes {
            let n = PIECE.min(digest.bytes - at) as usize;
            spool.read_exact_at(&mut buf[..n], at).map_err(StoreError::Spool)?;
            self.write_all(&buf[..n])?;
            at += n as u64;
        }
        let object = StoredObject {
            url: "-".into(),
            key: String::new(),
            bytes: digest.bytes,
            sha256: digest.sha256.clone(),
            verified: Verified::Acknowledged,
        };
        Ok(Finished { object, upload: Upload::Stdout(self) })
    }

    fn write_all(&self, mut bytes: &[u8]) -> Result<(), StoreError> {
        let error = |source| StoreError::Local { what: "write the dump to", path: "standard output".into(), source };
        let (out, what) = (io::stdout(), "waiting for the reader of the dump");
        let mut since = Instant::now();
        while !bytes.is_empty() {
            let left = self.timeout.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(StoreError::Reader { seconds: self.timeout.as_secs() });
            }
            if self.deadline.wait(out.as_fd(), PollFlags::OUT, left.min(TELL_EVERY), what)? == Woken::TimedOut {
                log::warn!("{what} ({} s)", since.elapsed().as_secs());
                continue;
            }
            let n = write_some(out.as_fd(), bytes).map_err(error)?;
            if n > 0 {
                (bytes, since) = (&bytes[n..], Instant::now());
                tick();
            }
        }
        Ok(())
    }
}
