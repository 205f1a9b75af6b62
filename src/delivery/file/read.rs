//! Reads the file, or standard input: a gzipped dump is walked and sent as it is, a plain one is compressed on the way.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::input::{Patient, open};
use super::{Deposit, shown};
use crate::compress::dump_reader::DumpReader;
use crate::compress::gzip;
use crate::compress::pages::PAGE;
use crate::compress::redaction::Redaction;
use crate::compress::source::{Scrutiny, Source};
use crate::compress::spool::Spool;
use crate::delivery::Delivery;
use crate::delivery::temporary::nameless_in_or_elsewhere;
use crate::delivery::walk::{is_gzip, walk_spool};
use crate::error::Error;
use crate::files::entry::HeldDir;
use crate::heap_dump::{DumpError, RoomError};
use crate::hprof::{Redactor, Summary};
use crate::jvm::memory::Rationed;
use crate::store::Upload;
use crate::watch::parts::with_parts;

impl Deposit<'_> {
    /// Reads the file. A gzipped file is sent as it is, after a walk; a plain one is compressed on the way.
    pub(super) fn read(&self, upload: &mut Upload) -> Result<Delivery, Error> {
        let Some(entry) = &self.entry else { return self.read_stdin(upload) };
        let open = || open(self.item, entry);
        let (path, file) = (shown(&self.item.path), open()?);
        if is_gzip(&file).map_err(|source| unread(&path, source))? {
            return self.read_gzipped(file, &path, upload);
        }
        let (raw, parts) = with_parts(entry, file).map_err(|source| unread(&path, source))?;
        let _ = self.parts.set(parts);
        let again = || {
            let (raw, _) = with_parts(entry, open().map_err(io::Error::other)?)?;
            Ok(DumpReader::plain(raw, self.scrutiny))
        };
        // Only a single file can be read at any offset, and only redaction needs that.
        let is_single = self.redact().is_some() && self.parts.get().is_none_or(Vec::is_empty);
        let single = is_single.then(open).transpose()?;
        let redactor = self.redactor(&path, again, single.as_ref())?;
        self.compress(DumpReader::plain(raw, self.scrutiny), &path, redactor, upload)
    }

    /// Reads standard input. Gzipped bytes have to be walked before they are sent, so they lie in a file meanwhile.
    fn read_stdin(&self, upload: &mut Upload) -> Result<Delivery, Error> {
        let path = "standard input";
        let mut stdin = Patient { stdin: io::stdin(), deadline: self.context.deadline };
        let mut first = Vec::new();
        stdin.by_ref().take(2).read_to_end(&mut first).map_err(|source| unread(path, source))?;
        let gzipped = first == gzip::MAGIC;
        let mut raw = first.as_slice().chain(stdin);
        if !gzipped {
            let raw = DumpReader::plain(raw, self.scrutiny);
            let redactor = self.redact().map(|redact| self.doubting(redact.in_passing("")));
            return self.compress(raw, path, redactor, upload);
        }
        let file = self.nameless_beside(0, 0)?;
        io::copy(&mut raw, &mut Rationed::new(&file)).map_err(|source| uncopied(path, source))?;
        self.read_gzipped(file, path, upload)
    }

    /// Creates a file without a name where the dump lies.
    pub(super) fn nameless_beside(&self, bytes: u64, least: u64) -> Result<File, Error> {
        let here = || HeldDir::named(Path::new("."));
        let dir = self.entry.as_ref().map_or_else(here, |entry| Ok(Arc::clone(entry.dir())));
        nameless_in_or_elsewhere(dir, bytes, least, &self.settings.disk_limits)
    }

    /// Sends a gzipped file as it is, after a walk. If it has to be redacted, it is compressed again.
    fn read_gzipped(&self, file: File, path: &str, upload: &mut Upload) -> Result<Delivery, Error> {
        let spool = Spool::adopt(file, &self.begin.order).map_err(|source| unread(path, source))?;
        let plain = || DumpReader::gzipped(spool.reader(), self.scrutiny);
        match self.redactor(path, || Ok(plain()), None)? {
            None => self.send_gzipped(spool, path, upload),
            redactor => self.compress(plain(), path, redactor, upload),
        }
    }

    fn send_gzipped(&self, spool: Spool, path: &str, upload: &mut Upload) -> Result<Delivery, Error> {
        let walk = match self.scrutiny {
            Scrutiny::Anything => self.read_anything(&spool, path)?,
            scrutiny => walk_spool(&spool, path, scrutiny, self.context)?,
        };
        if walk.mended && self.verdict(&walk).is_some() {
            return self.compress(DumpReader::gzipped(spool.reader(), self.scrutiny), path, None, upload);
        }
        if self.verdict(&walk).is_none() {
            return Err(DumpError::truncated(path.to_owned(), &walk).into());
        }
        Delivery::of_compressed(spool, walk, self.begin.part_size, upload, self.context.progress)
            .map_err(|source| unread(path, source))
    }

    /// Reads the file to its end, for its checksums.
    fn read_anything(&self, spool: &Spool, path: &str) -> Result<Summary, Error> {
        let (mut raw, mut page) = (DumpReader::gzipped(spool.reader(), Scrutiny::Anything), vec![0; PAGE]);
        while raw.read(&mut page).map_err(|source| unread(path, source))? > 0 {
            self.context.deadline.check("reading a compressed file")?;
        }
        Ok(Summary::of_anything(spool.stored_len()).with(raw.flaws()))
    }

    pub(super) fn redact(&self) -> Option<&Redaction> {
        self.begin.redact.as_ref().filter(|_| self.scrutiny != Scrutiny::Anything)
    }

    fn redactor<R: Read>(
        &self,
        path: &str,
        open: impl Fn() -> io::Result<R>,
        file: Option<&File>,
    ) -> Result<Option<Redactor>, Error> {
        let Some(redact) = self.redact() else { return Ok(None) };
        let found = redact.of_file(open, file, self.context.deadline);
        self.context.deadline.check("looking for what is to stay readable")?;
        found.map(|redactor| Some(self.doubting(redactor))).map_err(|source| unread(path, source))
    }

    /// Makes the redactor doubt the dump if remains are wanted: only then a damaged dump is stored.
    fn doubting(&self, redactor: Redactor) -> Redactor {
        if self.scrutiny == Scrutiny::Remains { redactor.doubting() } else { redactor }
    }
}

/// Returns the error of a copy: there is no room for it, or its source cannot be read.
fn uncopied(path: &str, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::StorageFull {
        return unread(path, source);
    }
    RoomError::Io { what: "write a temporary copy of", path: path.to_owned(), source }.into()
}

fn unread(path: &str, source: io::Error) -> Error {
    DumpError::Read { path: path.to_owned(), source }.into()
}
