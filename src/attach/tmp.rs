//! The directory of the JVM's attach socket, normally /tmp, and the socket in it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{Access, AtFlags, FileType, Mode, Stat, accessat, chmodat, mkdirat, statat, unlinkat};
use rustix::io::Errno;

use super::AttachError;
use crate::base::deadline::Deadline;
use crate::base::faults::door;
use crate::base::identity::Identity;
use crate::guard::{self, Note, Undo};
use crate::jvm::{Jvm, TMP};

/// Longest path of a socket, with its NUL (unix(7), `sun_path`). The JVM first creates the socket with [`NEW`] appended
/// (JDK: `attachListener_posix.cpp`, `PosixAttachListener::init`).
const PATH_MAX: usize = 108;
const NEW: &str = ".tmp";

/// The directory of the attach socket. If this run has created it and the JVM can do without it, `Drop` removes it.
#[derive(Debug)]
pub(super) struct Tmp {
    pub dir: OwnedFd,
    root: Option<OwnedFd>,
    pub(super) identity: Identity,
    pub socket_name: String,
    /// Set if the JVM creates a missing socket again.
    expendable: OnceLock<Note>,
}

impl Tmp {
    /// Holds the directory. Creates a missing one if the rights allow it.
    pub fn open(jvm: &Jvm, identity: Identity) -> Result<Self, AttachError> {
        if let Some(there) = Self::find(jvm, identity)? {
            return Ok(there);
        }
        let (dir, root) = make(jvm).map_err(|source| no_tmp(jvm, source))?;
        let mut made = Self::of(dir, jvm, identity);
        made.root = Some(root);
        Ok(made)
    }

    /// Holds the directory, if it exists.
    pub fn find(jvm: &Jvm, identity: Identity) -> Result<Option<Self>, AttachError> {
        match identity.io(|| jvm.target.open_dir(&jvm.temp_dir)) {
            Ok(dir) => Ok(Some(Self::of(dir, jvm, identity))),
            // Only /tmp is created. A missing directory of -XX:AltTempDir is an error of the person who set it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && jvm.temp_dir == TMP => Ok(None),
            Err(source) => match identity.io(|| jvm.target.open_root()) {
                Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                    Err(AttachError::Closed { pid: jvm.pid(), source })
                }
                _ => Err(no_tmp(jvm, source)),
            },
        }
    }

    fn of(dir: OwnedFd, jvm: &Jvm, identity: Identity) -> Self {
        let socket_name = format!(".java_pid{}", jvm.ns_pid);
        Self { dir, root: None, identity, socket_name, expendable: OnceLock::new() }
    }

    /// Checks that the JVM can create its socket in the directory, before the JVM is asked to.
    pub fn must_be_writable(&self, jvm: &Jvm) -> Result<(), AttachError> {
        if jvm.temp_dir.len() + "/".len() + self.socket_name.len() + NEW.len() >= PATH_MAX {
            return Err(no_tmp(jvm, Errno::NAMETOOLONG.into()));
        }
        // accessat may check the real uid. On the thread of `Identity::io`, the real and the effective uid are equal.
        let check = || door("faccessat", || Ok(accessat(&self.dir, ".", Access::WRITE_OK, AtFlags::empty())?));
        match self.identity.io(check) {
            // A seccomp profile may forbid the call.
            Err(error) if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => Ok(()),
            other => other.map_err(|source| no_tmp(jvm, source)),
        }
    }

    /// Allows the directory to be removed at the end of this run.
    pub fn is_expendable(&self) {
        if let Some(root) = &self.root {
            let undo = Undo::Tmp { socket: self.socket_name.clone(), identity: self.identity };
            self.expendable.get_or_init(|| guard::note(undo, &[root.as_fd(), self.dir.as_fd()]));
        }
    }

    pub fn socket_path(&self, jvm: &Jvm) -> String {
        jvm.target.seen_from_here(&format!("{}/{}", jvm.temp_dir, self.socket_name))
    }

    /// Returns whether the JVM's socket exists. Another file of that name is an error.
    pub fn has_socket(&self, jvm: &Jvm) -> Result<bool, AttachError> {
        match self.socket(jvm)? {
            Some(stat) if !may_be_of(jvm, &stat) => Err(self.foreign(jvm, &stat)),
            found => Ok(found.is_some()),
        }
    }

    fn socket(&self, jvm: &Jvm) -> Result<Option<Stat>, AttachError> {
        // The directory may be open only to the JVM's user.
        let stat = || Ok(statat(&self.dir, &*self.socket_name, AtFlags::SYMLINK_NOFOLLOW)?);
        match self.identity.io(|| door("statat", stat)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.in_the_way(jvm, error.to_string())),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Socket => {
                Err(self.in_the_way(jvm, "it is not a socket".into()))
            }
            Ok(stat) => Ok(Some(stat)),
        }
    }

    /// Returns whether the JVM listens on the socket. Removes the socket that a dead JVM with the same pid has left.
    pub fn listener_answers(&self, jvm: &Jvm, deadline: &Deadline) -> Result<bool, AttachError> {
        let Some(found) = self.socket(jvm)? else { return Ok(false) };
        if !may_be_of(jvm, &found) {
            return if self.nobody_listens() { self.remove_stale(jvm, &found) } else { Err(self.foreign(jvm, &found)) };
        }
        match self.connect(jvm, deadline) {
            Ok(_) => Ok(true),
            Err(AttachError::Connect { source, .. }) if source.kind() == io::ErrorKind::ConnectionRefused => {
                self.remove_stale(jvm, &found)
            }
            // A socket of root refuses the JVM's user, whether a process listens or not.
            Err(AttachError::Connect { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied && found.st_uid != jvm.identity.uid =>
            {
                if self.nobody_listens() { self.remove_stale(jvm, &found) } else { Err(self.foreign(jvm, &found)) }
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the stale socket `found` and returns false. Returns true if the JVM has created a new socket meanwhile.
    fn remove_stale(&self, jvm: &Jvm, found: &Stat) -> Result<bool, AttachError> {
        match self.socket(jvm)? {
            None => return Ok(false),
            Some(stat) if (stat.st_dev, stat.st_ino) != (found.st_dev, found.st_ino) => return Ok(true),
            Some(_) => {}
        }
        log::info!("pid {}: removing the stale attach socket {}", jvm.pid(), self.socket_path(jvm));
        // In a sticky directory the JVM's user cannot remove a file of root.
        let removed = self.identity.io(|| self.remove_socket()).or_else(|_| self.remove_socket());
        let (pid, path, owner) = (jvm.pid(), self.socket_path(jvm), found.st_uid);
        removed.map(|()| false).map_err(|source| AttachError::Stale { pid, path, owner, source })
    }

    fn remove_socket(&self) -> io::Result<()> {
        door("unlinkat", || Ok(unlinkat(&self.dir, &*self.socket_name, AtFlags::empty())?))
    }

    fn in_the_way(&self, jvm: &Jvm, what: String) -> AttachError {
        AttachError::InTheWay { pid: jvm.pid(), path: self.socket_path(jvm), what }
    }

    fn foreign(&self, jvm: &Jvm, socket: &Stat) -> AttachError {
        let (pid, path, theirs) = (jvm.pid(), self.socket_path(jvm), jvm.identity);
        AttachError::ForeignSocket { pid, path, owner: socket.st_uid, theirs }
    }

    pub(super) fn occupied(&self, jvm: &Jvm, who: String) -> AttachError {
        AttachError::Occupied { pid: jvm.pid(), path: self.socket_path(jvm), who }
    }

    fn remove(&self, root: &OwnedFd) -> io::Result<()> {
        match self.remove_socket() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        door("unlinkat", || Ok(unlinkat(root, "tmp", AtFlags::REMOVEDIR)?))
    }
}

impl Drop for Tmp {
    fn drop(&mut self) {
        let Some(root) = &self.root else { return };
        let socket = self.identity.io(|| Ok(statat(&self.dir, &*self.socket_name, AtFlags::SYMLINK_NOFOLLOW)?));
        if socket.is_ok() && self.expendable.get().is_none() {
            log::warn!(
                "{TMP} was made for the attach socket and stays: this JVM could not be attached to again without"
            );
        } else if let Err(error) = self.remove(root).or_else(|_| self.identity.io(|| self.remove(root))) {
            log::warn!("cannot remove the {TMP} that was made for the attach socket: {error}");
        }
    }
}

/// Returns whether the JVM can have made the socket. It may have been root then.
fn may_be_of(jvm: &Jvm, socket: &Stat) -> bool {
    socket.st_uid == jvm.identity.uid || socket.st_uid == 0
}

fn no_tmp(jvm: &Jvm, source: io::Error) -> AttachError {
    AttachError::NoTmp {
        pid: jvm.pid(),
        path: jvm.target.seen_from_here(&jvm.temp_dir),
        told: jvm.temp_dir != TMP,
        source,
    }
}

/// Creates /tmp, which is missing in some images, with its usual mode. chmod sets the bits that our umask would remove.
fn make(jvm: &Jvm) -> io::Result<(OwnedFd, OwnedFd)> {
    let mode = Mode::from_raw_mode(0o1777);
    let make = || {
        let root = jvm.target.open_root()?;
        door("mkdirat", || Ok(mkdirat(&root, "tmp", mode)?))?;
        let opened = door("chmodat", || Ok(chmodat(&root, "tmp", mode, AtFlags::empty())?))
            .and_then(|()| jvm.target.open_dir(TMP));
        match opened {
            Ok(dir) => Ok((dir, root)),
            Err(error) => {
                unlinkat(&root, "tmp", AtFlags::REMOVEDIR)?;
                Err(error)
            }
        }
    };
    log::info!("pid {} has no {TMP}: making one for its attach socket", jvm.pid());
    // The root directory normally belongs to root, whatever the JVM's user is.
    make().or_else(|_| jvm.identity.io(make))
}
