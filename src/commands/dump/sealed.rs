//! A run that waited for another one sends the dump that the other run has sealed meanwhile: one pause for both.

use std::io;
use std::sync::atomic::Ordering;

use super::run::Run;
use crate::compress::source::Scrutiny;
use crate::compress::spool::Spool;
use crate::compress::verdict::Verdict;
use crate::delivery::walk::walk_spool;
use crate::delivery::{Context, Delivery, tell_stored};
use crate::error::Error;
use crate::heap_dump::DumpError;
use crate::kept::sealed::{Sealed, sealed_since};
use crate::object::receipt::DumpFacts;
use crate::object::stored::StoredObject;
use crate::store::{StoreError, Upload};

impl Run<'_> {
    /// Returns the dump that another run has sealed since this run began to wait, if this run may have it.
    ///
    /// # Errors
    /// When this run is stopped.
    pub fn sealed_meanwhile(&self) -> Result<Option<(Sealed, Spool)>, Error> {
        let Some(since) = self.waited_since.filter(|_| !self.settings.dry_run) else { return Ok(None) };
        let dump_of = self.dump_of();
        let found = self.settings.target.dirs.iter().find_map(|dir| {
            sealed_since(&self.jvm.target, dir, &dump_of, since)
                .inspect_err(|error| log::debug!("{dir} cannot be searched for a sealed dump: {error}"))
                .ok()?
        });
        let Some(sealed) = found else { return Ok(None) };
        let what = format!("reading {}", sealed.path);
        self.progress.stage(&what, None);
        let opened = sealed.open(|| self.deadline.check(&what).map_err(io::Error::other));
        self.deadline.check(&what)?;
        match opened {
            Ok(spool) => Ok(Some((sealed, spool))),
            Err(error) => {
                log::warn!("{} is not sent: {error}; the JVM is dumped once more", sealed.path);
                Ok(None)
            }
        }
    }

    /// Stores the sealed dump in this run's own store.
    ///
    /// # Errors
    /// As for a dump of this run. The sealed dump stays with the run that has made it. If the file's owner has changed
    /// it meanwhile, nothing of it is stored.
    pub fn send_sealed(
        &mut self,
        sealed: &Sealed,
        spool: Spool,
        upload: Result<Upload, StoreError>,
    ) -> Result<(), Error> {
        let has_changed = spool.has_changed();
        self.send_spool(sealed, spool, upload).map_err(|error| match has_changed.load(Ordering::Relaxed) {
            true => DumpError::Changed { path: sealed.path.clone() }.into(),
            false => error,
        })
    }

    fn send_spool(&mut self, sealed: &Sealed, spool: Spool, upload: Result<Upload, StoreError>) -> Result<(), Error> {
        let path = &sealed.path;
        self.receipt.warn_of_this_run(format!(
            "the run before this one has just made the same dump, {path}: it is sent, for no second pause"
        ));
        let unread = |source| Error::from(DumpError::Read { path: path.clone(), source });
        self.progress.stage(&format!("reading {path}"), None);
        let context = Context { progress: &self.progress, deadline: self.deadline };
        let summary = walk_spool(&spool, path, Scrutiny::Dump, context)?;
        let verdict = Verdict::of(&summary);
        self.receipt.dump = Some(DumpFacts {
            live_only: Some(self.live),
            walk: Some(summary.clone()),
            ..sealed.begin.receipt.dump.clone().unwrap_or_default()
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

    /// Returns the other run's answers to `--with`, if this run wants any.
    fn context_of<'a>(&mut self, sealed: &'a Sealed) -> Option<&'a str> {
        if self.settings.with.is_empty() {
            return None;
        }
        let context = sealed.begin.context.as_deref();
        if context.is_none() {
            self.receipt.warn("the run before this one asked for no threads and flags (--with): none are stored");
        }
        context
    }

    /// Returns the error of the store. The receipt warns that the dump stays until the run that has made it has
    /// delivered it.
    fn still_sealed(&mut self, path: &str, error: StoreError) -> Error {
        self.receipt.warn_of_this_run(format!(
            "{path} stays until the run that has made it has delivered it; 'jmap-dump-tool upload --resume DIR' stores it"
        ));
        Error::not_stored(error)
    }
}
