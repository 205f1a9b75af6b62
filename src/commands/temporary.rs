//! A place for what is compressed on its way.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::Error;
use crate::heap_dump::{DiskLimits, RoomError};
use crate::memory::is_memory;
use crate::regular_file::{self, Access};
use crate::run_id::run_id;

/// A tenth is what a dump becomes at best: less would fill the volume of the application for nothing.
pub fn least_room(bytes: u64) -> u64 {
    bytes / 10
}

/// A file without a name, where `path` lies or else among the temporary ones: gone when it is closed. Where there is
/// room for `bytes`, within the limits that were told, if there is such a place, and nowhere with less than `least`.
pub fn nameless_beside(path: &Path, bytes: u64, least: u64, limits: &DiskLimits) -> Result<File, Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut places = [parent.to_owned(), std::env::temp_dir()].map(|dir| (free_in(&dir, limits), dir));
    if places[0].0 < bytes && places[1].0 > places[0].0 {
        places.reverse();
    }
    let mut outcome = Err(io::ErrorKind::StorageFull.into());
    for (_, dir) in places.iter().filter(|(free, _)| *free >= least) {
        outcome = nameless_in(dir);
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map_err(|source| {
        let path = parent.display().to_string();
        RoomError::Io { what: "create a temporary file in", path, source }.into()
    })
}

/// overlayfs before Linux 6.10 knows no nameless files, nor does NFS.
fn nameless_in(dir: &Path) -> io::Result<File> {
    regular_file::create_nameless(dir, Access::ReadWrite).or_else(|_| unlinked_in(dir))
}

/// A file on a tmpfs is memory of this container, which has little: nothing of it counts.
fn free_in(dir: &Path, limits: &DiskLimits) -> u64 {
    let on_disk = rustix::fs::statfs(dir).is_ok_and(|fs| !is_memory(&fs));
    let room = rustix::fs::statvfs(dir).map_or(0, |room| room.f_bavail.saturating_mul(room.f_frsize));
    if on_disk { room.min(limits.left_at(dir)) } else { 0 }
}

fn unlinked_in(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!(".jmap-dump-tool-{}", run_id()));
    let file = regular_file::create(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
