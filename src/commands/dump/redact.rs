//! Chooses the redaction of a run's dump. The names of threads stay readable.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::time::Duration;

use super::run::Run;
use crate::attach::{AttachOperation, VirtualMachine};
use crate::compress::redaction::Redaction;
use crate::error::Error;
use crate::heap_dump::DumpError;
use crate::hprof::Redactor;

/// Time limit for the JVM's answer. A JVM that does not answer is dumped all the same, and the names of its threads are
/// redacted.
const PATIENCE: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Returns whether the whole dump must be there before anything of it is compressed.
    pub fn redacts_whole_dump(&self) -> bool {
        self.settings.common.redact.as_ref().is_some_and(Redaction::needs_whole_dump)
    }

    pub fn needs_head_first(&self) -> bool {
        self.settings.common.redact.as_ref().is_some_and(Redaction::needs_head_first)
    }

    /// Returns the redactor of a dump that passes by once.
    pub fn redactor(&mut self, vm: &VirtualMachine<'_>) -> Option<Redactor> {
        let redact = self.settings.common.redact.as_ref()?;
        let patience = self.deadline.at_most(PATIENCE.min(self.deadline.remaining() / 5));
        let threads = vm.execute(&AttachOperation::threaddump(), &patience).map(|reply| reply.message);
        let threads = threads.unwrap_or_else(|error| {
            self.receipt.warn(format!("the names of threads are not known, and so are redacted: {error}"));
            String::new()
        });
        Some(redact.in_passing(&threads))
    }

    /// Returns the redactor of a dump that is there as a whole. The dump is searched for the data that stays only if
    /// the JVM cannot tell that data.
    pub fn redactor_of(&mut self, vm: &VirtualMachine<'_>, file: &File, path: &str) -> Result<Option<Redactor>, Error> {
        let Some(redact) = &self.settings.common.redact else { return Ok(None) };
        if !redact.needs_whole_dump() {
            return Ok(self.redactor(vm));
        }
        let open = || {
            let mut file = file;
            file.seek(SeekFrom::Start(0)).map(|_| file)
        };
        self.progress.stage("looking for what is to stay readable", None);
        let found = redact.of_file(open, None, self.deadline);
        let found = found.and_then(|redactor| open().map(|_| redactor));
        self.deadline.check("looking for what is to stay readable")?;
        found.map(Some).map_err(|source| DumpError::Read { path: path.to_owned(), source }.into())
    }
}
