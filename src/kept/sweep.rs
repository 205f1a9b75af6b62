//! Private directories of runs that were killed together with their guards, as when a container ends: of a dump that
//! is not whole nobody comes to remove what the disk still holds.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FlockOperation, flock, unlinkat};

use crate::base::sys::nobody_writes;
use crate::files::leases::is_of_one_kernel;
use crate::files::regular_file::{Access, Links, NotRegular, open_dir_in, open_in};
use crate::kept::names::{PROOF, is_private_dir, is_temporary};
use crate::kept::removal::Rank;

/// A directory that is younger may be of a run that has not yet locked it. The journal of a younger file may have been
/// there a moment ago.
const YOUNG: Duration = Duration::from_secs(60);

/// Holds `dir` as one that is in use, as long as the file is open; `None` where the file system knows no such locks.
pub fn hold(dir: impl AsFd) -> Option<File> {
    let dir = open(dir, ".").ok()?;
    flock(&dir, FlockOperation::NonBlockingLockShared).ok().map(|()| dir)
}

/// Removes what was abandoned in the directory `parent`.
///
/// # Errors
/// When it cannot be listed.
pub fn sweep(parent: impl AsFd) -> io::Result<()> {
    let parent = open(parent, ".")?;
    if !is_of_one_kernel(&parent)? {
        return Ok(());
    }
    for name in names(&parent, is_private_dir)? {
        match sweep_one(&parent, &name) {
            Ok(true) => log::info!("{}, which a killed run had left, is removed", name.display()),
            Ok(false) => {}
            Err(error) => log::debug!("{}, which a killed run may have left, stays: {error}", name.display()),
        }
    }
    Ok(())
}

fn sweep_one(parent: &File, name: &OsStr) -> io::Result<bool> {
    let dir = open(parent, name)?;
    let mut names = names(&dir, |_| true)?;
    if !is_old(&dir)? || flock(&dir, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    for name in &names {
        // Root's own file cannot be opened by the JVM's user, and is written at once.
        if !is_temporary(name) || name != PROOF && is_written(&dir, name)? {
            return Ok(false);
        }
    }
    names.sort_by_key(|name| Rank::of(name));
    names.iter().try_for_each(|name| unlinkat(&dir, name, AtFlags::empty()))?;
    unlinkat(parent, name, AtFlags::REMOVEDIR)?;
    Ok(true)
}

fn is_old(file: &File) -> io::Result<bool> {
    Ok(SystemTime::now().duration_since(file.metadata()?.modified()?).is_ok_and(|age| age > YOUNG))
}

/// A JVM goes on with its dump whatever became of the run; but what it writes by a link, or into a pipe that an older
/// version has left, takes no room.
fn is_written(dir: &File, name: &OsStr) -> io::Result<bool> {
    match open_in(dir, name, Access::Read) {
        Ok(file) => Ok(!is_old(&file)? || !nobody_writes(&file)?),
        Err(error) => match NotRegular::of(&error) {
            Some(what) => Ok(!what.is_fifo() && !what.is_link()),
            None => Err(error),
        },
    }
}

fn open(at: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<File> {
    open_dir_in(at, name.as_ref(), Links::Refuse)
}

/// More names than any run leaves in its directory, or runs in one place.
const NAMES_MAX: usize = 10_000;

/// All names that are `wanted`, or an error: what cannot be seen may be a journal.
fn names(dir: &File, wanted: impl Fn(&OsStr) -> bool) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name == "." || name == ".." || !wanted(&name) {
            continue;
        }
        if names.len() == NAMES_MAX {
            return Err(io::Error::other(format!("more than {NAMES_MAX} names are there")));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::names::{PRIVATE_DIR, RAW, SORTED, SPOOL, journal_name};
    use std::path::{Path, PathBuf};

    fn left(parent: &Path, id: &str, names: &[&str]) -> PathBuf {
        let dir = parent.join(format!("{PRIVATE_DIR}{id}"));
        std::fs::create_dir(&dir).unwrap();
        for name in names {
            std::fs::write(dir.join(name), name).unwrap();
            make_old(&dir.join(name));
        }
        make_old(&dir);
        dir
    }

    fn make_old(path: &Path) {
        File::open(path).unwrap().set_modified(SystemTime::now() - 2 * YOUNG).unwrap();
    }

    #[test]
    fn sweep_removes_only_unused_directories() {
        let parent = tempfile::tempdir().unwrap();
        let new = "spool.hprof.gz.abcdef.new";
        let half = left(parent.path(), "00000a", &[RAW, "heap.hprof.p0", "empty.1", SPOOL, SORTED, new, PROOF]);
        let odd = left(parent.path(), "000013", &[SPOOL]);
        let strange = OsStr::from_bytes(b"heap.hprof.p\xff");
        std::fs::write(odd.join(strange), "part").unwrap();
        [&odd.join(strange), &odd].into_iter().for_each(|path| make_old(path));
        let others = OsStr::from_bytes(b"jmap-dump-tool-00001\xff");
        std::fs::create_dir(parent.path().join(others)).unwrap();
        make_old(&parent.path().join(others));
        let empty = left(parent.path(), "00000b.gone", &[]);
        let linked = left(parent.path(), "000012", &[]);
        std::os::unix::fs::symlink("/proc/1/fd/1023", linked.join(RAW)).unwrap();
        make_old(&linked);
        let journaled = left(parent.path(), "00000c", &[SPOOL, &journal_name(SPOOL)]);
        let named = left(parent.path(), "00000d", &["20260101T000000Z_pod_1_00000d.hprof.gz"]);
        let other = left(parent.path(), "notes", &[SPOOL]);
        let (young, grows) = (left(parent.path(), "00000e", &[SPOOL]), left(parent.path(), "000011", &[SPOOL]));
        for path in [&young, &grows.join(SPOOL)] {
            File::open(path).unwrap().set_modified(SystemTime::now()).unwrap();
        }
        let (used, written) = (left(parent.path(), "00000f", &[SPOOL]), left(parent.path(), "000010", &[RAW]));
        let held = hold(File::open(&used).unwrap()).unwrap();
        let writer = File::options().write(true).open(written.join(RAW)).unwrap();
        sweep(File::open(parent.path()).unwrap()).unwrap();
        assert!(!half.exists() && !empty.exists() && !linked.exists() && !odd.exists());
        assert!(parent.path().join(others).exists());
        for stays in [&journaled, &named, &other, &young, &grows, &used, &written] {
            assert!(std::fs::read_dir(stays).unwrap().count() > 0, "{}", stays.display());
        }
        drop((held, writer));
        sweep(File::open(parent.path()).unwrap()).unwrap();
        assert!(!used.exists() && !written.exists());
    }
}
