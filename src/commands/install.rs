//! `install`: the running program and its settings file into a directory, for init containers that have no cp.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use rustix::fs::{CWD, Mode};

use super::{Answer, Outcome};
use crate::cli::InstallArgs;
use crate::error::Error;
use crate::heap_dump::RoomError;
use crate::regular_file::{Access, create_in, open_named};
use crate::settings::FILE_NAME;

/// The program's name there, whatever it is called here.
const PROGRAM: &str = "jmap-dump-tool";

pub fn run(args: &InstallArgs) -> Outcome {
    match install(Path::new(&args.dir)) {
        Ok(text) => Outcome { result: Ok(()), answer: Some(Answer { text, aside: false }) },
        Err((path, source)) => Outcome::failed(Error::from(RoomError::Io { what: "install", path, source })),
    }
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
        done += &format!("installed {}\n", to.display());
    }
    Ok(done)
}

/// Under another name first: a program that runs cannot be written, and half a one must not be run. Owner and mode
/// come along, for the settings file is trusted by them.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = to.with_extension("new");
    let mut source = open_named(from)?;
    let meta = source.metadata()?;
    // What is there is of an earlier start that was killed, or somebody's link: it is not written to.
    let _ = fs::remove_file(&temporary);
    let mut file = create_in(CWD, &temporary, Access::Write, Mode::from_raw_mode(meta.mode() & 0o777))?;
    let copied = io::copy(&mut source, &mut file).and_then(|_| {
        if rustix::process::geteuid().is_root() {
            fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
        }
        file.sync_all()?;
        fs::rename(&temporary, to)
    });
    if copied.is_err() {
        // It has no use, and what matters is the first error.
        let _ = fs::remove_file(&temporary);
    }
    copied
}
