//! A place for what is compressed on its way.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use crate::error::Error;
use crate::heap_dump::RoomError;
use crate::run_id::run_id;

/// A tenth is what a dump becomes at best: less would fill the volume of the application for nothing.
pub fn least_room(bytes: u64) -> u64 {
    bytes / 10
}

/// A file without a name, where `path` lies or else among the temporary ones: gone when it is closed. Where there is
/// room for `bytes`, if there is such a place, and nowhere with less than `least`.
pub fn nameless_beside(path: &Path, bytes: u64, least: u64) -> Result<File, Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let mut places = [parent.to_owned(), std::env::temp_dir()];
    if free_in(&places[0]) < bytes && free_in(&places[1]) > free_in(&places[0]) {
        places.reverse();
    }
    if free_in(&places[0]) < least {
        let (path, source) = (places[0].display().to_string(), io::ErrorKind::StorageFull.into());
        return Err(RoomError::Io { what: "compress into", path, source }.into());
    }
    let nameless = places.iter().find_map(|dir| open(dir, flags, mode).ok());
    // overlayfs before Linux 6.10 knows no nameless files.
    let made =
        || places.iter().map(|dir| unlinked_in(dir)).reduce(Result::or).unwrap_or(Err(io::ErrorKind::NotFound.into()));
    nameless.map(File::from).map_or_else(made, Ok).map_err(|source| {
        let path = parent.display().to_string();
        RoomError::Io { what: "create a temporary file in", path, source }.into()
    })
}

fn free_in(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(0, |room| room.f_bavail.saturating_mul(room.f_frsize))
}

fn unlinked_in(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!(".jmap-dump-tool-{}", run_id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
