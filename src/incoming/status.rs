//! How the watcher is, in one file for probes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A watcher that has not written for so long hangs, or is dead.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// See the module's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When it was written, RFC 3339.
    pub updated: String,
    pub pid: u32,
    /// Dumps that wait for the store.
    pub waiting: usize,
    pub stored: u64,
    /// Given up, because more than --max-local waited.
    pub given_up: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_stored: Option<String>,
    /// Of the last try, if that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What somebody has to mend here: files that cannot be read, for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<String>,
}

impl Status {
    /// Writes it, so that a reader sees the old one or the new one.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn write(&mut self, path: &Path) -> io::Result<()> {
        self.updated = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let new = path.with_extension("new");
        // Whoever may write there may have put a link in the way.
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(&new, path)
    }

    /// # Errors
    /// When there is none, or it cannot be understood.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// What is wrong with the watcher, so that another start may mend it: not the store, and no file that it cannot read.
    pub fn ailment(&self, now: DateTime<Utc>) -> Option<String> {
        let updated = DateTime::parse_from_rfc3339(&self.updated).ok()?;
        let age = now.signed_duration_since(updated).to_std().unwrap_or_default();
        if age > STALE_AFTER {
            return Some(format!("the watcher has said nothing for {} s", age.as_secs()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_an_ailment_and_what_another_start_does_not_mend_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        let mut status = Status { last_error: Some("the store is down".into()), waiting: 3, ..Status::default() };
        status.write(&path).unwrap();
        let status = Status::read(&path).unwrap();
        assert_eq!(status.ailment(Utc::now()), None);
        let later = Utc::now() + chrono::Duration::seconds(90);
        assert!(status.ailment(later).unwrap().contains("said nothing"));
        let blocked = Status { obstacles: vec!["x cannot be read".into()], ..status };
        assert_eq!(blocked.ailment(Utc::now()), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
