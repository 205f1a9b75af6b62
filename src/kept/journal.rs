//! The journal of an upload: the parts that the store has, and what the object will be. It is in memory alone until it
//! gets a file, on the disk beside that of the dump. From then on, another process can continue the upload after a
//! crash: it finds there the object's key, and the order in which the file is to be read.
//!
//! Each event appends one line of JSON. A line that a crash has cut does not count.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::journal_file::{self, Found};
pub use super::journal_file::{JournalError, path_for};
pub use super::journal_lines::{Begin, DumpOf, FORMAT, FileState, SentPart, SoFar};
use super::journal_lines::{Event, Told, line, parse};
use crate::files::entry::Entry;
use crate::guard::Note;
use crate::object::receipt::Receipt;
use crate::object::stored::Digest;

/// Whether an upload was begun before this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Begun {
    #[default]
    Never,
    /// The object may be there, and who has put it there is unknown.
    Perhaps,
    /// By a journal that nobody else has written: what is there is of the same upload.
    ByUs,
}

/// Shared by the stages and the thread that uploads.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    open: Option<SoFar>,
    /// The digest of all that was sent, if all was sent.
    whole: Option<Digest>,
    begun: Begun,
    /// The object is of this process.
    wrote: bool,
    /// The object is in the store already.
    present: bool,
    /// Whether what is not finished stays in the store; `None` while nobody has said so.
    stays: Option<bool>,
    /// The last one is written. The others stay locked, so that nobody takes the file that they lie beside.
    files: Vec<File>,
    /// For the guard, while nothing outlives this process.
    note: Option<Note>,
}

/// A journal that an earlier process has left, and this one holds.
#[derive(Debug)]
pub struct Past {
    pub begin: Begin,
    /// This user, or root, has written it. What another user has written gives no orders: it says which parts the store
    /// has, how the pieces lie in the file, and what is to be taken out.
    pub own: bool,
    pub journal: Journal,
}

/// An upload that is open in a store, and that nobody goes on with.
#[derive(Debug)]
pub struct Unfinished {
    pub store: String,
    pub key: String,
    pub id: String,
}

impl Past {
    /// The upload that is open in the store. The journal of another user is no reason to abort one.
    pub fn unfinished(&self) -> Option<Unfinished> {
        let open = self.journal.so_far().filter(|_| self.own)?;
        Some(Unfinished { store: open.store, key: self.begin.key.dump(), id: open.id })
    }
}

impl Journal {
    /// One in memory, of an upload that may have been begun before.
    pub fn new(begun: Begun, open: Option<SoFar>) -> Self {
        Self(Arc::new(Mutex::new(Entries { begun, open, ..Entries::default() })))
    }

    /// The one of `file`; `None` when there is none.
    ///
    /// # Errors
    /// When another process keeps it, or it cannot be understood.
    pub fn reopen(file: &Entry) -> Result<Option<Past>, JournalError> {
        let Some(Found { mut file, text, own }) = journal_file::open(file)? else { return Ok(None) };
        let Told { begin, open, whole } = parse(&text).ok_or(JournalError::Foreign)?;
        if text.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n")?;
        }
        let begun = if own { Begun::ByUs } else { Begun::Perhaps };
        let entries = Entries { open, whole, begun, files: vec![file], ..Entries::default() };
        Ok(Some(Past { begin, own, journal: Self(Arc::new(Mutex::new(entries))) }))
    }

    /// Reads the first line of the journal in `file` without locking it.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn peek(file: &File) -> Result<Begin, JournalError> {
        parse(&journal_file::read(file)?).map(|told| told.begin).ok_or(JournalError::Foreign)
    }

    /// From now on it outlives this process: a new file beside `file` gets all that has happened.
    ///
    /// # Errors
    /// When there is a journal, or it cannot be written; then all is as before.
    pub fn write_beside(&self, file: &Entry, begin: &Begin) -> io::Result<()> {
        self.write(begin, |text| journal_file::create(file, text))
    }

    /// The same, in the place of the present journal.
    ///
    /// # Errors
    /// When it cannot be written; then all is as before.
    pub fn write_over(&self, file: &Entry, begin: &Begin) -> io::Result<()> {
        self.write(begin, |text| journal_file::replace(file, text))
    }

    fn write(&self, begin: &Begin, make: impl FnOnce(&[u8]) -> io::Result<File>) -> io::Result<()> {
        let mut entries = self.lock();
        let made = make(&entries.lines(begin)?)?;
        entries.files.push(made);
        entries.note = None;
        Ok(())
    }

    pub fn has_file(&self) -> bool {
        !self.lock().files.is_empty()
    }

    /// The multipart upload as far as it came.
    pub fn so_far(&self) -> Option<SoFar> {
        self.lock().open.clone()
    }

    /// More is known of what is uploaded.
    pub fn note_receipt(&self, receipt: &Receipt) {
        self.lock().tell(|| Event::Receipt(Box::new(receipt.for_journal())));
    }

    /// All is sent, or about to be: whoever comes after a crash knows it by this.
    pub(crate) fn note_whole(&self, digest: &Digest) {
        let mut entries = self.lock();
        entries.whole = Some(digest.clone());
        entries.tell(|| Event::Whole(digest.clone()));
    }

    pub(crate) fn found(&self) {
        self.lock().present = true;
    }

    /// Returns the digest of an object that an earlier process has stored.
    pub(crate) fn stored_before(&self) -> Option<Digest> {
        let entries = self.lock();
        entries.whole.clone().filter(|_| entries.present)
    }

    /// All that an earlier process had sent, whether or not it arrived.
    pub(crate) fn sent_before(&self) -> Option<Digest> {
        let entries = self.lock();
        entries.whole.clone().filter(|_| entries.begun != Begun::Never)
    }

    /// Keeps the note for the guard, until there is a file.
    pub(crate) fn noted(&self, note: Note) {
        let mut entries = self.lock();
        if entries.files.is_empty() {
            entries.note = Some(note);
        }
    }

    /// Nothing is left to undo.
    pub(crate) fn settle(&self) {
        self.lock().note = None;
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.lock().begun != Begun::Never
    }

    /// A journal that nobody else has written says that the upload was begun.
    pub(crate) fn is_by_us(&self) -> bool {
        self.lock().begun == Begun::ByUs
    }

    /// The object is complete, by this process.
    pub(crate) fn wrote(&self) {
        self.lock().wrote = true;
    }

    /// Whether what lies beside the object is ours to replace: its receipt, for example.
    pub(crate) fn may_replace_beside(&self) -> bool {
        let entries = self.lock();
        entries.wrote || entries.begun == Begun::ByUs
    }

    /// The multipart upload that was opened in `store` before.
    pub(crate) fn open_in(&self, store: &str) -> Option<String> {
        let entries = self.lock();
        entries.open.as_ref().filter(|open| open.store == store).map(|open| open.id.clone())
    }

    pub(crate) fn opened(&self, store: &str, id: &str) {
        let mut entries = self.lock();
        entries.open = Some(SoFar { store: store.to_owned(), id: id.to_owned(), parts: BTreeMap::new() });
        entries.tell(|| Event::Opened { store: store.to_owned(), id: id.to_owned() });
    }

    /// The part of this number, when the store has it with this content.
    pub(crate) fn part(&self, number: usize, md5: &[u8; 16]) -> Option<SentPart> {
        let entries = self.lock();
        entries.open.as_ref()?.parts.get(&number).filter(|part| part.md5 == *md5).cloned()
    }

    pub(crate) fn sent(&self, number: usize, part: &SentPart) {
        let mut entries = self.lock();
        if let Some(open) = &mut entries.open {
            open.parts.insert(number, part.clone());
        }
        entries.tell(|| Event::Part { number, part: part.clone() });
    }

    /// The store seems to know the multipart upload no more; true when that was one of another process. The journal
    /// tells it until the next one is opened: without the right to it, a store may say the same.
    pub fn lose(&self) -> bool {
        let mut entries = self.lock();
        entries.open = None;
        std::mem::take(&mut entries.begun) != Begun::Never
    }

    /// Whether what is not finished stays in the store.
    pub fn decide(&self, stays: bool) {
        self.lock().stays.get_or_insert(stays);
    }

    /// See [`Journal::decide`]; without a file nothing can stay.
    pub(crate) fn stays(&self) -> Option<bool> {
        let entries = self.lock();
        if entries.files.is_empty() { Some(false) } else { entries.stays }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// The lines of a new file: all that has happened.
    fn lines(&self, begin: &Begin) -> io::Result<Vec<u8>> {
        let mut events = vec![Event::Begin(Box::new(begin.clone()))];
        if let Some(open) = &self.open {
            events.push(Event::Opened { store: open.store.clone(), id: open.id.clone() });
            events.extend(open.parts.iter().map(|(number, part)| Event::Part { number: *number, part: part.clone() }));
        }
        events.extend(self.whole.clone().map(Event::Whole));
        let lines: io::Result<Vec<Vec<u8>>> = events.iter().map(line).collect();
        Ok(lines?.concat())
    }

    /// One write: another process sees all of a line, or nothing. A journal that cannot be written costs parts that are
    /// sent twice, no more.
    fn tell(&self, event: impl FnOnce() -> Event) {
        let told = self.files.last().map(|mut file| line(&event()).and_then(|line| file.write_all(&line)));
        if let Some(Err(error)) = told {
            log::warn!("cannot note how far the upload has come: {error}");
        }
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
pub(crate) mod tests;
