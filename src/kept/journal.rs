//! What an upload has done so far, on disk beside what is uploaded: whoever goes on after a crash finds the object's
//! key, the parts that the store has, and the order in which the file is to be read.
//!
//! One line of JSON for each event, only ever appended: a line that was cut by a crash is one that never was.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, flock, linkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::base::printable::printable;
use crate::base::run_id::run_id;
use crate::compress::redaction::Redaction;
use crate::files::entry::Entry;
use crate::files::private::is_private;
use crate::files::regular_file::{self, Access, NotRegular, PRIVATE};
use crate::files::rename::rename_new;
use crate::guard::{self, Undo};
use crate::object::key::ObjectKey;
use crate::object::part_size::PART_MIN;
use crate::object::receipt::Receipt;
use crate::object::stored::Digest;

/// Ends the journal's name, which begins with that of its file.
pub const SUFFIX: &str = ".upload";

/// Parts that are held in memory, two at a time: from what S3 takes to ten thousandth of 5 TB, its largest object
/// (AWS: "Amazon S3 multipart upload limits").
const PART_SIZES: std::ops::RangeInclusive<u64> = PART_MIN..=512 << 20;

/// Longer than the journal of ten thousand parts; a longer file is something else.
const LONGEST: u64 = 16 << 20;

/// Azure takes most parts of all stores (Azure: "Put Block List").
const PARTS_MAX: usize = 50_000;

/// More pieces than the parts of a dump give: 256 of them, in turn with its head.
const PIECES_MAX: usize = 100_000;

/// A file as it was when it was begun with: the next one of its name is another one. A rename changes neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    pub bytes: u64,
    /// Last change, in nanoseconds since 1970.
    pub changed: i128,
}

impl FileState {
    pub fn of(meta: &Metadata) -> Self {
        Self { bytes: meta.len(), changed: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()) }
    }
}

/// Of which JVM a dump is, and what was asked for: a run that waited for this one may have the same wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpOf {
    /// The name of the JVM's lock: a hash of its pid namespace, number and start.
    pub process: String,
    pub live: bool,
    pub redact: Option<Redaction>,
}

/// What is known before the first byte goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    pub key: ObjectKey,
    pub file: FileState,
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
    /// What is to be taken out of the file on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redact: Option<Redaction>,
    /// The text that is to lie beside the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// `None` for an upload of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump_of: Option<DumpOf>,
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
    /// All parts are out: what the object will be.
    Whole(Digest),
    /// More is known of the dump than at the beginning.
    Receipt(Box<Receipt>),
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
    pub whole: Option<Digest>,
    /// This user, or root, has written it. What another user has written gives no orders: it says which parts the store
    /// has, how the pieces lie in the file, and what is to be taken out.
    pub own: bool,
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
    #[error("others may have written {path}, which belongs to uid {uid} and has mode {mode:o}")]
    Untrusted { path: String, uid: u32, mode: u32 },
    #[error("{path}: {what}")]
    NotRegular { path: String, what: NotRegular },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl JournalError {
    pub fn hint(&self) -> String {
        match self {
            Self::Locked => "wait for the other process".into(),
            Self::Foreign => "name the file and its place: upload PROJECT APP ENV FILE".into(),
            Self::Untrusted { path, uid, .. } => {
                let path = printable(path);
                format!("see that it is as it was left; then 'chmod 600 {path}', and run as its owner, uid {uid}")
            }
            Self::NotRegular { path, .. } => format!("another program has made it: remove {}", printable(path)),
            Self::Io(_) => "let this user read and write the journal".into(),
        }
    }
}

/// The journal's name, for a file's.
pub fn name_for(file: &str) -> String {
    format!("{file}{SUFFIX}")
}

impl Entry {
    /// The name of this file's journal.
    pub fn journal(&self) -> Self {
        of(self)
    }
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

    /// A new one for `file`: nobody sees it before it is complete and locked.
    ///
    /// # Errors
    /// When there is one, or it cannot be written.
    pub fn create(file: &Entry, begin: &Begin) -> io::Result<Self> {
        match Self::make_nameless(file, begin) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Self::make(file, begin, |new, own| rename_new(new.dir(), new.name(), own.name()))
            }
            other => other,
        }
    }

    /// The same in the place of the one that is there.
    ///
    /// # Errors
    /// When it cannot be written; then that one stays.
    pub fn replace(file: &Entry, begin: &Begin) -> io::Result<Self> {
        Self::make(file, begin, Entry::replace)
    }

    /// A process that is killed before the journal has its name leaves nothing.
    fn make_nameless(file: &Entry, begin: &Begin) -> io::Result<Self> {
        let nameless = regular_file::create_nameless_in(file.dir(), ".", Access::ReadAppend)?;
        // Without CAP_DAC_READ_SEARCH it has no other name (open(2), O_TMPFILE).
        let unnamed = format!("/proc/self/fd/{}", nameless.as_raw_fd());
        let journal = Self::begin(nameless, begin)?;
        linkat(CWD, unnamed, file.dir(), of(file).name(), AtFlags::SYMLINK_FOLLOW)?;
        Ok(journal)
    }

    /// Where a file cannot be without a name: overlayfs before Linux 6.10, NFS. It is ours wherever it lies: nobody else
    /// can write it.
    fn make(file: &Entry, begin: &Begin, name: impl FnOnce(&Entry, &Entry) -> io::Result<()>) -> io::Result<Self> {
        let (own, new) = (of(file), file.with_end(&format!(".{}.new", run_id())));
        let names = Undo::Names { dirs: Vec::new(), files: vec![new.name().to_owned()] };
        let _note = guard::note(names, &[new.dir().as_fd()]);
        let made = regular_file::create_in(new.dir(), new.name(), Access::ReadAppend, PRIVATE);
        let made = made.and_then(|file| Self::begin(file, begin));
        let named = made.and_then(|journal| name(&new, &own).map(|()| journal));
        named.inspect_err(|_| drop(new.remove()))
    }

    /// The one of `file`, and what it tells; `None` when there is none.
    ///
    /// # Errors
    /// When another process keeps it, or it cannot be understood.
    pub fn reopen(of_file: &Entry) -> Result<Option<(Self, Past)>, JournalError> {
        let own = of(of_file);
        let mut file = match own.open(Access::ReadAppend) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => match NotRegular::of(&error) {
                Some(what) => return Err(JournalError::NotRegular { path: own.path().display().to_string(), what }),
                None => return Err(error.into()),
            },
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(JournalError::Locked),
            other => other.map_err(io::Error::from)?,
        }
        must_be_trusted(&file, of_file)?;
        let uid = file.metadata()?.uid();
        file.seek(SeekFrom::Start(0))?;
        let text = match regular_file::read_bounded(&file, LONGEST) {
            Err(error) if regular_file::is_refused(&error) => return Err(JournalError::Foreign),
            other => other?,
        };
        if text.is_empty() {
            // A crash came before the first line.
            own.remove()?;
            return Ok(None);
        }
        let past = Past { own: is_own(uid), ..parse(&text).ok_or(JournalError::Foreign)? };
        if text.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n")?;
        }
        Ok(Some((Self(file), past)))
    }

    /// What the journal in `file` tells, whoever keeps it.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn peek(file: File) -> Result<Past, JournalError> {
        let text = regular_file::read_bounded(file, LONGEST)?;
        parse(&text).ok_or(JournalError::Foreign)
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
    pub fn whole(&self, digest: &Digest) -> io::Result<()> {
        self.add(&Event::Whole(digest.clone()))
    }

    /// # Errors
    /// When it cannot be written.
    pub fn receipt(&self, receipt: &Receipt) -> io::Result<()> {
        self.add(&Event::Receipt(Box::new(receipt.clone())))
    }

    /// One write: another process sees all of a line, or nothing.
    fn add(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        (&self.0).write_all(&line)
    }
}

/// Where the file's own name leaves no room for the end of the journal's, there is none (NAME_MAX, 255 bytes).
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error())
}

fn is_own(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw() || uid == 0
}

/// The journal of `file`.
fn of(file: &Entry) -> Entry {
    file.with_end(SUFFIX)
}

/// Only its owner may have written it, who is known: the file's owner may say how far it came, and no more.
fn must_be_trusted(journal: &File, file: &Entry) -> Result<(), JournalError> {
    let (meta, of_file) = (journal.metadata()?, file.metadata());
    let (path, uid, mode) = (of(file).path(), meta.uid(), meta.mode() & 0o7777);
    let known = meta.nlink() == 1 && (is_own(uid) || of_file.is_ok_and(|file| file.uid() == uid));
    if known && is_private(journal, &path)? {
        return Ok(());
    }
    Err(JournalError::Untrusted { path: path.display().to_string(), uid, mode })
}

/// Pieces that do not overlap, and so are no more than the file.
fn are_apart(pieces: &[(u64, u64)], bytes: u64) -> bool {
    let mut sorted = pieces.to_vec();
    sorted.sort_unstable();
    let ends = sorted.iter().try_fold(0u64, |end, (offset, len)| {
        let next = offset.checked_add(*len)?;
        (*offset >= end).then_some(next)
    });
    ends.is_some_and(|end| pieces.is_empty() || end <= bytes)
}

/// `None` when the first line is no beginning, or one that would leave its place.
fn parse(text: &[u8]) -> Option<Past> {
    let mut events = text.split(|byte| *byte == b'\n').map(serde_json::from_slice);
    let Some(Ok(Event::Begin(mut begin))) = events.next() else { return None };
    let sound = begin.key.is_sound() && PART_SIZES.contains(&begin.part_size) && begin.order.len() <= PIECES_MAX;
    if !sound || !are_apart(&begin.order, begin.file.bytes) {
        return None;
    }
    let (mut open, mut whole): (Option<SoFar>, _) = (None, None);
    for event in events.filter_map(Result::ok) {
        match event {
            Event::Begin(_) => {}
            Event::Opened { store, id } => open = Some(SoFar { store, id, parts: BTreeMap::new() }),
            Event::Part { number, .. } if number >= PARTS_MAX => {}
            Event::Part { number, part } => {
                open.as_mut().map(|open| open.parts.insert(number, part));
            }
            Event::Whole(digest) => whole = Some(digest),
            Event::Receipt(receipt) => begin.receipt = *receipt,
        }
    }
    Some(Past { begin: *begin, open, whole, own: false })
}

#[cfg(test)]
#[path = "journal_tests.rs"]
pub(crate) mod tests;
