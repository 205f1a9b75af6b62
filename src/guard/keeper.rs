//! The guard's own process: listens while the run lives, and does the rest when it is killed.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, statat, unlinkat};

use super::message::{Held, Message, Undo, receive};
use crate::attach::Identity;
use crate::heap_dump::{DumpDir, Growing, Layout};
use crate::store;

/// How often the JVM's files are looked at.
const LOOK: Duration = Duration::from_millis(2);

/// How long a JVM that was signalled looks for the attach file.
const STILL_LOOKS: Duration = Duration::from_millis(500);

/// What is read from a pipe at a time: as much as the JVM writes.
const PIECE: usize = 1 << 20;

/// Listens on standard input, which is the control socket, until the run is over.
pub fn keep_watch() {
    // Signals and the end of the run's terminal session are not for the guard, and no directory is kept busy by it.
    let _ = (rustix::process::setsid(), rustix::process::chdir("/"));
    let mut keeper = Keeper::default();
    while let Ok(Some((message, fds))) = receive(std::io::stdin()) {
        if matches!(message, Message::End) {
            return;
        }
        keeper.hear(message, fds);
    }
    keeper.take_over();
}

#[derive(Debug, Default)]
struct Keeper {
    limit: Duration,
    notes: BTreeMap<u64, (Undo, Vec<OwnedFd>)>,
    /// The JVM will answer here.
    dumping: Option<(Layout, OwnedFd)>,
    files: Vec<Growing>,
    pipes: Vec<std::fs::File>,
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
            Message::Hold { what: Held::File(section) } => {
                self.files.extend(fds.pop().map(|fd| Growing::new(fd.into(), section)));
            }
            Message::Hold { what: Held::Pipe } => self.pipes.extend(fds.pop().map(std::fs::File::from)),
            Message::LetGo => {
                self.dumping = None;
                self.files.clear();
                self.pipes.clear();
            }
            Message::End => {}
        }
    }

    fn take_over(mut self) {
        let end = Instant::now() + self.limit;
        let mut rest = Vec::new();
        let mut dir = None;
        for (undo, fds) in std::mem::take(&mut self.notes).into_values().rev() {
            match undo {
                Undo::DumpDir { name, identity } => dir = dump_dir(fds, name, identity),
                other => rest.push((other, fds)),
            }
        }
        if let Some((layout, connection)) = self.dumping.take() {
            self.finish_dump(layout, &connection, dir.as_ref(), end);
        }
        drop(dir);
        for (undo, fds) in rest {
            if let Err(error) = self::undo(undo, &fds) {
                log::debug!("{error}");
            }
        }
    }

    /// Whatever the JVM still writes goes nowhere, so that it neither waits nor fills the disk.
    fn finish_dump(mut self, layout: Layout, connection: &OwnedFd, dir: Option<&DumpDir>, end: Instant) {
        let mut scratch = vec![0; PIECE];
        while !answered(connection, &self.pipes) && Instant::now() < end {
            for pipe in &mut self.pipes {
                // Held for writing, too: it never ends, it is empty.
                while matches!(pipe.read(&mut scratch), Ok(n) if n > 0) {}
            }
            if let Some(dir) = dir
                && let Err(error) = crate::heap_dump::take_over_files(dir, layout, &mut self.files)
            {
                log::debug!("{error}");
            }
            for file in &mut self.files {
                let _ = file.release_all();
            }
        }
    }
}

/// Waits a moment for the JVM's last word: whatever it is, it says it once, and closes.
fn answered(connection: &OwnedFd, pipes: &[std::fs::File]) -> bool {
    let mut fds = vec![PollFd::new(connection, PollFlags::IN)];
    fds.extend(pipes.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
    let _ = poll(&mut fds, Some(&timeout));
    let ready = fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
    // Some JVMs send a first line at once.
    ready && matches!(rustix::io::read(connection, &mut [0; 4096][..]), Ok(0) | Err(_))
}

fn dump_dir(fds: Vec<OwnedFd>, name: String, identity: Identity) -> Option<DumpDir> {
    DumpDir::adopt(fds.into_iter().next()?, name, identity).ok()
}

fn undo(undo: Undo, fds: &[OwnedFd]) -> io::Result<()> {
    match (undo, fds) {
        (Undo::AttachFile { name, socket, identity }, [dir, tmp]) => {
            let begun = Instant::now();
            // A JVM that handles the signal after the file is gone prints all its threads.
            while begun.elapsed() < STILL_LOOKS && statat(tmp, &*socket, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                std::thread::sleep(LOOK);
            }
            identity.io(|| Ok(unlinkat(dir, &*name, AtFlags::empty())?))
        }
        (Undo::Tmp { socket, identity }, [root, tmp]) => {
            let _ = identity.io(|| Ok(unlinkat(tmp, &*socket, AtFlags::empty())?));
            Ok(unlinkat(root, "tmp", AtFlags::REMOVEDIR)?)
        }
        (Undo::Paths { files, dirs }, _) => {
            remove_paths(&files, &dirs);
            Ok(())
        }
        (Undo::Multipart(open), _) => store::abort(&open).map_err(io::Error::other),
        (other, _) => Err(io::Error::other(format!("descriptors are missing: {other:?}"))),
    }
}

fn remove_paths(files: &[PathBuf], dirs: &[PathBuf]) {
    for file in files {
        let _ = std::fs::remove_file(file);
    }
    for dir in dirs.iter().rev() {
        let _ = std::fs::remove_dir(dir);
    }
}
