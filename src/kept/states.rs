//! The states of a dump in a private directory. Each transition is one function here, which says what lies on the disk
//! before and after it, and what a crash in the middle leaves.

use std::io;
use std::os::fd::AsFd;
use std::sync::PoisonError;

use rustix::fs::{AtFlags, renameat, unlinkat};

use super::dump_dir::{DumpDir, hidden};
use super::journal::{Begin, FileState, Journal};
use super::names::{PROOF, RAW, SPOOL, journal_name};
use super::removal::Rank;
use crate::guard::{self, Note, Undo};

/// How far the dump has come.
#[derive(Debug)]
pub(super) enum State {
    /// Half a dump, or one that is whole elsewhere. It goes when the run ends. The guard has a note, and removes it when
    /// the run is killed. The guard itself has none.
    Unfinished(Option<Note>),
    /// `heap.hprof` and its journal. It goes when the run ends, for the run has gone on to another state by then.
    Raw,
    /// `spool.hprof.gz`, its journal, and root's proof. It goes when the run ends: the object is stored then.
    Sealed,
    /// The dump under the name of its object, with its journal. It stays when the run ends. `upload --resume` and
    /// `watch` store and remove it ([`removal`](super::removal)).
    Kept,
}

impl DumpDir {
    /// To [`State::Raw`], when the JVM has called its dump whole.
    ///
    /// Before, `heap.hprof` lies there. After, its journal too, which is locked as long as it is held. A crash in the
    /// middle leaves an unfinished dump.
    ///
    /// # Errors
    /// When the journal cannot be written: the dump is unfinished.
    pub fn outlive_raw(&self, begin: impl FnOnce(FileState) -> Begin) -> io::Result<Journal> {
        let journal = Journal::default();
        self.write_journal(&journal, RAW, &begin(self.state_of(RAW)?))?;
        self.becomes(State::Raw);
        Ok(journal)
    }

    /// To [`State::Sealed`], when the compressed dump is whole.
    ///
    /// Before, the spool lies there, and perhaps the raw dump with its journal. After, the spool has the journal, and
    /// the raw dump has none. A crash in the middle leaves two journals of one object, which is stored once.
    ///
    /// # Errors
    /// When the journal cannot be written: the state is the same as before.
    pub fn seal(&self, journal: &Journal, begin: &Begin) -> io::Result<()> {
        self.write_journal(journal, SPOOL, begin)?;
        self.outdate_raw(State::Sealed);
        Ok(())
    }

    /// To [`State::Unfinished`], when the compressed dump is whole in a local store, with its journal there.
    ///
    /// Before, the raw dump may lie there with its journal. After, it has none. A crash in the middle leaves two
    /// journals of one object, which is stored once.
    pub fn give_way(&self) {
        self.outdate_raw(State::Unfinished(Some(self.note())));
    }

    fn outdate_raw(&self, state: State) {
        if matches!(self.becomes(state), State::Raw) {
            let _ = self.remove_file(&journal_name(RAW));
        }
    }

    /// To [`State::Kept`]. `file` is the dump `from`, or a copy of it in the order of the object.
    ///
    /// Before, `from` lies there, with its journal if there was room for one. After, the dump and its journal have the
    /// name of the object; without room, that name alone still says whose dump it is. A crash in the middle leaves
    /// either name with a journal, and perhaps a journal without a file.
    ///
    /// # Errors
    /// When the dump cannot have that name, or would lose its journal: both are as before, and stay.
    pub fn keep_as(
        &self,
        (file, from): (&str, &str),
        name: &str,
        journal: &Journal,
        begin: impl FnOnce(FileState) -> Begin,
    ) -> io::Result<()> {
        self.keep();
        let written = self.state_of(file).and_then(|state| self.write_journal(journal, name, &begin(state)));
        if let Err(error) = written {
            log::warn!("no journal beside {}/{name}: its upload begins at its start: {error}", self.here);
            if self.has(&journal_name(from)) {
                return Err(error);
            }
        }
        self.rename_file(file, name).inspect_err(|error| {
            log::warn!("cannot rename {}/{file}: {error}", self.here);
            let _ = self.remove_file(&journal_name(name));
        })?;
        self.remove_dump(from);
        Ok(())
    }

    /// To [`State::Kept`], without a journal: no run removes the dump, and no run stores it.
    ///
    /// Before, the spool lies there with its journal. After, `file`, which is the spool or a copy of it, is called
    /// `name`. A crash in the middle leaves both names, or a journal without a file.
    ///
    /// # Errors
    /// When the dump cannot have that name: all is as before, and stays.
    pub fn keep_unverified(&self, file: &str, name: &str) -> io::Result<()> {
        self.keep();
        self.rename_file(file, name)?;
        self.remove_dump(SPOOL);
        let _ = self.remove_file(PROOF);
        Ok(())
    }

    /// To [`State::Kept`], with all names as they are.
    pub fn keep(&self) {
        self.becomes(State::Kept);
    }

    /// Returns whether the dump `file` has a journal.
    pub fn has_journal(&self, file: &str) -> bool {
        self.has(&journal_name(file))
    }

    /// Writes the journal of the dump `file`.
    ///
    /// # Errors
    /// When there is one, or it cannot be written.
    pub fn write_journal(&self, journal: &Journal, file: &str, begin: &Begin) -> io::Result<()> {
        self.identity.io(|| journal.write_beside(&self.dir.entry(file), begin))
    }

    fn state_of(&self, file: &str) -> io::Result<FileState> {
        Ok(FileState::of(&self.open_file(file)?.metadata()?))
    }

    fn remove_dump(&self, file: &str) {
        let _ = self.remove_file(file);
        let _ = self.remove_file(&journal_name(file));
    }

    fn becomes(&self, state: State) -> State {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    /// Lets the guard remove the directory when this process is killed.
    fn note(&self) -> Note {
        let undo = Undo::DumpDir { name: self.name.clone(), identity: self.identity };
        guard::note(undo, &[self.parent.as_fd()])
    }

    /// The JVM may add or remove a file between the listing and the removal, so it is tried again.
    fn remove(&self) -> io::Result<()> {
        // A JVM that comes late finds no path into it, and makes no file where a link was. It may be renamed already.
        let _ = renameat(&self.parent, &self.name, &self.parent, hidden(&self.name));
        let mut outcome = Ok(());
        for _ in 0..3 {
            for rank in Rank::ALL {
                self.each_name(|name| if Rank::of(name) == rank { self.unlink(name) } else { Ok(()) })?;
            }
            outcome = unlinkat(&self.parent, hidden(&self.name), AtFlags::REMOVEDIR)
                .or_else(|_| unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR));
            if outcome.is_ok() {
                break;
            }
        }
        Ok(outcome?)
    }
}

/// A crash in the middle leaves an unfinished dump: the guard removes the rest.
impl Drop for DumpDir {
    fn drop(&mut self) {
        let _note = match self.becomes(State::Unfinished(None)) {
            State::Kept => return,
            State::Unfinished(Some(note)) => note,
            State::Unfinished(None) | State::Raw | State::Sealed => self.note(),
        };
        // To list the directory takes a descriptor, and this may be the last one.
        self.held = None;
        if let Err(error) = self.identity.io(|| self.remove()) {
            log::warn!("cannot remove {}: {error}; remove it by hand", self.here);
        }
    }
}
