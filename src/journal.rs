//! What an upload has done so far, on disk beside what is uploaded: whoever goes on after a crash finds the object's
//! key, the parts that the store has, and the order in which the file is to be read.
//!
//! One line of JSON for each event, only ever appended: a line that was cut by a crash is one that never was.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};

use crate::store::key::ObjectKey;
use crate::store::receipt::Receipt;

/// Ends the journal's name, which begins with that of its file.
pub const SUFFIX: &str = ".upload";

/// Longer than the journal of ten thousand parts; a longer file is something else.
const LONGEST: u64 = 16 << 20;

/// What is known before the first byte goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    pub key: ObjectKey,
    pub part_size: u64,
    /// Where the pieces of the object lie in the file, as (offset, length); empty when it lies in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<(u64, u64)>,
    /// It need not be whole.
    #[serde(default)]
    pub truncated: bool,
    /// The file goes when it is stored.
    #[serde(default)]
    pub delete: bool,
    /// As far as it was known.
    pub receipt: Receipt,
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentPart {
    /// What the store calls it.
    pub id: String,
    /// Of what was sent.
    pub md5: [u8; 16],
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Begin(Box<Begin>),
    /// A multipart upload was opened in this store.
    Opened {
        store: String,
        id: String,
    },
    Part {
        number: usize,
        #[serde(flatten)]
        part: SentPart,
    },
    /// The store knows the multipart upload no more.
    Lost,
}

/// A multipart upload as far as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SoFar {
    pub store: String,
    pub id: String,
    pub parts: BTreeMap<usize, SentPart>,
}

/// What a journal tells.
#[derive(Debug, PartialEq)]
pub struct Past {
    pub begin: Begin,
    pub open: Option<SoFar>,
}

/// A journal that is being kept; nobody else keeps it meanwhile.
#[derive(Debug)]
pub struct Journal(File);

/// Why there is no journal to go on with.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("another process is at it")]
    Locked,
    #[error("it is no journal of an upload")]
    Foreign,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The journal's path, for a file's.
pub fn path_for(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

impl Journal {
    /// In `file`, which is empty and open for appending.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(file: File, begin: &Begin) -> io::Result<Self> {
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let journal = Self(file);
        journal.add(&Event::Begin(Box::new(begin.clone())))?;
        Ok(journal)
    }

    /// A new one for the file at `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, begin: &Begin) -> io::Result<Self> {
        let file = options().create_new(true).mode(0o600).open(path_for(path))?;
        Self::begin(file, begin)
    }

    /// The one of the file at `path`, and what it tells; `None` when there is none.
    ///
    /// # Errors
    /// When another process keeps it, or it cannot be understood.
    pub fn reopen(path: &Path) -> Result<Option<(Self, Past)>, JournalError> {
        let mut file = match options().open(path_for(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(JournalError::Locked),
            other => other.map_err(io::Error::from)?,
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        Read::by_ref(&mut file).take(LONGEST).read_to_end(&mut text)?;
        let past = parse(&text).ok_or(JournalError::Foreign)?;
        if text.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n")?;
        }
        Ok(Some((Self(file), past)))
    }

    /// # Errors
    /// When it cannot be written.
    pub fn opened(&self, store: &str, id: &str) -> io::Result<()> {
        self.add(&Event::Opened { store: store.to_owned(), id: id.to_owned() })
    }

    /// # Errors
    /// When it cannot be written.
    pub fn sent(&self, number: usize, part: &SentPart) -> io::Result<()> {
        self.add(&Event::Part { number, part: part.clone() })
    }

    /// # Errors
    /// When it cannot be written.
    pub fn lost(&self) -> io::Result<()> {
        self.add(&Event::Lost)
    }

    /// One write: another process sees all of a line, or nothing.
    fn add(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        (&self.0).write_all(&line)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// `None` when the first line is no beginning, or one that would leave its place.
fn parse(text: &[u8]) -> Option<Past> {
    let mut events = text.split(|byte| *byte == b'\n').map(serde_json::from_slice);
    let Some(Ok(Event::Begin(begin))) = events.next() else { return None };
    if !begin.key.is_sound() {
        return None;
    }
    let mut open: Option<SoFar> = None;
    for event in events.filter_map(Result::ok) {
        match event {
            Event::Begin(_) => {}
            Event::Opened { store, id } => open = Some(SoFar { store, id, parts: BTreeMap::new() }),
            Event::Part { number, part } => {
                open.as_mut().map(|open| open.parts.insert(number, part));
            }
            Event::Lost => open = None,
        }
    }
    Some(Past { begin: *begin, open })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::key::Place;

    fn begin() -> Begin {
        let time = chrono::DateTime::from_timestamp(0, 0).unwrap();
        let key = ObjectKey::new(&Place::new("p", "a", "e").unwrap(), time, "pod", 1, "abcdef");
        Begin {
            key,
            part_size: 5 << 20,
            order: vec![(7, 3), (0, 7)],
            truncated: false,
            delete: true,
            receipt: Receipt::default(),
        }
    }

    fn part(byte: u8) -> SentPart {
        SentPart { id: format!("etag{byte}"), md5: [byte; 16] }
    }

    #[test]
    fn what_was_told_is_found_again_and_a_cut_line_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heap.hprof");
        let journal = Journal::create(&path, &begin()).unwrap();
        journal.opened("s3://b", "first").unwrap();
        journal.sent(0, &part(1)).unwrap();
        journal.lost().unwrap();
        journal.opened("s3://b", "second").unwrap();
        journal.sent(1, &part(2)).unwrap();
        (&journal.0).write_all(b"{\"part\":{\"number\":2,\"id\":\"et").unwrap();
        assert!(matches!(Journal::reopen(&path), Err(JournalError::Locked)));
        drop(journal);
        let (journal, past) = Journal::reopen(&path).unwrap().unwrap();
        journal.sent(3, &part(3)).unwrap();
        let parts = BTreeMap::from([(1, part(2))]);
        let open = SoFar { store: "s3://b".into(), id: "second".into(), parts };
        assert_eq!(past, Past { begin: begin(), open: Some(open) });
        drop(journal);
        let (_, past) = Journal::reopen(&path).unwrap().unwrap();
        assert_eq!(past.open.unwrap().parts.into_keys().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_journal_that_leads_out_of_its_place_or_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heap.hprof");
        assert!(Journal::reopen(&path).unwrap().is_none());
        let evil = serde_json::to_string(&Event::Begin(Box::new(begin()))).unwrap().replace("p/a/e", "p/../e");
        for text in [evil.as_str(), "", "{}", "hello\n"] {
            std::fs::write(path_for(&path), text).unwrap();
            assert!(matches!(Journal::reopen(&path), Err(JournalError::Foreign)), "{text}");
        }
    }
}
