//! The guard's own process: it listens while the run lives, and undoes what a killed run has left.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, statat, unlinkat};
use rustix::net::{Shutdown, shutdown};

use crate::attach::STAYS_AFTER_SIGNAL;
use crate::base::identity::Identity;
use crate::base::private_memory;
use crate::base::waiting::{joined_within, pause};
use crate::files::entry::HeldDir;
use crate::guard::companion::{receive, stay_alive};
use crate::guard::message::{Message, Undo};
use crate::heap_dump::GrowingFile;
use crate::jvm::layout::Layout;
use crate::kept::dump_dir::DumpDir;
use crate::kept::removal;
use crate::store;

/// Interval at which the guard checks the JVM's files.
const POLL_EVERY: Duration = Duration::from_millis(2);

/// Listens on standard input, which is the control socket, until the run is over.
pub fn keep_watch() {
    // The memory is closed to others, because the run sends the settings of the store.
    let _ = private_memory::close();
    stay_alive();
    let mut keeper = Keeper::default();
    loop {
        match receive(std::io::stdin()) {
            // Changes that a hung thread has not undone are still noted.
            Ok(Some((Message::End, _))) => break,
            Ok(Some((message, fds))) => keeper.hear(message, fds),
            // The message was not understood, but the run still lives.
            Err(error) if [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof].contains(&error.kind()) => {}
            Ok(None) | Err(_) => break,
        }
    }
    keeper.take_over();
}

#[derive(Debug, Default)]
struct Keeper {
    limit: Duration,
    notes: BTreeMap<u64, (Undo, Vec<OwnedFd>)>,
    /// The layout of the dump, and the connection on which the JVM will answer.
    dumping: Option<(Layout, OwnedFd)>,
    files: Vec<GrowingFile>,
}

impl Keeper {
    fn hear(&mut self, message: Message, mut fds: Vec<OwnedFd>) {
        match message {
            Message::Start { limit } => self.limit = limit,
            Message::Note { id, undo } => {
                self.notes.insert(id, (undo, fds));
            }
            Message::Forget { id } => {
                self.notes.remove(&id);
            }
            Message::Dumping { layout } => self.dumping = fds.pop().map(|connection| (layout, connection)),
            Message::Hold { section } => {
                self.files.extend(fds.pop().map(|fd| GrowingFile::new(fd.into(), section)));
            }
            Message::LetGo => {
                self.dumping = None;
                self.files.clear();
            }
            Message::End => {}
        }
    }

    fn take_over(mut self) {
        let end = Instant::now() + self.limit;
        let (mut dir, mut abort, mut rest) = (None, None, Vec::new());
        for (undo, fds) in std::mem::take(&mut self.notes).into_values().rev() {
            match undo {
                Undo::DumpDir { name, identity } => dir = dump_dir(fds, name, identity),
                // The abort begins at once, because credentials may be short-lived.
                Undo::Upload(open) => abort = Some(std::thread::spawn(move || store::abort(&open))),
                Undo::AttachFile { name, socket, identity } => {
                    let seen = fds.first().and_then(|dir| identity_of(dir, &name));
                    rest.push((Undo::AttachFile { name, socket, identity }, fds, seen));
                }
                other => rest.push((other, fds, None)),
            }
        }
        if let Some((layout, connection)) = self.dumping.take() {
            self.finish_dump(layout, &connection, dir.as_ref(), end);
        }
        drop(dir);
        for (undo, fds, seen) in rest {
            // Nobody is left to be informed of an error.
            let _ = self::undo(undo, &fds, seen);
        }
        let _ = abort.map(|abort| joined_within(abort, store::ABORTS_WITHIN));
    }

    /// Empties the files that the JVM still writes, so that it does not fill the disk. The pipes end with the run: the
    /// JVM's further writes to them fail.
    fn finish_dump(mut self, layout: Layout, connection: &OwnedFd, dir: Option<&DumpDir>, end: Instant) {
        // Half an order would keep the JVM's listener waiting for the rest.
        let _ = shutdown(connection, Shutdown::Write);
        while !answered(connection) && Instant::now() < end {
            if let Some(dir) = dir {
                let _ = crate::heap_dump::take_over_files(dir, layout, &mut self.files);
            }
            for file in &mut self.files {
                let _ = file.release_all();
            }
        }
    }
}

/// Waits a moment for the end of the JVM's answer. The JVM answers once, and closes the connection.
fn answered(connection: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(connection, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: POLL_EVERY.subsec_nanos().into() };
    let _ = poll(&mut fds, Some(&timeout));
    let ready = fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
    // Some JVMs send a first line at once, so only the end counts.
    ready && matches!(rustix::io::read(connection, &mut [0; 4096][..]), Ok(0) | Err(_))
}

fn dump_dir(fds: Vec<OwnedFd>, name: String, identity: Identity) -> Option<DumpDir> {
    DumpDir::adopt(fds.into_iter().next()?, name, identity).ok()
}

/// Identifies a file by its number and its last change: the next run may make a file of the same name.
fn identity_of(dir: &OwnedFd, name: &str) -> Option<(u64, i64, u64)> {
    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some((stat.st_ino, stat.st_ctime, stat.st_ctime_nsec))
}

fn undo(undo: Undo, fds: &[OwnedFd], seen: Option<(u64, i64, u64)>) -> io::Result<()> {
    match (undo, fds) {
        (Undo::AttachFile { name, socket, identity }, [dir, tmp]) => {
            let begun = Instant::now();
            // A JVM that handles the signal after the file is gone prints all its threads.
            let has_socket = || Ok(statat(tmp, &*socket, AtFlags::SYMLINK_NOFOLLOW)?);
            while begun.elapsed() < STAYS_AFTER_SIGNAL && identity.io(has_socket).is_err() {
                pause(POLL_EVERY);
            }
            if seen.is_some() && identity_of(dir, &name) == seen {
                identity.io(|| Ok(unlinkat(dir, &*name, AtFlags::empty())?))?;
            }
            Ok(())
        }
        (Undo::Tmp { socket, identity }, [root, tmp]) => {
            let _ = identity.io(|| Ok(unlinkat(tmp, &*socket, AtFlags::empty())?));
            let remove = || Ok(unlinkat(root, "tmp", AtFlags::REMOVEDIR)?);
            remove().or_else(|_: io::Error| identity.io(remove))
        }
        (Undo::Names { dirs, files }, [from]) => {
            remove_names(HeldDir::adopt(from.try_clone()?, ""), &dirs, &files);
            Ok(())
        }
        (other, _) => Err(io::Error::other(format!("descriptors are missing: {other:?}"))),
    }
}

/// Removes files and directories that a killed run has made. A file with a journal waits for the store, and stays. If
/// the journal is to be removed as well, the file goes.
fn remove_names(from: Arc<HeldDir>, dirs: &[OsString], files: &[OsString]) {
    let (mut last, mut made) = (Some(from), Vec::new());
    for name in dirs {
        let Some(dir) = last else { break };
        made.push(dir.entry(name));
        last = dir.below(name).ok();
    }
    let files_there = last.iter().flat_map(|dir| files.iter().map(|name| dir.entry(name)));
    let goes = files_there.filter(|file| {
        let journal = file.journal();
        !journal.exists() || files.iter().any(|name| name == journal.name())
    });
    let _ = removal::remove(goes);
    for dir in made.iter().rev() {
        let _ = dir.remove_dir();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::names::journal_name;

    #[test]
    fn a_spool_with_a_journal_stays_and_one_without_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal_name("waits");
        let names = ["waits", "half", &journal];
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for name in names {
            std::fs::write(dir.path().join("a/b").join(name), "").unwrap();
        }
        let remove = |dirs: &[&str], files: &[&str]| {
            let [dirs, files] = [dirs, files].map(|names| names.iter().map(OsString::from).collect::<Vec<_>>());
            remove_names(HeldDir::named(dir.path()).unwrap(), &dirs, &files);
        };
        let there = || names.map(|name| dir.path().join("a/b").join(name).exists());
        remove(&["a", "b"], &["waits", "half"]);
        assert_eq!(there(), [true, false, true]);
        // The object is stored, and its run was about to remove both.
        remove(&["a", "b", "none"], &["waits", &journal]);
        assert_eq!(there(), [true, false, true]);
        remove(&["a", "b"], &["waits", &journal]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
