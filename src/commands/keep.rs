//! What is kept of a dump that could not be stored, and the command that stores it later.

use std::io;

use crate::discovery::mountinfo::Lifetime;
use crate::heap_dump::DumpDir;
use crate::store::key::Place;
use crate::store::receipt::Kept;

/// Names `file` in `dir` as `name` and leaves it there.
///
/// # Errors
/// When it cannot be renamed; then it is left under its old name all the same.
pub fn keep(dir: &mut DumpDir, file: &str, name: &str, place: &Place) -> io::Result<Kept> {
    dir.keep();
    dir.rename_file(file, name)?;
    let path = format!("{}/{name}", dir.here);
    let lifetime = dir.mount.as_ref().map(crate::discovery::mountinfo::Mount::lifetime);
    Ok(Kept {
        bytes: dir.open_file(name)?.metadata()?.len(),
        lifetime: lifetime
            .map_or_else(|| "how long it stays there is unknown".into(), |lifetime: Lifetime| lifetime.to_string()),
        resume: format!("jmap-dump-tool upload {} {} {} {path}", place.project, place.app, place.env),
        path,
    })
}
