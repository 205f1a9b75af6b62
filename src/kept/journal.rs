//! The journal of an upload, on the disk beside its file. After a crash, another process finds there the object's key,
//! the parts that the store has, and the order in which the file is to be read.
//!
//! Each event appends one line of JSON. A line that a crash has cut does not count.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, flock, linkat};
use rustix::io::Errno;

pub use super::journal_lines::{Begin, DumpOf, FORMAT, FileState, Past, SentPart, SoFar};
use super::journal_lines::{Event, parse};
use crate::base::printable::printable;
use crate::base::run_id::run_id;
use crate::files::entry::Entry;
use crate::files::private::is_private;
use crate::files::regular_file::{self, Access, NotRegular, PRIVATE};
use crate::files::rename::rename_new;
use crate::guard::{self, Undo};
use crate::kept::names::JOURNAL;
use crate::object::receipt::Receipt;
use crate::object::stored::Digest;

/// Longer than the journal of ten thousand parts; a longer file is something else.
const LONGEST: u64 = 16 << 20;

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
    format!("{file}{JOURNAL}")
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
    name.push(JOURNAL);
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

    /// Makes a new journal that replaces the present one.
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

    /// Reads the journal in `file` without locking it.
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
    file.with_end(JOURNAL)
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

#[cfg(test)]
#[path = "journal_tests.rs"]
pub(crate) mod tests;
