//! Aborts a multipart upload that a killed run has left.

use std::time::Duration;

use object_store::path::Path;

use super::backend::build;
use super::object_error::ObjectError;
use super::stop::ClientRuntime;
use crate::object::part_size::PART_MIN;
use crate::store::{OpenMultipart, StoreError};

/// Longest time to clean up a failed upload, even after the deadline.
pub(crate) const ABORT_FOR: Duration = Duration::from_secs(5);

/// Longest time that the guard waits for an abort.
pub const ABORTS_WITHIN: Duration = ABORT_FOR.saturating_add(Duration::from_secs(5));

/// A part of a killed sender may still arrive in the store after an abort. So there are two aborts, each after this
/// time (AWS: AbortMultipartUpload, "it might be necessary to abort multiple times").
const STILL_WRITES: Duration = Duration::from_millis(500);

/// Aborts the upload of a killed run.
pub(crate) fn abort(open: &OpenMultipart) -> Result<(), StoreError> {
    let backend = build(&open.settings, PART_MIN, ABORT_FOR)?;
    let runtime = ClientRuntime::start()?;
    let path = Path::parse(&open.path).map_err(|_| StoreError::ClientEnded)?;
    let again = async {
        let mut aborted = Ok(());
        for _ in 0..2 {
            tokio::time::sleep(STILL_WRITES).await;
            aborted = aborted.and(backend.abort_multipart(&path, &open.id).await.map_err(ObjectError::from));
        }
        aborted
    };
    let aborted = runtime.block_on(async { tokio::time::timeout(ABORT_FOR, again).await });
    match aborted {
        // The second abort may find nothing any more.
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.is_not_found() => Ok(()),
        Ok(Err(source)) => Err(StoreError::Remote { what: "abort the upload to", url: open.path.clone(), source }),
        Err(_) => Err(StoreError::ClientEnded),
    }
}
