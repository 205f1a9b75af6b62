//! Root's word for a dump that it has sealed in the directory of another user: another run of root believes it, and
//! sends that dump instead of pausing the application again.
//!
//! The dump and its journal belong to the JVM's user, who resumes them, and who could have planted or changed both. The
//! proof is a third file beside them, and needs no other place: containers with a read-only root, debug containers and
//! sidecars all reach this directory by `/proc/PID/root`. What it rests on, against any process of the JVM's user:
//!
//! - **Root alone can have written it.** Its owner is uid 0, its mode 0600, its link count 1. The JVM's user can rename,
//!   link or remove it in his directory, but not write it, and cannot give a file of his own to root (chown(2)). Running
//!   this tool himself makes a file of his own. uid 0 is that of our own user namespace: where the JVM's user maps
//!   himself to 0 in another one, we see his own uid.
//! - **It is no other file of root's.** It names its own inode, and only [`Proof::write`] makes its form: a journal, a
//!   receipt or a log of root that was renamed to this name, or whose text root has copied, is none.
//! - **It is of this dump and no earlier one.** It names the JVM (pid namespace, number, start), what was asked for, and
//!   when it was sealed, which must be after the wait began: a genuine proof of an earlier dump is too old.
//! - **The dump is named by its SHA-256.** No name, inode or time of the file counts, for its owner can exchange the file
//!   under an open descriptor's name, set its mtime, and change mapped pages without a new ctime. Root opens the dump as
//!   its owner, compares all of it, and every page again whenever it is read
//!   ([`PageHashes`](crate::compress::page_hashes)).
//! - **The file system is this kernel's own.** A server of FUSE or NFS could tell any owner
//!   ([`is_of_one_kernel`]).
//!
//! What the JVM's user gains is one more pause: by removing the proof or the dump. Root without CAP_DAC_OVERRIDE cannot
//! write into his directory, and leaves no proof; nor does a run that is killed before it has hashed all of its dump.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use super::dump_dir::DumpDir;
use super::journal::Begin;
use super::names::PROOF;
use crate::files::leases::is_of_one_kernel;
use crate::files::regular_file::{Access, open_in, read_bounded};
use crate::object::stored::Digest;

/// Longer than the order of all pieces and the text beside the object.
const LONGEST: u64 = 16 << 20;

/// The proof of one sealed dump.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Its own.
    inode: u64,
    /// Nanoseconds since 1970.
    sealed_at: u64,
    /// The SHA-256 of the object.
    pub sha256: String,
    /// The dump as it was sealed.
    pub begin: Begin,
}

impl Proof {
    /// Writes it into `dir`, if that is another user's and this process is root. Elsewhere the journal is proof enough.
    ///
    /// # Errors
    /// When root may not write there, or the file system is full.
    pub fn write(dir: &DumpDir, begin: Begin, digest: &Digest) -> io::Result<()> {
        if !geteuid().is_root() || !dir.is_of_another() {
            return Ok(());
        }
        // One of an attempt before.
        let _ = dir.remove_file(PROOF);
        let written = dir.create_own_file(PROOF).and_then(|file| Self::write_to(&file, begin, digest));
        written.inspect_err(|_| drop(dir.remove_file(PROOF)))
    }

    fn write_to(mut file: &File, begin: Begin, digest: &Digest) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        let sealed_at = u64::try_from(now.as_nanos()).map_err(io::Error::other)?;
        let sha256 = digest.sha256.clone().ok_or(io::ErrorKind::InvalidInput)?;
        let proof = Self { inode: file.metadata()?.ino(), sealed_at, sha256, begin };
        file.write_all(&serde_json::to_vec(&proof)?)
    }

    /// The one in `dir`.
    ///
    /// # Errors
    /// When there is none, or another user can have made it.
    pub fn read(dir: impl AsFd) -> io::Result<Self> {
        let file = open_in(dir, PROOF, Access::Read)?;
        let meta = file.metadata()?;
        if !is_of_root_alone(&meta) || !is_of_one_kernel(&file)? {
            let (uid, mode, links) = (meta.uid(), meta.mode() & 0o7777, meta.nlink());
            let what = format!("{PROOF} proves nothing: uid {uid}, mode {mode:o}, link count {links}");
            return Err(io::Error::other(what));
        }
        let proof: Self = serde_json::from_slice(&read_bounded(&file, LONGEST)?)?;
        if proof.inode == meta.ino() { Ok(proof) } else { Err(io::Error::other(format!("{PROOF} is a copy"))) }
    }

    pub fn sealed_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.sealed_at)
    }
}

fn is_of_root_alone(meta: &Metadata) -> bool {
    meta.uid() == 0 && meta.mode() & 0o7777 == 0o600 && meta.nlink() == 1
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;
    use crate::files::regular_file::{Links, PRIVATE, create_in, open_dir_in};
    use crate::kept::journal::tests::begin;

    #[test]
    fn proof_is_believed_only_as_root_has_written_it() {
        if !geteuid().is_root() {
            return eprintln!("SKIP proof_is_believed_only_as_root_has_written_it: not root; run the tests as root");
        }
        let temporary = tempfile::tempdir().unwrap();
        let (path, other) = (temporary.path().join(PROOF), temporary.path().join("other"));
        let dir = open_dir_in(rustix::fs::CWD, temporary.path(), Links::Refuse).unwrap();
        let digest = Digest { bytes: 10, sha256: Some("abc".into()) };
        let write = |name| {
            let file = create_in(&dir, name, Access::Write, PRIVATE).unwrap();
            Proof::write_to(&file, begin(), &digest).unwrap();
        };
        let refused = |why: &str| {
            let told = Proof::read(&dir).unwrap_err().to_string();
            assert!(told.contains(why), "{why}: {told}");
        };
        write(PROOF);
        let proof = Proof::read(&dir).unwrap();
        assert_eq!((proof.sha256.as_str(), &proof.begin), ("abc", &begin()));
        assert!(proof.sealed_at().elapsed().unwrap() < Duration::from_secs(10));
        chown(&path, Some(1000), None).unwrap();
        refused("uid 1000");
        chown(&path, Some(0), None).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        refused("mode 660");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        std::fs::hard_link(&path, &other).unwrap();
        refused("link count 2");
        std::fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        refused("a symbolic link");
        std::fs::remove_file(&path).unwrap();
        // Another file of root with the same text, and one that only looks like one.
        let text = std::fs::read(&other).unwrap();
        let mut copy = create_in(&dir, PROOF, Access::Write, PRIVATE).unwrap();
        copy.write_all(&text).unwrap();
        refused("a copy");
        std::fs::remove_file(&path).unwrap();
        let mut journal = create_in(&dir, PROOF, Access::Write, PRIVATE).unwrap();
        journal.write_all(&serde_json::to_vec(&serde_json::json!({ "begin": begin() })).unwrap()).unwrap();
        refused("missing field");
        std::fs::remove_file(&path).unwrap();
        let unhashed = Digest { bytes: 10, sha256: None };
        let file = create_in(&dir, PROOF, Access::Write, PRIVATE).unwrap();
        assert!(Proof::write_to(&file, begin(), &unhashed).is_err());
    }
}
