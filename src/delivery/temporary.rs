//! Creates temporary files for compressed bytes.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::run_id::run_id;
use crate::error::Error;
use crate::files::entry::HeldDir;
use crate::files::regular_file::{Access, PRIVATE, create_in, create_nameless_in};
use crate::heap_dump::{DiskLimits, RoomError};
use crate::jvm::memory::is_memory;
use crate::kept::names::PRIVATE_DIR;

/// Returns the least room for a compressed copy, in bytes: a tenth, which is the best case. With less room, the copy
/// would fill the application's volume for nothing.
pub fn least_room(bytes: u64) -> u64 {
    bytes / 10
}

/// Creates a file without a name, which is gone when it is closed. The file lies in `dir` or in the directory for
/// temporary files, preferably where there is room for `bytes` within `limits`. No directory is used that has less than
/// `least`.
pub fn nameless_in_or_elsewhere(
    dir: io::Result<Arc<HeldDir>>,
    bytes: u64,
    least: u64,
    limits: &DiskLimits,
) -> Result<File, Error> {
    let path = dir.as_ref().map_or_else(|_| PathBuf::from("."), |dir| dir.path().to_owned());
    let dirs = [dir, HeldDir::named(&std::env::temp_dir())].into_iter().flatten();
    let mut places: Vec<_> = dirs.map(|dir| (free_in(&dir, limits), dir)).collect();
    if places.len() == 2 && places[0].0 < bytes && places[1].0 > places[0].0 {
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
        let path = path.display().to_string();
        RoomError::Io { what: "create a temporary file in", path, source }.into()
    })
}

/// Creates a file without a name. overlayfs before Linux 6.10 and NFS have none, so a file is unlinked there.
fn nameless_in(dir: &Arc<HeldDir>) -> io::Result<File> {
    create_nameless_in(dir, ".", Access::ReadWrite).or_else(|_| unlinked_in(dir))
}

/// Returns the free bytes of a disk. A tmpfs is memory of this container, which has little, so it counts as 0.
fn free_in(dir: &HeldDir, limits: &DiskLimits) -> u64 {
    let on_disk = rustix::fs::fstatfs(dir).is_ok_and(|fs| !is_memory(&fs));
    let room = rustix::fs::fstatvfs(dir).map_or(0, |room| room.f_bavail.saturating_mul(room.f_frsize));
    if on_disk { room.min(limits.left_at(&dir.real_path())) } else { 0 }
}

fn unlinked_in(dir: &Arc<HeldDir>) -> io::Result<File> {
    let entry = dir.entry(format!(".{PRIVATE_DIR}{}", run_id()));
    let file = create_in(dir, entry.name(), Access::ReadWrite, PRIVATE)?;
    entry.remove()?;
    Ok(file)
}
