//! `install`: copies the running program and its settings file into a directory, for init containers that have no cp.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use super::{Answer, Failed};
use crate::base::printable::printable_path;
use crate::base::run_id::run_id;
use crate::cli::InstallArgs;
use crate::files::entry::Entry;
use crate::files::regular_file::{Access, PRIVATE, create_in, open_named};
use crate::heap_dump::RoomError;
use crate::settings::FILE_NAME;

/// The program's name in the directory, whatever it is called here.
const PROGRAM: &str = "jmap-dump-tool";

pub fn run(args: &InstallArgs) -> Result<Answer, Failed> {
    let installed = install(Path::new(&args.dir));
    let text = installed.map_err(|(path, source)| RoomError::Io { what: "install", path, source })?;
    Ok(Answer::of(text))
}

fn install(dir: &Path) -> Result<String, (String, io::Error)> {
    let program = std::env::current_exe().map_err(|error| (PROGRAM.to_owned(), error))?;
    let mut done = String::new();
    let settings = program.with_file_name(FILE_NAME);
    for (from, name, required) in [(program, PROGRAM, true), (settings, FILE_NAME, false)] {
        let to = dir.join(name);
        if !required && !from.exists() {
            continue;
        }
        copy(&from, &to).map_err(|error| (to.display().to_string(), error))?;
        done += &format!("installed {}\n", printable_path(&to));
    }
    Ok(done)
}

/// Copies a file, under another name first: a program that runs cannot be written, and nobody must run half a program.
/// Nobody can guess the other name. Nobody else can read or write the file until it has its owner and mode, by which
/// the settings file is trusted.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let to = Entry::named(to)?;
    let mut source = open_named(from)?;
    let meta = source.metadata()?;
    let mut name = std::ffi::OsString::from(".");
    name.push(to.name());
    name.push(format!(".{}.new", run_id()));
    let temporary = to.sibling(name);
    let mut file = create_in(temporary.dir(), temporary.name(), Access::Write, PRIVATE)?;
    let copied = io::copy(&mut source, &mut file).and_then(|_| {
        if rustix::process::geteuid().is_root() {
            fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(meta.mode() & 0o777))?;
        file.sync_all()?;
        temporary.replace(&to)
    });
    if copied.is_err() {
        // The temporary file has no use, and the first error is the one to report.
        let _ = temporary.remove();
    }
    copied
}
