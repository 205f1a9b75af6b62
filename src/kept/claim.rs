//! Why a file that lies on the disk cannot be taken up: another process has it, or its journal says something else.

use std::path::Path;

use super::journal::JournalError;
use crate::base::printable::{printable, printable_path};

/// The file stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("{path} is being uploaded by another process")]
    Busy { path: String },
    #[error("{path} is not the file any more that its journal describes, and only that knows its order")]
    Changed { path: String },
    #[error("the journal beside {path} cannot be used")]
    Journal { path: String, source: JournalError },
    #[error("the journal beside {path} is of another user, uid {uid}: it does not say where the dump goes")]
    JournalOfAnother { path: String, uid: u32 },
}

impl ClaimError {
    /// The next thing to do.
    pub fn hint(&self) -> String {
        match self {
            Self::Busy { .. } => "wait for it, and look at what it says".into(),
            Self::Changed { path } => {
                format!("restore the file as it was, or remove {} and its journal", printable(path))
            }
            Self::Journal { source, .. } => source.hint(),
            Self::JournalOfAnother { path, .. } => {
                let dir = printable_path(Path::new(path).parent().unwrap_or(Path::new(".")));
                format!(
                    "name the place and the store: jmap-dump-tool upload --resume {dir} --store STORE PROJECT APP ENV; \
                     --delete removes what is stored"
                )
            }
        }
    }
}
