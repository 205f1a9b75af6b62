//! Removes or keeps the file and its journal when its upload has ended.

use super::input::{clear_private_dir, named_apart, remove_private_dir};
use super::{Deposit, is_damage};
use crate::compress::source::Scrutiny;
use crate::delivery::resume_command::still_there;
use crate::error::Error;
use crate::files::entry::Entry;
use crate::kept::journal::FileState;
use crate::kept::removal;
use crate::object::receipt::Receipt;
use crate::object::stored::Verified;
use crate::store::clear_spool;
use crate::store::url::StoreUrl;

impl Deposit<'_> {
    /// Removes the files that are not needed any more, or says which are still there.
    pub(super) fn end(&mut self, receipt: &mut Receipt, result: &Result<(), Error>) {
        let journal = self.entry.as_ref().map(Entry::journal);
        match result {
            Ok(()) => self.clear_up(receipt),
            Err(Error::NotStored(_) | Error::Stopped(_) | Error::Store(_)) => {
                let truncated = self.scrutiny == Scrutiny::Remains;
                let kept = |entry| still_there(entry, &self.settings, self.item.delete, truncated);
                receipt.kept = self.entry.as_ref().map(kept);
            }
            // A journal with the order of the pieces stays: without that order, the file is useless.
            Err(error) if is_damage(error) && self.journal.has_file() && self.begin.order.is_empty() => {
                let _ = journal.map(|journal| journal.remove());
            }
            Err(_) => {}
        }
    }

    /// Removes what is stored: the file, and then its journal.
    fn clear_up(&self, receipt: &mut Receipt) {
        let Some(entry) = &self.entry else { return };
        let (path, obstacle) = (&self.item.path, self.obstacle(entry, receipt));
        let delete = self.item.delete || self.begin.delete;
        let goes = delete && obstacle.is_none();
        // A dump that went to standard output is not stored.
        let is_begun = self.settings.store.url == StoreUrl::Stdout || delete && is_blanked(receipt);
        if goes {
            if let Err(error) = removal::remove(self.parts.get().into_iter().flatten().chain([entry]).cloned()) {
                receipt.warn(format!("stored, but cannot remove {}: {error}", path.display()));
            }
            clear_spool(entry);
        } else {
            let now = if is_begun { path.clone() } else { named_apart(entry) };
            match obstacle {
                Some(why) if delete => receipt.warn(format!("{} is not removed: {why}", now.display())),
                _ if now != *path => {
                    let (path, now) = (path.display(), now.display());
                    receipt.warn(format!("{path} is called {now} now, where no other run removes it"));
                }
                _ => {}
            }
        }
        if self.journal.has_file() && !is_begun {
            let _ = entry.journal().remove();
        }
        if goes && self.begin.delete {
            clear_private_dir(entry, self.begin.key.run_id());
        }
        if goes {
            remove_private_dir(entry);
        }
    }

    /// Returns the reason why the file must not be removed.
    fn obstacle(&self, entry: &Entry, receipt: &Receipt) -> Option<&'static str> {
        let is_seen = receipt.object.as_ref().is_some_and(|object| object.verified != Verified::Acknowledged);
        let is_same = entry.metadata().is_ok_and(|meta| FileState::of(&meta) == self.begin.file);
        match (is_blanked(receipt), is_seen, is_same) {
            (true, ..) => Some("it is damaged, and what could not be redacted was blanked"),
            (_, false, _) => Some("nobody can tell that it is stored"),
            (_, _, false) => Some("it has changed since it was read"),
            _ if receipt.is_damaged => Some("it is damaged"),
            _ => None,
        }
    }
}

/// Returns whether more is missing in the object than had to be redacted.
fn is_blanked(receipt: &Receipt) -> bool {
    receipt.redacted.is_some() && receipt.is_damaged
}
