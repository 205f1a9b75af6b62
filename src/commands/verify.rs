//! `verify`: walks a dump, plain or gzipped.

use std::io::Read;
use std::path::Path;

use super::{Answer, Failed};
use crate::base::deadline::Deadline;
use crate::base::printable::printable;
use crate::base::units::Bytes;
use crate::cli::{Flags, VerifyArgs};
use crate::compress::source::Scrutiny;
use crate::delivery::Context;
use crate::delivery::walk::{is_gzip, reader, walk};
use crate::error::Error;
use crate::files::regular_file;
use crate::heap_dump::DumpError;
use crate::hprof::{Histogram, Summary};
use crate::object::classes;
use crate::settings::{Output, UsageError, output_of};
use crate::terminal::progress::Progress;

pub fn run(args: &VerifyArgs, flags: &Flags) -> Result<Answer, Failed> {
    let output = output_of(flags)?;
    let path = args.file.display().to_string();
    let walk = verify(Path::new(&args.file), &path).map_err(Error::of_named_file)?;
    let text = match output {
        Output::Text => describe(&path, &walk),
        Output::Json => serde_json::to_string(&walk).unwrap_or_default() + "\n",
    };
    let truncated = || DumpError::truncated(path, &walk).of_named_file();
    Answer::of(text).and(if walk.complete { Ok(()) } else { Err(truncated().into()) })
}

fn verify(file: &Path, path: &str) -> Result<Summary, Error> {
    let unopened = |source| UsageError::File { path: path.to_owned(), source };
    let file = regular_file::open_named(file).map_err(unopened)?;
    let len = file.metadata().map_err(unopened)?.len();
    let progress = Progress::start();
    // The reading of a file ends by itself, so a week is as good as no limit.
    let deadline = Deadline::after(std::time::Duration::from_secs(7 * 24 * 3600))
        .map_err(|source| Error::Unexpected { what: "cannot start the run's clock".into(), source })?;
    let gzipped = is_gzip(&file).map_err(|source| DumpError::Read { path: path.to_owned(), source })?;
    // A gzipped dump does not tell how large it becomes.
    progress.stage("reading the dump", (!gzipped).then_some(len));
    let mut histogram = Histogram::new();
    let mut raw = reader((&file).take(len), gzipped, Scrutiny::Dump);
    let mut walk = walk(&mut raw, path, Context { progress: &progress, deadline: &deadline }, &mut histogram)?;
    progress.done();
    classes::add_of_file(&mut walk, &histogram, &file, gzipped);
    Ok(walk)
}

fn describe(path: &str, walk: &Summary) -> String {
    let path = printable(path);
    let r = &walk.records;
    let whole = if walk.complete { "whole" } else { "TRUNCATED" };
    let text = format!(
        "{path}: {whole}\n  size       {} raw ({} bytes)\n  objects    {} instances, {} object arrays, {} primitive arrays\n  \
         others     {} classes, {} roots, {} names, {} stack traces, {} segments\n",
        Bytes(walk.bytes),
        walk.bytes,
        r.instances,
        r.object_arrays,
        r.primitive_arrays,
        r.classes,
        r.roots,
        r.utf8,
        r.stack_traces,
        r.segments
    );
    let cut = if r.cut_arrays > 0 {
        format!("  warning    {} arrays are cut at 4 GiB, as much as a dump can hold of each\n", r.cut_arrays)
    } else {
        String::new()
    };
    let damage = walk.damage.iter().map(|damage| format!("  damage     {damage}\n")).collect::<String>();
    let mended = if walk.mended {
        "  warning    its last segment has no length: other readers see none of its objects\n"
    } else {
        ""
    };
    let classes = walk.classes.iter().flat_map(classes::lines);
    text + &damage + mended + &cut + &classes.map(|class| format!("  class      {class}\n")).collect::<String>()
}
