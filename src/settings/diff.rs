//! Settings of `diff`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::Layers;
use super::store::store;
use super::{Output, UsageError, deadline, output, policy_without_redaction};
use crate::cli::{DiffArgs, Flags};
use crate::store::StoreSettings;

/// Where a receipt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptAt {
    File(PathBuf),
    /// Beside the object with this key.
    Key(String),
}

impl ReceiptAt {
    /// A file that exists, or has the end of a receipt's name in a path that no key has, is a file.
    fn of(text: &str) -> Self {
        let is_path = text.starts_with('/') || text.starts_with("./") || text.starts_with("../");
        if is_path || Path::new(text).is_file() { Self::File(text.into()) } else { Self::Key(text.to_owned()) }
    }
}

#[derive(Debug, Clone)]
pub struct DiffSettings {
    pub earlier: ReceiptAt,
    pub later: ReceiptAt,
    /// `None` if both are files.
    pub store: Option<StoreSettings>,
    pub deadline: Duration,
    pub output: Output,
}

impl DiffSettings {
    /// Returns the settings of `diff`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_diff(args: &DiffArgs, flags: &Flags) -> Result<Self, UsageError> {
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let [earlier, later] = [&args.earlier, &args.later].map(|text| ReceiptAt::of(text));
        let needs_store = [&earlier, &later].iter().any(|at| matches!(at, ReceiptAt::Key(_)));
        let policy = policy_without_redaction(&layers)?;
        let store = needs_store.then(|| store(&layers, &policy)).transpose()?;
        Ok(Self { earlier, later, store, deadline: deadline(&layers)?, output: output(&layers)? })
    }
}
