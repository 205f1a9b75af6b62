//! A dump that another run of this tool has compressed and sealed, for a run that waited for it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Dir;
use rustix::process::geteuid;

use super::journal::{DumpOf, FileState, Journal, Past, SUFFIX};
use super::sweep;
use crate::files::entry::OTHERS_WRITE;
use crate::files::regular_file::{Access, Links, open_dir_in, open_in};
use crate::jvm::target::Target;

/// See the module's words. It is open, and so can be read when that run removes it.
#[derive(Debug)]
pub struct Sealed {
    pub file: File,
    /// As the JVM sees it: for messages.
    pub path: String,
    pub past: Past,
}

/// The newest one below the directory `candidate`, as the JVM sees it, that is of the same JVM and was asked for alike.
/// Only what this user alone can have made counts. A dump that root has made of an application's JVM lies in a directory
/// of the application, which could have put anything there: it is dumped once more.
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
    let private = names(&parent, sweep::is_private)?.into_iter();
    let found = private.flat_map(|name| {
        let found = in_private_dir(&parent, candidate, &name);
        found.inspect_err(|error| log::debug!("{candidate}/{name}: {error}")).unwrap_or_default()
    });
    let alike = found.filter(|sealed| {
        sealed.past.begin.dump_of.as_ref() == Some(dump_of) && changed(&sealed.past.begin.file) >= since
    });
    Ok(alike.max_by_key(|sealed| sealed.past.begin.file.changed))
}

/// The application may have made any number of files there.
const NAMES_MAX: usize = 1000;

fn in_private_dir(parent: &OwnedFd, candidate: &str, name: &str) -> io::Result<Vec<Sealed>> {
    let dir = open_dir_in(parent, name, Links::Refuse)?;
    let meta = dir.metadata()?;
    if meta.uid() != geteuid().as_raw() || meta.mode() & OTHERS_WRITE != 0 {
        return Err(io::Error::other(format!("others can write there: uid {}, mode {:o}", meta.uid(), meta.mode())));
    }
    let journals = names(&dir, |name| name.ends_with(SUFFIX))?.into_iter();
    let journals = journals.filter_map(|name| name.strip_suffix(SUFFIX).map(str::to_owned));
    let sealed = journals.filter_map(|file| {
        let path = format!("{}/{name}/{file}", candidate.trim_end_matches('/'));
        sealed(&dir, &file, path).inspect_err(|error| log::debug!("{name}/{file}: {error}")).ok()
    });
    Ok(sealed.collect())
}

/// What is compressed, and as its journal describes it.
fn sealed(dir: &File, name: &str, path: String) -> io::Result<Sealed> {
    let past = Journal::peek(open_in(dir, format!("{name}{SUFFIX}"), Access::Read)?).map_err(io::Error::other)?;
    let file = open_in(dir, name, Access::Read)?;
    let is_compressed = name.ends_with(".gz");
    if is_compressed && FileState::of(&file.metadata()?) == past.begin.file {
        return Ok(Sealed { file, path, past });
    }
    Err(io::Error::other("it is not what its journal describes"))
}

fn changed(file: &FileState) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(file.changed).unwrap_or_default())
}

fn names(dir: impl AsFd, is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let dir = open_dir_in(dir, ".", Links::Refuse)?;
    let entries = Dir::read_from(&dir)?.filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| is_wanted(name)).take(NAMES_MAX).collect())
}
