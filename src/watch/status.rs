//! How the watcher is, in one file for probes.

use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use crate::files::entry::Entry;
use crate::files::regular_file::{Access, TEXT_MAX, create_in, read_named};

/// A watcher that has not written for so long hangs, or is dead.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// The time that an upload may take after its deadline: for its abort, and a last look at the file.
const WIND_UP: Duration = Duration::from_secs(600);

/// A slow disk: some looks at a whole file and its copy know no deadline.
const SLOW: u64 = 20 << 20;

/// The file is always so long, whatever it tells: then a full disk has room for the next word.
const LENGTH: usize = 8 << 10;

/// The state of a watcher, as its status file tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When it was written, RFC 3339.
    pub updated: String,
    pub pid: u32,
    /// By then, whoever stores has said something again, RFC 3339.
    #[serde(default)]
    pub storer_due: String,
    /// The file that is being stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storing: Option<String>,
    /// Dumps that wait for the store.
    pub waiting: usize,
    pub stored: u64,
    /// Given up, because more than --max-local waited.
    pub given_up: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_stored: Option<String>,
    /// The error of the last try, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What is looked at for automatic dumps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looking_at: Option<String>,
    /// The last automatic dump, or why there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_automatic: Option<String>,
    /// Obstacles that a person has to remove: files that cannot be read, for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<String>,
}

impl Status {
    /// Notes that the storing thread is alive and idle.
    pub fn idles(&mut self) {
        (self.storing, self.storer_due) = (None, rfc3339(Utc::now() + STALE_AFTER));
    }

    /// Notes that the storing thread begins with a file of this size, and how long it may take.
    pub fn begins(&mut self, file: String, bytes: u64, limit: Duration) {
        let longest = limit + WIND_UP + Duration::from_secs(bytes / SLOW);
        (self.storing, self.storer_due) = (Some(file), rfc3339(Utc::now() + longest));
    }

    /// Notes that an object was stored.
    pub fn stores(&mut self, url: Option<String>) {
        self.stored += 1;
        self.last_stored = url;
    }

    /// Writes it, so that a reader sees the old one or the new one; on a full disk, over the old one.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn write(&mut self, file: &Entry) -> io::Result<()> {
        self.updated = rfc3339(Utc::now());
        let text = self.text()?;
        match replace(file, &text) {
            Err(error) if [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind()) => {
                write_over(file, &text)
            }
            other => other,
        }
    }

    /// As much of it as there is room for.
    fn text(&self) -> serde_json::Result<Vec<u8>> {
        let mut status = self.clone();
        loop {
            let mut text = serde_json::to_vec(&status)?;
            if text.len() < LENGTH {
                text.resize(LENGTH - 1, b' ');
                text.push(b'\n');
                return Ok(text);
            }
            if status.obstacles.is_empty() {
                (status.last_error, status.last_stored, status.last_automatic) = (None, None, None);
            }
            status.obstacles.truncate(status.obstacles.len() / 2);
        }
    }

    /// # Errors
    /// When there is none, or it cannot be understood.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&read_named(path, TEXT_MAX)?)?)
    }

    /// Returns a failure of the watcher that a restart may mend. A store that is down, or an unreadable file, is none.
    pub fn ailment(&self, now: DateTime<Utc>) -> Option<String> {
        let time = DateTime::parse_from_rfc3339;
        let (Ok(updated), Ok(due)) = (time(&self.updated), time(&self.storer_due)) else {
            return Some(format!("it does not tell the time: '{}', '{}'", self.updated, self.storer_due));
        };
        let age = now.signed_duration_since(updated).to_std().unwrap_or_default();
        if age > STALE_AFTER {
            return Some(format!("the watcher has said nothing for {} s", age.as_secs()));
        }
        let late = now.signed_duration_since(due).num_seconds();
        (late > 0).then(|| {
            let what = self.storing.as_deref().unwrap_or("no file");
            format!("whoever stores is at {what}, and {late} s late")
        })
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn replace(status: &Entry, text: &[u8]) -> io::Result<()> {
    let new = status.sibling(Path::new(status.name()).with_extension("new"));
    // Another user who may write there may have put a link in the way.
    let _ = new.remove();
    let file = create_in(new.dir(), new.name(), Access::Write, Mode::from_raw_mode(0o644));
    let written = file.and_then(|mut file| file.write_all(text)).and_then(|()| new.replace(status));
    written.inspect_err(|_| drop(new.remove()))
}

/// In the room that it has. Who reads at this moment may see half of it, and all of it the next time.
fn write_over(status: &Entry, text: &[u8]) -> io::Result<()> {
    let file = status.open(Access::Write)?;
    let meta = file.metadata()?;
    // Nobody has put another file in its place.
    let is_ours = meta.nlink() == 1 && meta.uid() == rustix::process::geteuid().as_raw();
    if !is_ours || meta.len() != LENGTH as u64 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all_at(text, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_file_has_one_length_whatever_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        let obstacles = (0..1000).map(|number| format!("{number} cannot be read")).collect();
        let mut status = Status { obstacles, last_error: Some("x".repeat(LENGTH)), ..Status::default() };
        status.write(&Entry::named(&path).unwrap()).unwrap();
        assert_eq!(path.metadata().unwrap().len(), LENGTH as u64);
        assert!(Status::read(&path).unwrap().last_error.is_none());
        let next = Status { stored: 7, ..Status::default() };
        write_over(&Entry::named(&path).unwrap(), &next.text().unwrap()).unwrap();
        assert_eq!(Status::read(&path).unwrap(), next);
        std::fs::hard_link(&path, dir.path().join("another")).unwrap();
        assert!(write_over(&Entry::named(&path).unwrap(), &next.text().unwrap()).is_err());
    }

    #[test]
    fn silent_watcher_is_ailing_and_a_blocked_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        let mut status = Status { last_error: Some("the store is down".into()), waiting: 3, ..Status::default() };
        status.idles();
        status.write(&Entry::named(&path).unwrap()).unwrap();
        let status = Status::read(&path).unwrap();
        assert_eq!(status.ailment(Utc::now()), None);
        let later = Utc::now() + chrono::Duration::seconds(90);
        assert!(status.ailment(later).unwrap().contains("said nothing"));
        let blocked = Status { obstacles: vec!["x cannot be read".into()], ..status };
        assert_eq!(blocked.ailment(Utc::now()), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn storing_watcher_may_be_silent_as_long_as_an_upload() {
        let (now, seconds) = (Utc::now(), |seconds| Utc::now() + chrono::Duration::seconds(seconds));
        let mut status = Status::default();
        status.idles();
        let at = |status: &Status, time| Status { updated: rfc3339(time), ..status.clone() }.ailment(time);
        assert_eq!(at(&status, now), None);
        assert!(at(&status, seconds(90)).unwrap().contains("at no file"));
        status.begins("java.hprof".into(), 1 << 30, Duration::from_secs(1800));
        assert_eq!(at(&status, seconds(1800)), None);
        assert!(at(&status, seconds(1800 + 700)).unwrap().contains("at java.hprof"));
    }

    #[test]
    fn a_status_that_tells_no_time_is_an_ailment() {
        let mut status = Status::default();
        status.idles();
        for (updated, due) in [("", &*status.storer_due), ("soon", &*status.storer_due), (&*rfc3339(Utc::now()), "")] {
            let status = Status { updated: updated.into(), storer_due: due.into(), ..Status::default() };
            assert!(status.ailment(Utc::now()).unwrap().contains("does not tell the time"));
        }
    }
}
