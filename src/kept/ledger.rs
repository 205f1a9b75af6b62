//! The progress of a multipart upload. The ledger is in memory alone until there is a journal. From then on, another
//! process can continue the upload after a crash.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::guard::Note;
use crate::kept::journal::{Journal, SentPart, SoFar};
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
pub struct Ledger(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    open: Option<SoFar>,
    journal: Option<Journal>,
    /// For the guard, while nothing outlives this process.
    note: Option<Note>,
    begun: Begun,
    /// The object is of this process.
    wrote: bool,
    /// The digest of all that the earlier process had sent, if it had sent all.
    whole: Option<Digest>,
    /// The object is in the store already.
    present: bool,
    /// Whether what is not finished stays in the store; `None` while nobody has said so.
    stays: Option<bool>,
}

impl Ledger {
    /// Creates the ledger of an upload that has a journal from its start.
    pub fn in_journal(journal: Journal, so_far: Option<SoFar>, whole: Option<Digest>, begun: Begun) -> Self {
        let entries = Entries { open: so_far, journal: Some(journal), begun, whole, ..Entries::default() };
        Self(Arc::new(Mutex::new(entries)))
    }

    /// Creates the ledger of an upload without a journal. The object may be in the store already.
    pub fn without_journal(begun: Begun) -> Self {
        Self(Arc::new(Mutex::new(Entries { begun, ..Entries::default() })))
    }

    /// Creates the ledger of an upload that another user's journal tells of. Its parts go into a journal of our own.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn taken_over(journal: Journal, so_far: Option<SoFar>) -> io::Result<Self> {
        let entries = Entries { open: so_far, begun: Begun::Perhaps, ..Entries::default() };
        entries.copy_to(&journal)?;
        Ok(Self(Arc::new(Mutex::new(Entries { journal: Some(journal), ..entries }))))
    }

    /// More is known of what is uploaded.
    pub fn note_receipt(&self, receipt: &Receipt) {
        self.lock().tell(|journal| journal.receipt(&receipt.for_journal()));
    }

    /// All is sent, or about to be: whoever comes after a crash knows it by this.
    pub(crate) fn note_whole(&self, digest: &Digest) {
        let mut entries = self.lock();
        entries.whole = Some(digest.clone());
        entries.tell(|journal| journal.whole(digest));
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

    /// From now on it outlives this process: `journal` gets all that has happened.
    ///
    /// # Errors
    /// When the journal cannot be written; then all is as before.
    pub fn outlive(&self, journal: Journal) -> io::Result<()> {
        let mut entries = self.lock();
        entries.copy_to(&journal)?;
        entries.journal = Some(journal);
        entries.note = None;
        Ok(())
    }

    /// All that has happened, in another journal too.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn copy_to(&self, journal: &Journal) -> io::Result<()> {
        self.lock().copy_to(journal)
    }

    /// Keeps the note for the guard, until there is a journal.
    pub(crate) fn noted(&self, note: Note) {
        let mut entries = self.lock();
        if entries.journal.is_none() {
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
        entries.tell(|journal| journal.opened(store, id));
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
        entries.tell(|journal| journal.sent(number, part));
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

    /// See [`Ledger::decide`]; without a journal nothing can stay.
    pub(crate) fn stays(&self) -> Option<bool> {
        let entries = self.lock();
        if entries.journal.is_none() { Some(false) } else { entries.stays }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn copy_to(&self, journal: &Journal) -> io::Result<()> {
        if let Some(open) = &self.open {
            journal.opened(&open.store, &open.id)?;
            open.parts.iter().try_for_each(|(number, part)| journal.sent(*number, part))?;
        }
        self.whole.as_ref().map_or(Ok(()), |whole| journal.whole(whole))
    }

    /// A journal that cannot be written costs parts that are sent twice, no more.
    fn tell(&self, what: impl FnOnce(&Journal) -> io::Result<()>) {
        if let Some(Err(error)) = self.journal.as_ref().map(what) {
            log::warn!("cannot note how far the upload has come: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::entry::Entry;
    use crate::kept::journal::tests::begin;

    #[test]
    fn journal_names_a_lost_upload_until_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let open = |id: &str| SoFar { store: "s3://b".into(), id: id.into(), parts: BTreeMap::new() };
        let told = || Journal::reopen(&Entry::named(&path).unwrap()).unwrap().unwrap().1.open;
        let ledger = Ledger::in_journal(
            Journal::create(&Entry::named(&path).unwrap(), &begin()).unwrap(),
            None,
            None,
            Begun::ByUs,
        );
        ledger.opened("s3://b", "first");
        assert!(ledger.lose() && ledger.open_in("s3://b").is_none());
        drop(ledger);
        assert_eq!(told(), Some(open("first")));
        let ledger = Ledger::in_journal(
            Journal::reopen(&Entry::named(&path).unwrap()).unwrap().unwrap().0,
            None,
            None,
            Begun::ByUs,
        );
        ledger.opened("s3://b", "second");
        // The new journal of a kept dump tells everything that the old one told.
        let whole = Digest { bytes: 7, sha256: Some("abc".into()) };
        ledger.note_whole(&whole);
        let kept = dir.path().join("kept");
        ledger.copy_to(&Journal::create(&Entry::named(&kept).unwrap(), &begin()).unwrap()).unwrap();
        drop(ledger);
        assert_eq!(told(), Some(open("second")));
        let past = Journal::reopen(&Entry::named(&kept).unwrap()).unwrap().unwrap().1;
        assert_eq!((past.open, past.whole), (Some(open("second")), Some(whole)));
    }
}
