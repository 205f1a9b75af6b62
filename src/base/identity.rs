//! Another identity for one thread. The JVM checks the effective uid and gid of the process that connects
//! (`SO_PEERCRED`; JDK: `attachListener_posix.cpp`). JDK 8 wants both to be equal to its own, even from root.

use std::io;

use rustix::process::{Gid, Uid, getegid, geteuid};
use serde::{Deserialize, Serialize};

use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::faults::door;
use super::private_memory;
use super::waiting::{joined, started};

/// An effective uid and gid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
}

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
    /// Returns the identity of this process.
    pub fn current() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
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
        // A process that already has the identity may lack the right to change its groups.
        if Self::current() == self {
            self.take_ids()?
        } else {
            self.take()?
        }
        let none = CapabilitySet::empty();
        Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
    }

    fn take(self) -> io::Result<()> {
        door("setgroups", || Ok(set_thread_groups(&[Gid::from_raw(self.gid)])?))?;
        self.take_ids()
    }

    /// Sets the real, effective and saved uid and gid.
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
        let nobody = Identity { uid: 65534, gid: 65533 };
        assert_eq!(nobody.run_as(Identity::current).unwrap(), nobody);
        assert_eq!(Identity::current(), before);
    }
}
