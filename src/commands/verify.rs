//! `verify`: the walker behind gunzip.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::{Answer, Outcome};
use crate::classes;
use crate::cli::VerifyArgs;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::gzip;
use crate::heap_dump::DumpError;
use crate::hprof::{Histogram, Summary, Walker};
use crate::pages::PAGE;
use crate::printable::printable;
use crate::progress::Progress;
use crate::regular_file;
use crate::settings::{Output, UsageError, output_of};
use crate::stages::Scrutiny;
use crate::units::Bytes;

pub fn run(args: &VerifyArgs) -> Outcome {
    let output = match output_of(args.output.as_deref()) {
        Ok(output) => output,
        Err(error) => return Outcome::failed(error),
    };
    match verify(&args.file) {
        Ok(walk) => {
            let text = match output {
                Output::Text => describe(&args.file, &walk),
                Output::Json => serde_json::to_string(&walk).unwrap_or_default() + "\n",
            };
            let whole = walk.complete;
            let truncated = DumpError::Truncated { path: args.file.clone(), bytes: walk.bytes };
            let result = if whole { Ok(()) } else { Err(truncated.into()) };
            Outcome { result, answer: Some(Answer { text, aside: false }) }
        }
        Err(error) => Outcome::failed(error),
    }
}

fn verify(path: &str) -> Result<Summary, Error> {
    let unopened = |source| UsageError::File { path: path.to_owned(), source };
    let file = regular_file::open_named(Path::new(path)).map_err(unopened)?;
    let len = file.metadata().map_err(unopened)?.len();
    let progress = Progress::start();
    progress.stage("reading the dump", None);
    // Reading a file ends by itself; a week is no limit.
    let deadline = Deadline::after(std::time::Duration::from_secs(7 * 24 * 3600))
        .map_err(|source| Error::Unexpected { what: "cannot start the run's clock".into(), source })?;
    let gzipped = is_gzip(&file).map_err(|source| DumpError::Read { path: path.to_owned(), source })?;
    let mut histogram = Histogram::new();
    let walk = walk((&file).take(len), gzipped, path, Scrutiny::Dump, &progress, &deadline, &mut histogram)?;
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
    let classes = walk.classes.iter().flat_map(classes::lines);
    text + &cut + &classes.map(|class| format!("  class      {class}\n")).collect::<String>()
}

/// Whether the file begins as a gzip member does.
pub fn is_gzip(file: &File) -> io::Result<bool> {
    let mut magic = [0; 2];
    Ok(file.read_at(&mut magic, 0)? == 2 && magic == gzip::MAGIC)
}

/// Walks a dump, plain or gzipped, and tells `tally` of its objects. A gzip stream that ends in the middle is a
/// truncated dump, no read error.
pub fn walk(
    raw: impl Read,
    gzipped: bool,
    path: &str,
    scrutiny: Scrutiny,
    progress: &Progress,
    deadline: &Deadline,
    tally: &mut Histogram,
) -> Result<Summary, Error> {
    let mut raw: Box<dyn Read + '_> =
        if gzipped { Box::new(MultiGzDecoder::new(io::BufReader::new(raw))) } else { Box::new(raw) };
    let (mut walker, mut page) = (Walker::new(), vec![0; PAGE]);
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
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error)
                if gzipped && (error.kind() == io::ErrorKind::UnexpectedEof || scrutiny == Scrutiny::Remains) =>
            {
                damage = Some(format!("its gzip stream ends early: {error}"));
                break;
            }
            Err(source) => return Err(DumpError::Read { path: path.to_owned(), source }.into()),
        }
    }
    let walk = walker.finish();
    Ok(Summary { complete: walk.complete && damage.is_none(), damage, ..walk })
}
