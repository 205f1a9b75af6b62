//! `--store -`: the dump itself on standard output, once it is known to be whole.

use std::io::Write;

use super::{Beside, Digest, Finished, StoreError, StoredObject, Verified};
use crate::spool::Spool;

const PIECE: u64 = 1 << 20;

pub(super) fn write(spool: &Spool, digest: &Digest) -> Result<Finished, StoreError> {
    let error = |source| StoreError::Local { what: "write the dump to", path: "standard output".into(), source };
    let mut out = std::io::stdout().lock();
    let mut buf = vec![0; PIECE as usize];
    let mut at = 0;
    while at < digest.bytes {
        let n = PIECE.min(digest.bytes - at) as usize;
        spool.read_exact_at(&mut buf[..n], at).map_err(StoreError::Spool)?;
        out.write_all(&buf[..n]).map_err(error)?;
        at += n as u64;
    }
    out.flush().map_err(error)?;
    let object = StoredObject {
        url: "-".into(),
        key: String::new(),
        bytes: digest.bytes,
        sha256: digest.sha256.clone(),
        verified: Verified::Acknowledged,
    };
    Ok(Finished { object, beside: Beside::Nowhere })
}
