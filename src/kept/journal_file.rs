//! The file of a journal: made whole and locked, or opened with care. Nobody else has it meanwhile.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, flock, linkat};
use rustix::io::Errno;

use crate::base::faults::door;
use crate::base::printable::printable;
use crate::base::run_id::run_id;
use crate::files::entry::Entry;
use crate::files::private::is_private;
use crate::files::regular_file::{self, Access, NotRegular, PRIVATE};
use crate::files::rename::rename_new;
use crate::guard::{self, Undo};
use crate::kept::names::{JOURNAL, NEW};

/// Longer than the journal of ten thousand parts; a longer file is something else.
const LONGEST: u64 = 16 << 20;

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

impl Entry {
    /// The name of this file's journal.
    pub fn journal(&self) -> Self {
        self.with_end(JOURNAL)
    }
}

/// The journal's path, for a file's.
pub fn path_for(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(JOURNAL);
    name.into()
}

/// Makes the journal of `file`. Nobody sees it before it is complete and locked.
///
/// # Errors
/// When there is one, or it cannot be written.
pub(super) fn create(file: &Entry, text: &[u8]) -> io::Result<File> {
    door("write a journal", || match make_nameless(file, text) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            make(file, text, |new, own| rename_new(new.dir(), new.name(), own.name()))
        }
        other => other,
    })
}

/// Makes a journal that replaces the present one.
///
/// # Errors
/// When it cannot be written; then that one stays.
pub(super) fn replace(file: &Entry, text: &[u8]) -> io::Result<File> {
    make(file, text, Entry::replace)
}

/// A process that is killed before the journal has its name leaves nothing.
pub(super) fn make_nameless(file: &Entry, text: &[u8]) -> io::Result<File> {
    let nameless = regular_file::create_nameless_in(file.dir(), ".", Access::ReadAppend)?;
    fill(&nameless, text)?;
    // Without CAP_DAC_READ_SEARCH it has no other name (open(2), O_TMPFILE).
    let unnamed = format!("/proc/self/fd/{}", nameless.as_raw_fd());
    linkat(CWD, unnamed, file.dir(), file.journal().name(), AtFlags::SYMLINK_FOLLOW)?;
    Ok(nameless)
}

/// Where a file cannot be without a name: overlayfs before Linux 6.10, NFS. It is ours wherever it lies: nobody else
/// can write it.
fn make(file: &Entry, text: &[u8], name: impl FnOnce(&Entry, &Entry) -> io::Result<()>) -> io::Result<File> {
    let (own, new) = (file.journal(), file.with_end(&format!(".{}{NEW}", run_id())));
    let names = Undo::Names { dirs: Vec::new(), files: vec![new.name().to_owned()] };
    let _note = guard::note(names, &[new.dir().as_fd()]);
    let made = regular_file::create_in(new.dir(), new.name(), Access::ReadAppend, PRIVATE);
    let made = made.and_then(|file| fill(&file, text).map(|()| file));
    let named = made.and_then(|file| name(&new, &own).map(|()| file));
    named.inspect_err(|_| drop(new.remove()))
}

fn fill(mut file: &File, text: &[u8]) -> io::Result<()> {
    flock(file, FlockOperation::NonBlockingLockExclusive)?;
    file.write_all(text)
}

/// A journal that an earlier process has left, with its lines.
pub(super) struct Found {
    pub file: File,
    pub text: Vec<u8>,
    /// This user, or root, has written it.
    pub own: bool,
}

/// Opens and locks the journal of a file; `None` when there is none.
///
/// # Errors
/// When another process keeps it, or others may have written it.
pub(super) fn open(of_file: &Entry) -> Result<Option<Found>, JournalError> {
    let own = of_file.journal();
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
    let text = read(&file)?;
    if text.is_empty() {
        // A crash came before the first line.
        own.remove()?;
        return Ok(None);
    }
    Ok(Some(Found { file, text, own: is_own(uid) }))
}

/// # Errors
/// When it cannot be read, or is too long for a journal.
pub(super) fn read(file: &File) -> Result<Vec<u8>, JournalError> {
    match regular_file::read_bounded(file, LONGEST) {
        Err(error) if regular_file::is_refused(&error) => Err(JournalError::Foreign),
        other => Ok(other?),
    }
}

/// Where the file's own name leaves no room for the end of the journal's, there is none (NAME_MAX, 255 bytes).
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error())
}

fn is_own(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw() || uid == 0
}

/// Only its owner may have written it, who is known: the file's owner may say how far it came, and no more.
fn must_be_trusted(journal: &File, file: &Entry) -> Result<(), JournalError> {
    let (meta, of_file) = (journal.metadata()?, file.metadata());
    let (path, uid, mode) = (file.journal().path(), meta.uid(), meta.mode() & 0o7777);
    let known = meta.nlink() == 1 && (is_own(uid) || of_file.is_ok_and(|file| file.uid() == uid));
    if known && is_private(journal, &path)? {
        return Ok(());
    }
    Err(JournalError::Untrusted { path: path.display().to_string(), uid, mode })
}
