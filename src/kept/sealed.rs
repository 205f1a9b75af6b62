//! A dump that another run of this tool has compressed and sealed, for a run that waited for it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Dir;
use rustix::process::geteuid;

use super::journal::{Begin, DumpOf, FileState, Journal};
use super::names::{SPOOL, file_of, is_journal, is_private_dir};
use super::proof::Proof;
use crate::base::identity::Identity;
use crate::compress::spool::Spool;
use crate::files::entry::OTHERS_WRITE;
use crate::files::regular_file::{Access, Links, open_dir_in, open_in};
use crate::jvm::target::Target;

/// A sealed dump. It is held open, so it can be read even when its run removes it.
#[derive(Debug)]
pub struct Sealed {
    file: File,
    /// As the JVM sees it: for messages.
    pub path: String,
    pub begin: Begin,
    at: SystemTime,
    /// The SHA-256 of the object, if another user can write the file.
    sha256: Option<String>,
}

/// The newest one below the directory `candidate`, as the JVM sees it, that is of the same JVM and was asked for alike.
/// Only a dump counts that this user alone can have made, or that has root's [`Proof`].
///
/// # Errors
/// When the directory cannot be looked at.
pub fn sealed_since(
    target: &Target,
    candidate: &str,
    dump_of: &DumpOf,
    since: SystemTime,
) -> io::Result<Option<Sealed>> {
    let parent = target.open_dir(candidate)?;
    let private = names(&parent, is_private_dir)?.into_iter();
    let found = private.flat_map(|name| {
        let path = Path::new(candidate).join(&name);
        let found = in_private_dir(&parent, &path, &name);
        found.inspect_err(|error| log::debug!("{}: {error}", path.display())).unwrap_or_default()
    });
    let alike = found.filter(|sealed| sealed.begin.dump_of.as_ref() == Some(dump_of) && sealed.at >= since);
    Ok(alike.max_by_key(|sealed| sealed.at))
}

impl Sealed {
    /// The object, to be read. `go_on` is asked while that of another user is compared with its proof.
    ///
    /// # Errors
    /// Those of `go_on`; when the file cannot be read, or is not what was sealed.
    pub fn open(&self, go_on: impl Fn() -> io::Result<()>) -> io::Result<Spool> {
        let (file, order) = (self.file.try_clone()?, &self.begin.order);
        match &self.sha256 {
            Some(sha256) => Spool::adopt_hashed(file, order, sha256, go_on),
            None => Spool::adopt(file, order),
        }
    }
}

/// The application may have made any number of files there.
const NAMES_MAX: usize = 1000;

fn in_private_dir(parent: &OwnedFd, path: &Path, name: &OsStr) -> io::Result<Vec<Sealed>> {
    let dir = open_dir_in(parent, name, Links::Refuse)?;
    let meta = dir.metadata()?;
    let is_own = meta.uid() == geteuid().as_raw() && meta.mode() & OTHERS_WRITE == 0;
    if !is_own {
        return proved(&dir, &meta, path).map(|sealed| vec![sealed]);
    }
    let journals = names(&dir, is_journal)?.into_iter();
    let sealed = journals.filter_map(|journal| {
        sealed(&dir, &journal, path).inspect_err(|error| log::debug!("{}: {error}", path.join(&journal).display())).ok()
    });
    Ok(sealed.collect())
}

/// Opens a compressed dump, if it is as its journal describes it.
fn sealed(dir: &File, journal: &OsStr, path: &Path) -> io::Result<Sealed> {
    let begin = Journal::peek(&open_in(dir, journal, Access::Read)?).map_err(io::Error::other)?;
    let name = file_of(journal).ok_or(io::ErrorKind::InvalidInput)?;
    let file = open_in(dir, name, Access::Read)?;
    let is_compressed = name.as_bytes().ends_with(b".gz");
    if is_compressed && FileState::of(&file.metadata()?) == begin.file {
        let (path, at) = (path.join(name).display().to_string(), changed(&begin.file));
        return Ok(Sealed { file, path, begin, at, sha256: None });
    }
    Err(io::Error::other("it is not what its journal describes"))
}

/// The dump of another user for which root stands.
fn proved(dir: &File, of_dir: &Metadata, path: &Path) -> io::Result<Sealed> {
    if !geteuid().is_root() {
        let (uid, mode) = (of_dir.uid(), of_dir.mode());
        return Err(io::Error::other(format!("others can write there: uid {uid}, mode {mode:o}")));
    }
    let proof = Proof::read(dir)?;
    let at = proof.sealed_at();
    let Proof { sha256, mut begin, .. } = proof;
    // Only its owner's rights lead to what he has put there.
    let owner = Identity::new(of_dir.uid(), of_dir.gid());
    let open = |name: &str| owner.io(|| open_in(dir, name, Access::Read)).map(|file| (file, path.join(name)));
    // One that was kept has its object's name, and lies in order.
    let (file, path) = open(SPOOL).or_else(|_| {
        begin.order.clear();
        open(&begin.key.dump_name())
    })?;
    Ok(Sealed { file, path: path.display().to_string(), begin, at, sha256: Some(sha256) })
}

fn changed(file: &FileState) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(file.changed).unwrap_or_default())
}

fn names(dir: impl AsFd, is_wanted: impl Fn(&OsStr) -> bool) -> io::Result<Vec<OsString>> {
    let dir = open_dir_in(dir, ".", Links::Refuse)?;
    let entries = Dir::read_from(&dir)?.filter_map(Result::ok);
    let names = entries.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
    Ok(names.filter(|name| is_wanted(name)).take(NAMES_MAX).collect())
}
