//! What becomes of the file and its journal when its upload has ended.

use std::io;
use std::path::Path;

use super::input::{named_apart, remove_private_dir};
use super::{Deposit, is_damaged, shown};
use crate::commands::keep;
use crate::error::Error;
use crate::journal::{self, FileState};
use crate::store::clear_spool;
use crate::store::receipt::Receipt;
use crate::store::url::StoreUrl;

impl Deposit<'_> {
    /// Removes what is not needed any more, or says what is still there.
    pub(super) fn end(&mut self, receipt: &mut Receipt, result: &Result<(), Error>) {
        let path = &self.item.path;
        match result {
            Ok(()) => self.clear_up(receipt),
            Err(Error::NotStored(_) | Error::Stopped(_) | Error::Store(_)) if path != Path::new("-") => {
                receipt.kept = Some(keep::still_there(&shown(path), &self.settings));
            }
            // Only what this attempt has begun: another one's may know the order of the pieces.
            Err(_) if is_damaged(result) && self.ledger.is_some() && !self.resumed => {
                let _ = std::fs::remove_file(journal::path_for(path));
            }
            Err(_) => {}
        }
    }

    /// The file goes before its journal: a journal without a file means nothing, a file without one would be stored again.
    fn clear_up(&self, receipt: &mut Receipt) {
        let (path, obstacle) = (&self.item.path, self.obstacle(receipt));
        let delete = (self.item.delete || self.begin.delete) && path != Path::new("-");
        let goes = delete && obstacle.is_none();
        // To look at a dump on standard output is not to store it.
        let is_begun = self.settings.store.url == StoreUrl::Stdout || delete && is_blanked(receipt);
        if goes {
            if let Err(error) = self.remove_files() {
                receipt.warn(format!("stored, but cannot remove {}: {error}", path.display()));
            }
            clear_spool(path);
        } else {
            let now = if is_begun { path.clone() } else { named_apart(path) };
            match obstacle {
                Some(why) if delete => receipt.warn(format!("{} is not removed: {why}", now.display())),
                _ if now != *path => {
                    let (path, now) = (path.display(), now.display());
                    receipt.warn(format!("{path} is called {now} now, where no other run removes it"));
                }
                _ => {}
            }
        }
        if self.ledger.is_some() && !is_begun {
            let _ = std::fs::remove_file(journal::path_for(path));
        }
        if goes && self.begin.delete {
            remove_private_dir(path, self.begin.key.run_id());
        }
    }

    /// Why the file must not go.
    fn obstacle(&self, receipt: &Receipt) -> Option<&'static str> {
        let is_seen = receipt.object.as_ref().is_some_and(|object| !object.is_unverified());
        let meta = std::fs::symlink_metadata(&self.item.path);
        let is_same = meta.is_ok_and(|meta| FileState::of(&meta) == self.begin.file);
        match (is_blanked(receipt), is_seen, is_same) {
            (true, ..) => Some("it is damaged, and what could not be redacted was blanked"),
            (_, false, _) => Some("nobody can tell that it is stored"),
            (_, _, false) => Some("it has changed since it was read"),
            _ => None,
        }
    }

    /// The parts first: without their dump they would be stored by themselves.
    fn remove_files(&self) -> io::Result<()> {
        self.parts.get().into_iter().flatten().try_for_each(std::fs::remove_file)?;
        std::fs::remove_file(&self.item.path)
    }
}

/// More than had to be taken out is not in the object.
fn is_blanked(receipt: &Receipt) -> bool {
    let walk = receipt.dump.as_ref().and_then(|dump| dump.walk.as_ref());
    receipt.redacted.is_some() && walk.is_some_and(|walk| walk.damage.is_some())
}
