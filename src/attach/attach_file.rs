//! The attach file: with it, SIGQUIT makes the JVM open its attach listener. Removed in `Drop`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, fstat, statat, unlinkat};
use rustix::io::Errno;

use super::AttachError;
use super::handshake::POLL_EVERY;
use super::tmp::Tmp;
use crate::base::faults::door;
use crate::base::identity::Identity;
use crate::base::waiting::pause;
use crate::files::regular_file::{Access, PRIVATE, create_in};
use crate::guard::{self, Note, Undo};
use crate::jvm::Jvm;

/// Time for which the file stays after a signal that the JVM has not answered. A JVM looks for the file within tens of
/// milliseconds, or later if its signal thread waits for a processor.
pub const STAYS_AFTER_SIGNAL: Duration = Duration::from_secs(1);

/// An attach file of this run.
pub(super) struct AttachFile<'a> {
    /// True once SIGQUIT was sent. If the JVM handles it after the file is gone, it prints all its threads.
    pub signalled: bool,
    jvm: &'a Jvm,
    tmp: &'a Tmp,
    dir: OwnedFd,
    name: String,
    pub path: String,
    identity: Identity,
    _note: Note,
}

impl<'a> AttachFile<'a> {
    /// Creates the file in the JVM's current directory, or else in its temporary directory: the order in which the JVM
    /// looks (JDK: `AttachListener::is_init_trigger`).
    pub fn create(jvm: &'a Jvm, tmp: &'a Tmp, identity: Identity) -> Result<Self, AttachError> {
        let in_cwd = Self::create_in(jvm, tmp, identity, "cwd", || jvm.target.open_cwd());
        // A file in the current directory that cannot be replaced hides one in the other directory. The JVM would print
        // all its threads.
        if in_cwd.is_ok() || matches!(in_cwd, Err(AttachError::InTheWay { .. })) {
            return in_cwd;
        }
        Self::create_in(jvm, tmp, identity, &format!("root{}", jvm.temp_dir), || tmp.dir.try_clone())
    }

    fn create_in(
        jvm: &'a Jvm,
        tmp: &'a Tmp,
        identity: Identity,
        parent: &str,
        open: impl Fn() -> io::Result<OwnedFd> + Sync,
    ) -> Result<Self, AttachError> {
        let name = format!(".attach_pid{}", jvm.ns_pid);
        let path = format!("/proc/{}/{parent}/{name}", jvm.pid());
        let undo = || Undo::AttachFile { name: name.clone(), socket: tmp.socket_name.clone(), identity };
        let made = identity.io(|| {
            let dir = open()?;
            let note = guard::note(undo(), &[dir.as_fd(), tmp.dir.as_fd()]);
            create(&dir, &name, identity).map(|made| (dir, note, made))
        });
        let made = match made {
            // In a sticky directory the JVM's user cannot remove a file of root.
            Ok((dir, note, Made::InTheWay(_))) if remove(&dir, &name).is_ok() => {
                identity.io(|| create(&dir, &name, identity).map(|made| (dir, note, made)))
            }
            other => other,
        };
        match made {
            Ok((dir, _note, Made::New)) => Ok(Self { signalled: false, jvm, tmp, dir, name, path, identity, _note }),
            Ok((_, _, Made::InTheWay(what))) => Err(AttachError::InTheWay { pid: jvm.pid(), path, what }),
            Err(source) => Err(AttachError::AttachFile { pid: jvm.pid(), path, source }),
        }
    }
}

enum Made {
    New,
    /// A file of that name cannot be replaced.
    InTheWay(String),
}

/// Creates the file with the JVM's user as owner. Replaces a stale file of any owner if the rights allow it.
fn create(dir: &OwnedFd, name: &str, identity: Identity) -> io::Result<Made> {
    let make = || door("openat", || create_in(dir, name, Access::Write, PRIVATE));
    let made = match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match remove(dir, name) {
            Ok(()) => make(),
            Err(error) => return Ok(Made::InTheWay(format!("stale, and not removable: {error}"))),
        },
        // A directory that cannot be written may contain a stale file, which would hide ours.
        Err(error) if !matches!(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT)) => {
            return Ok(Made::InTheWay(format!("stale, and not removable: {error}")));
        }
        other => other,
    }?;
    // On NFS and in user namespaces the file may get another owner. The JVM would not accept it.
    if fstat(&made)?.st_uid != identity.uid {
        unlinkat(dir, name, AtFlags::empty())?;
        return Err(io::Error::other("the file system gives it another owner"));
    }
    Ok(Made::New)
}

fn remove(dir: &OwnedFd, name: &str) -> io::Result<()> {
    door("unlinkat", || Ok(unlinkat(dir, name, AtFlags::empty())?))
}

impl Drop for AttachFile<'_> {
    fn drop(&mut self) {
        let begun = Instant::now();
        while self.signalled && begun.elapsed() < STAYS_AFTER_SIGNAL && !self.tmp.has_socket(self.jvm).unwrap_or(true) {
            pause(POLL_EVERY);
        }
        let removed = self.identity.io(|| remove(&self.dir, &self.name));
        // The first call may have been interrupted, so it is repeated once.
        let removed = removed.or_else(|_| self.identity.io(|| Ok(unlinkat(&self.dir, &*self.name, AtFlags::empty())?)));
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("cannot remove the attach file {}: {error}", self.path);
        }
    }
}
