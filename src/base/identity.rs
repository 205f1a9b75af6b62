//! Another identity for one thread. The JVM checks the effective uid and gid of the process that connects
//! (`SO_PEERCRED`; JDK: `attachListener_posix.cpp`). JDK 8 wants both to be equal to its own, even from root.

use std::io;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use serde::{Deserialize, Serialize};

use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::faults::door;
use super::groups::Groups;
use super::private_memory;
use super::waiting::{joined, started};

/// The kernel tells this number of groups that have none in our user namespace (user_namespaces(7)), and takes it back
/// only where it is mapped.
const OVERFLOW: u32 = 65534;

/// An effective uid and gid, and the supplementary groups that go with them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Groups,
}

/// By uid and gid alone: the JVM looks at nothing else, and no other user may choose his groups.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        (self.uid, self.gid) == (other.uid, other.gid)
    }
}

impl Eq for Identity {}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "uid {} gid {}", self.uid, self.gid)
    }
}

/// The process may not take the identity.
#[derive(Debug, thiserror::Error)]
#[error("this process ({ours}) may not act as {wanted}")]
pub struct IdentityError {
    pub ours: Identity,
    pub wanted: Identity,
    pub source: io::Error,
}

impl Identity {
    /// One without further groups.
    pub fn new(uid: u32, gid: u32) -> Self {
        Self { uid, gid, groups: Groups::default() }
    }

    /// Ours, without its groups.
    pub fn current() -> Self {
        Self::new(geteuid().as_raw(), getegid().as_raw())
    }

    /// Runs `f` on a new thread with this identity, then ends the thread, so that nothing must be restored. The
    /// kernel's own system calls change one thread; those of libc would change the whole process.
    ///
    /// # Errors
    /// When the kernel does not let us take the identity.
    pub fn run_as<T: Send>(self, f: impl FnOnce() -> T + Send) -> Result<T, IdentityError> {
        let ours = Self::current();
        if ours == self {
            return Ok(f());
        }
        let outcome = std::thread::scope(|scope| {
            let thread = started(scope, || {
                self.take()?;
                // A seccomp filter may refuse this call. The attach matters more, so the error is ignored.
                let _ = private_memory::close_again();
                Ok(f())
            })?;
            io::Result::Ok(joined(thread))
        });
        // No thread could be started: usually the pids limit of the container.
        let result = outcome.and_then(|result| result);
        result.map_err(|source| IdentityError { ours, wanted: self, source })
    }

    /// Runs `f` as [`Identity::run_as`] does, for an `f` that returns an I/O result.
    ///
    /// # Errors
    /// Errors of `f`, or when the kernel does not let us take the identity.
    pub fn io<T: Send>(self, f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.run_as(f).map_err(io::Error::other)?
    }

    /// Takes this identity for the whole process, for good and without any capability. The process must have only one
    /// thread.
    ///
    /// # Errors
    /// When the kernel does not let us take it.
    pub fn take_for_good(self) -> io::Result<()> {
        match self.take_groups() {
            // A process without CAP_SETGID may not change its groups, even to those that it has.
            Err(_) if Self::current() == self => {}
            // With ours besides, it would have more than its process.
            Err(error) if self.lacks_groups_of_ours()? => return Err(error),
            _ => {}
        }
        self.take_ids()?;
        let none = CapabilitySet::empty();
        Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
    }

    fn take(self) -> io::Result<()> {
        match self.take_groups() {
            // Without CAP_SETGID, or in a user namespace that forbids it (user_namespaces(7), setgroups), ours stay.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                log::debug!("as {self}, with the groups of this process: {error}");
            }
            other => other?,
        }
        self.take_ids()
    }

    fn take_groups(self) -> io::Result<()> {
        let set = |groups: &[u32]| -> io::Result<()> {
            let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
            door("setgroups", || Ok(set_thread_groups(&groups)?))
        };
        set(self.groups.as_slice()).or_else(|error| match Errno::from_io_error(&error) {
            Some(Errno::INVAL) => {
                set(&self.groups.as_slice().iter().copied().filter(|it| *it != OVERFLOW).collect::<Vec<_>>())
            }
            _ => Err(error),
        })
    }

    fn lacks_groups_of_ours(self) -> io::Result<bool> {
        let mut ours = getgroups()?.into_iter().map(Gid::as_raw);
        Ok(ours.any(|group| group != self.gid && !self.groups.as_slice().contains(&group)))
    }

    /// Real, effective and saved ones.
    fn take_ids(self) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        door("setresgid", || Ok(set_thread_res_gid(gid, gid, gid)?))?;
        door("setresuid", || Ok(set_thread_res_uid(uid, uid, uid)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_identity_ends_with_its_thread() {
        let before = Identity::current();
        if before.uid != 0 {
            eprintln!("SKIP another_identity_ends_with_its_thread: not root; run the tests as root");
            return;
        }
        let nobody = Identity { groups: vec![65531, 65532].into(), ..Identity::new(65534, 65533) };
        let (seen, groups) = nobody.run_as(|| (Identity::current(), getgroups().unwrap())).unwrap();
        assert_eq!(seen, nobody);
        assert_eq!(groups.into_iter().map(Gid::as_raw).collect::<Vec<_>>(), nobody.groups.as_slice());
        assert_eq!(Identity::current(), before);
    }
}
