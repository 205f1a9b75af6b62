//! Opens and reads files and standard input with care, and removes what lies beside them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::event::PollFlags;

use super::{Item, shown};
use crate::base::deadline::Deadline;
use crate::error::Error;
use crate::files::entry::Entry;
use crate::files::regular_file::{Access, NotRegular};
use crate::kept::names::{KEPT, PRIVATE_DIR, PROOF, is_private_dir, is_temporary};
use crate::kept::removal;
use crate::settings::UsageError;

/// Opens the file. A pipe is an error, because nobody knows when it ends.
pub(super) fn open(item: &Item, entry: &Entry) -> Result<File, Error> {
    let opened = if item.by_name() { entry.open_named() } else { entry.open(Access::Read) };
    opened.map_err(|source| {
        let source = match NotRegular::of(&source) {
            Some(what) => io::Error::other(format!("{what}; '-' is standard input")),
            None => source,
        };
        UsageError::File { path: shown(&item.path), source }.into()
    })
}

/// Standard input, for which the run waits no longer than it lasts.
pub(super) struct Patient<'a> {
    pub stdin: io::Stdin,
    pub deadline: &'a Deadline,
}

impl Read for Patient<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let patience = self.deadline.remaining();
        self.deadline
            .wait(self.stdin.as_fd(), PollFlags::IN, patience, "reading standard input")
            .map_err(io::Error::other)?;
        Ok(rustix::io::read(&self.stdin, buf)?)
    }
}

/// Renames a file that stays without its journal in a run's private directory, so that no other run removes it. Returns
/// its path then.
pub(super) fn named_apart(entry: &Entry) -> PathBuf {
    let path = entry.path();
    let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let (dir, name) = (absolute.parent().and_then(Path::file_name).unwrap_or_default(), entry.name());
    if !is_private_dir(dir) || !is_temporary(name) {
        return path;
    }
    let mut apart = OsString::from(KEPT);
    apart.push(name);
    let apart = entry.sibling(apart);
    match entry.rename_new(&apart) {
        Ok(()) => apart.path(),
        Err(error) => {
            log::warn!("cannot rename {}: {error}", path.display());
            path
        }
    }
}

/// Removes the other files of a run's private directory, which are the same dump.
pub(super) fn clear_private_dir(entry: &Entry, run_id: &str) {
    let dir = entry.dir();
    if dir.path().ends_with(format!("{PRIVATE_DIR}{run_id}")) {
        let names = dir.acting(None, || Ok(dir.names()?.collect::<Vec<_>>())).unwrap_or_default();
        let files = names.into_iter().filter(|name| is_temporary(name)).map(|name| dir.entry(name));
        let _ = removal::remove(files.flat_map(|file| [file.journal(), file]));
    }
}

/// Removes a run's private directory when the last kept file has left it.
pub(super) fn remove_private_dir(entry: &Entry) {
    let name = entry.dir().path().file_name().unwrap_or_default();
    if is_private_dir(name)
        && let Ok(itself) = entry.dir().parent_entry()
    {
        let _ = entry.sibling(PROOF).remove();
        // The directory stays if it holds anything else.
        let _ = itself.remove_dir();
    }
}
