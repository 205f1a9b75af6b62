//! A run that waited for another one sends the dump that the other one has sealed meanwhile: one pause for both.

use super::run::Run;
use crate::commands::tell_stored;
use crate::commands::verify::walk;
use crate::compress::dump_reader::DumpReader;
use crate::compress::source::Scrutiny;
use crate::compress::spool::Spool;
use crate::compress::verdict::Verdict;
use crate::delivery::Delivery;
use crate::error::Error;
use crate::heap_dump::DumpError;
use crate::hprof::{Histogram, Summary};
use crate::kept::sealed::{Sealed, sealed_since};
use crate::object::classes;
use crate::object::receipt::DumpFacts;
use crate::object::stored::StoredObject;
use crate::store::{StoreError, Upload};

impl Run<'_> {
    /// The dump that another run has sealed since this one waited for it, if this one may have it.
    pub fn sealed_meanwhile(&self) -> Option<Sealed> {
        if self.settings.dry_run {
            return None;
        }
        let (since, dump_of) = (self.waited_since?, self.dump_of());
        self.settings.target.dirs.iter().find_map(|dir| {
            sealed_since(&self.jvm.target, dir, &dump_of, since)
                .inspect_err(|error| log::debug!("{dir} cannot be searched for a sealed dump: {error}"))
                .ok()?
        })
    }

    /// Stores it, for this run's own store.
    ///
    /// # Errors
    /// As for a dump of our own. What is sealed stays with the run that has made it.
    pub fn send_sealed(&mut self, sealed: &Sealed, upload: Result<Upload, StoreError>) -> Result<(), Error> {
        let path = &sealed.path;
        self.receipt.warn(format!(
            "the run before this one has just made the same dump, {path}: it is sent, for no second pause"
        ));
        let unread = |source| Error::from(DumpError::Read { path: path.clone(), source });
        let file = sealed.file.try_clone().map_err(unread)?;
        let spool = Spool::adopt(file, &sealed.past.begin.order).map_err(unread)?;
        let summary = self.walk_sealed(&spool, path)?;
        let verdict = Verdict::of(&summary);
        self.receipt.dump = Some(DumpFacts {
            live_only: Some(self.live),
            walk: Some(summary.clone()),
            ..sealed.past.begin.receipt.dump.clone().unwrap_or_default()
        });
        let truncated = || DumpError::Truncated { path: path.clone(), bytes: spool.stored_len(), damage: None };
        let verdict = verdict.ok_or_else(truncated)?;
        let mut upload = upload.map_err(|error| self.still_sealed(path, error))?;
        let sent = Delivery::of_compressed(spool, summary, self.part_size(), &mut upload, &self.progress);
        let finished = sent.map_err(unread)?.complete(upload, &verdict, &self.progress);
        let finished = finished.map_err(|error| self.still_sealed(path, error))?;
        let context = self.context_of(sealed);
        tell_stored(&mut self.receipt, finished, &self.key, context);
        if self.receipt.object.as_ref().is_some_and(StoredObject::is_unverified) {
            self.receipt.warn("nobody can tell that it is stored: look at the object, and at what the run before says");
        }
        self.add_link();
        Ok(())
    }

    fn walk_sealed(&mut self, spool: &Spool, path: &str) -> Result<Summary, Error> {
        self.progress.stage(&format!("reading {path}"), None);
        let mut histogram = Histogram::new();
        let mut raw = DumpReader::gzipped(spool.reader(), Scrutiny::Dump);
        let walked = walk(&mut raw, path, &self.progress, self.deadline, &mut histogram)?;
        Ok(Summary { classes: classes::of_spool(&histogram, spool), ..walked })
    }

    /// What the other run asked the JVM besides, if this one wants to know.
    fn context_of<'a>(&mut self, sealed: &'a Sealed) -> Option<&'a str> {
        if self.settings.with.is_empty() {
            return None;
        }
        let context = sealed.past.begin.context.as_deref();
        if context.is_none() {
            self.receipt.warn("the run before this one asked for no threads and flags (--with): none are stored");
        }
        context
    }

    /// The run that has made it keeps it, as long as that has not delivered it.
    fn still_sealed(&mut self, path: &str, error: StoreError) -> Error {
        self.receipt
            .warn(format!("{path} stays until the run that has made it has delivered it; 'upload --resume' stores it"));
        Error::not_stored(error)
    }
}
