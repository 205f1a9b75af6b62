//! `upload`: a dump that is already a file, through the same stages as one that a JVM makes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Instant;

use chrono::{SecondsFormat, Utc};

use super::verify::{is_gzip, walk};
use super::{Outcome, keep, start_clock, tell, tell_stored};
use crate::cli::UploadArgs;
use crate::deadline::Deadline;
use crate::effort::{Effort, processors};
use crate::error::Error;
use crate::heap_dump::{DumpError, RoomError};
use crate::pipeline::{self, Verdict};
use crate::pod::Pod;
use crate::progress::Progress;
use crate::run_id::run_id;
use crate::settings::{Settings, UsageError};
use crate::spool::Spool;
use crate::stages::Stream;
use crate::store::key::ObjectKey;
use crate::store::receipt::{DumpFacts, Receipt};
use crate::store::url::StoreUrl;
use crate::store::{Digest, StoreError, Upload, Verified, part_size};

pub fn run(args: &UploadArgs, watch_signals: &mut dyn FnMut(&Deadline)) -> Outcome {
    let settings = match Settings::of_upload(args) {
        Ok(settings) => settings,
        Err(error) => return Outcome::failed(error),
    };
    let deadline = match start_clock(settings.deadline, watch_signals) {
        Ok(deadline) => deadline,
        Err(error) => return Outcome::failed(error),
    };
    let mut receipt = Receipt {
        tool: format!("jmap-dump-tool {}", crate::VERSION),
        run_id: run_id(),
        place: Some(settings.place.to_string()),
        started: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        pod: Pod::current(),
        ..Receipt::default()
    };
    let result = store_file(&args.file, &settings, &mut receipt, &deadline);
    if matches!(result, Err(Error::NotStored(_) | Error::Stopped(_) | Error::Store(_))) {
        receipt.kept = Some(keep::still_there(&args.file, &settings));
    }
    let seen = receipt.object.as_ref().is_some_and(|object| object.verified != Verified::Acknowledged);
    if args.delete && result.is_ok() && !seen {
        receipt.warn(format!("{} is not removed: nobody can tell that it is stored", args.file));
    } else if result.is_ok()
        && args.delete
        && let Err(error) = std::fs::remove_file(&args.file)
    {
        receipt.warn(format!("stored, but cannot remove {}: {error}", args.file));
    }
    tell(receipt, result, settings.output, settings.store.url == StoreUrl::Stdout).0
}

fn store_file(path: &str, settings: &Settings, receipt: &mut Receipt, deadline: &Deadline) -> Result<(), Error> {
    let begun = Instant::now();
    let unreadable = |source| UsageError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let gzipped = is_gzip(&file).map_err(unreadable)?;
    let part_size = part_size(Some(bytes));
    let key = ObjectKey::new(&settings.place, Utc::now(), &receipt.pod.name, 0, &receipt.run_id);
    let progress = Progress::start();
    let mut upload = Upload::open(&settings.store, &key, part_size, deadline).map_err(Error::store)?;
    progress.stage("reading the dump", Some(bytes));
    let source = Source { path, file, gzipped };
    let (walk, digest, sent, spool) = source.send(settings, part_size, &mut upload, &progress, deadline)?;
    let verdict = Verdict::of(&walk);
    receipt.dump = Some(DumpFacts { live_only: None, walk: Some(walk.clone()), words: None, pause: None });
    let verdict = verdict.ok_or_else(|| DumpError::Truncated { path: path.to_owned(), bytes: walk.bytes })?;
    progress.stage("finishing the upload", None);
    let finished = sent.and_then(|()| upload.finish(&verdict, &digest, &spool)).map_err(Error::not_stored)?;
    receipt.time("upload", begun.elapsed());
    tell_stored(receipt, finished);
    Ok(())
}

/// The file to store.
struct Source<'a> {
    path: &'a str,
    file: File,
    gzipped: bool,
}

type Sent = (crate::hprof::Summary, Digest, Result<(), StoreError>, Spool);

impl Source<'_> {
    /// A gzipped file goes as it is, once it was walked; a plain one is compressed on the way.
    fn send(
        self,
        settings: &Settings,
        part_size: u64,
        upload: &mut Upload,
        progress: &Progress,
        deadline: &Deadline,
    ) -> Result<Sent, Error> {
        let path = self.path;
        if self.gzipped {
            let walk = walk(&self.file, path, progress, deadline)?;
            let spool = Spool::adopt(self.file, &[]).map_err(|source| unread(path, source))?;
            let (digest, sent) =
                pipeline::send(&spool, part_size, Some(upload)).map_err(|source| unread(path, source))?;
            return Ok((walk, digest, sent, spool));
        }
        let in_store = upload.spool_file(false).map_err(Error::Store)?;
        let spool = Spool::new(in_store.map_or_else(|| nameless_beside(path), |(file, _)| Ok(file))?);
        let effort = Effort::of(processors(), settings.level, part_size);
        let piped = pipeline::run(&mut Stream(&self.file), &spool, Some(upload), effort, progress, deadline, |_| {})
            .map_err(|error| Error::from_pipeline(error, path, "the compressed copy"))?;
        Ok((piped.walk, piped.digest, piped.sent, spool))
    }
}

fn unread(path: &str, source: io::Error) -> Error {
    DumpError::Read { path: path.to_owned(), source }.into()
}

/// A file without a name, where the dump lies or else among the temporary ones: gone when it is closed.
fn nameless_beside(path: &str) -> Result<File, Error> {
    use rustix::fs::{Mode, OFlags, open};
    let parent = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let places = [parent.to_owned(), std::env::temp_dir()];
    let nameless = places.iter().find_map(|dir| open(dir, flags, mode).ok());
    // overlayfs before Linux 6.10 knows no nameless files.
    let made =
        || places.iter().map(|dir| unlinked_in(dir)).reduce(Result::or).unwrap_or(Err(io::ErrorKind::NotFound.into()));
    nameless.map(File::from).map_or_else(made, Ok).map_err(|source| {
        let path = parent.display().to_string();
        RoomError::Io { what: "create a temporary file in", path, source }.into()
    })
}

fn unlinked_in(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!(".jmap-dump-tool-{}", run_id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
