//! Files and standard input, opened and read with care; and what is removed of them.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::event::PollFlags;
use rustix::fs::{AtFlags, CWD, unlinkat};

use super::{Item, shown};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::gzip;
use crate::heap_dump::{NAME, NEW_JOURNAL, SORTED, SPOOL, abandoned};
use crate::journal;
use crate::regular_file::{self, Links, NotRegular};
use crate::rename::rename_new;
use crate::settings::UsageError;

/// Of a pipe nobody knows when it ends.
pub(super) fn open(item: &Item) -> Result<File, Error> {
    let open = if item.by_name { regular_file::open_named } else { regular_file::open };
    open(&item.path).map_err(|source| {
        let source = match NotRegular::of(&source) {
            Some(what) => io::Error::other(format!("{what}; '-' is standard input")),
            None => source,
        };
        UsageError::File { path: shown(&item.path), source }.into()
    })
}

/// A gzip stream that may end in the middle: what comes before is all there is.
pub(super) struct Lenient<R> {
    pub inner: R,
    pub ends_early: bool,
}

impl<R: Read> Read for Lenient<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buf) {
            Err(error) if self.ends_early && gzip::is_damage(&error) => {
                log::info!("the compressed dump ends early: {error}");
                Ok(0)
            }
            other => other,
        }
    }
}

/// Standard input, waited for no longer than the run lasts.
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

/// In a run's own directory, a file that stays without its journal gets a name that no other run removes. Its path then.
pub(super) fn named_apart(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (dir, name) = (absolute.parent().and_then(Path::file_name), absolute.file_name());
    let [dir, name] = [dir, name].map(|name| name.unwrap_or_default().to_string_lossy());
    if !abandoned::is_private(&dir) || !abandoned::is_temporary(&name) {
        return path.to_owned();
    }
    let apart = path.with_file_name(format!("kept-{name}"));
    match rename_new(CWD, path, &apart) {
        Ok(()) => apart,
        Err(error) => {
            log::warn!("cannot rename {}: {error}", path.display());
            path.to_owned()
        }
    }
}

/// A run's own directory goes with the last of what it kept there.
pub(super) fn remove_private_dir(path: &Path, run_id: &str) {
    let Some(dir) = path.parent().filter(|dir| dir.ends_with(format!("{}{run_id}", abandoned::PRIVATE))) else {
        return;
    };
    let Ok(held) = regular_file::open_dir_in(CWD, dir, Links::Refuse) else { return };
    for name in [SPOOL, NAME, SORTED, NEW_JOURNAL] {
        for name in [name.to_owned(), journal::name_for(name)] {
            let _ = unlinkat(&held, name, AtFlags::empty());
        }
    }
    // Whatever else is there keeps it.
    let _ = std::fs::remove_dir(dir);
}
