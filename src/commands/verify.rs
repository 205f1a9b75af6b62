//! `verify`: walks a dump, plain or gzipped.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Answer, Failed};
use crate::base::deadline::Deadline;
use crate::base::printable::printable;
use crate::base::units::Bytes;
use crate::cli::{Flags, VerifyArgs};
use crate::compress::dump_reader::DumpReader;
use crate::compress::gzip;
use crate::compress::pages::PAGE;
use crate::compress::source::{Flaws, Scrutiny, Source};
use crate::error::Error;
use crate::files::regular_file;
use crate::heap_dump::DumpError;
use crate::hprof::{Histogram, Summary, Walker};
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
    let walk = walk(&mut raw, path, &progress, &deadline, &mut histogram)?;
    progress.done();
    Ok(Summary { classes: classes::of_file(&histogram, &file, gzipped), ..walk })
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

/// Returns whether the file begins as a gzip member does.
pub fn is_gzip(file: &File) -> io::Result<bool> {
    let mut magic = [0; 2];
    Ok(file.read_at(&mut magic, 0)? == 2 && magic == gzip::MAGIC)
}

/// Returns a reader of a dump, plain or gzipped.
pub fn reader<'a>(raw: impl Read + 'a, gzipped: bool, scrutiny: Scrutiny) -> DumpReader<'a> {
    if gzipped { DumpReader::gzipped(raw, scrutiny) } else { DumpReader::plain(raw, scrutiny) }
}

/// Walks a dump, and counts its objects in `tally`.
pub fn walk(
    raw: &mut DumpReader<'_>,
    path: &str,
    progress: &Progress,
    deadline: &Deadline,
    tally: &mut Histogram,
) -> Result<Summary, Error> {
    let (mut walker, mut page, scrutiny) = (Walker::new(), vec![0; PAGE], raw.scrutiny());
    let mut damage = None;
    loop {
        deadline.check("reading the dump")?;
        match raw.read(&mut page) {
            Ok(0) => break,
            Ok(n) => {
                progress.add(n as u64);
                damage = scrutiny
                    .judge(walker.push_to(&page[..n], tally))
                    .map_err(|source| DumpError::Malformed { path: path.to_owned(), source })?;
                if damage.is_some() {
                    break;
                }
            }
            Err(source) => return Err(DumpError::Read { path: path.to_owned(), source }.into()),
        }
    }
    let flaws = raw.flaws();
    Ok(walker.finish().with(Flaws { damage: damage.or(flaws.damage), ..flaws }))
}
