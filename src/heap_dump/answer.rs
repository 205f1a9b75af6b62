//! What the JVM says to the order to dump, while its dump is read.

use std::time::{Duration, Instant};

use super::file::{HeapDump, died_or, refused};
use super::reply::{Judgement, judge, seconds};
use super::{DumpError, DumpFailure};
use crate::attach::{AttachError, AttachOperation, Pending, Reply, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::guard;
use crate::jvm::layout::Layout;
use crate::kept::dump_dir::DumpDir;
use crate::kept::names::RAW;

/// See the module's words.
#[derive(Debug)]
pub struct Answer<'a> {
    vm: &'a VirtualMachine<'a>,
    /// As this process and as the JVM sees it.
    path: String,
    inside: String,
    begun: Instant,
    pending: Option<Pending<'a>>,
    reply: Option<Reply>,
    /// From the order to the answer.
    took: Duration,
}

impl<'a> Answer<'a> {
    /// Gives the order to dump into `dir`.
    ///
    /// # Errors
    /// When the JVM does not take it.
    pub fn order(
        vm: &'a VirtualMachine<'a>,
        dir: &DumpDir,
        operation: &AttachOperation<'_>,
        layout: Layout,
        deadline: &Deadline,
    ) -> Result<Self, AttachError> {
        let begun = Instant::now();
        let pending = vm.send(operation, |connection| guard::dumping(layout, connection), deadline);
        // The JVM has nothing to answer to.
        let pending = pending.inspect_err(|_| guard::let_go())?;
        Ok(Self {
            vm,
            path: format!("{}/{RAW}", dir.here),
            inside: format!("{}/{RAW}", dir.inside),
            begun,
            pending: Some(pending),
            reply: None,
            took: Duration::ZERO,
        })
    }

    /// The JVM is done, whatever it said.
    pub fn is_there(&self) -> bool {
        self.reply.is_some()
    }

    /// The JVM is done, and calls the dump whole.
    pub fn is_good(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| judge(&reply.message) == Judgement::Created)
    }

    /// Waits for it, at most for `time`.
    ///
    /// # Errors
    /// When the JVM died, or the run is stopped.
    pub fn wait(&mut self, time: Duration, deadline: &Deadline) -> Result<(), DumpFailure> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let complete = pending.poll(time, deadline).map_err(|error| died_or(self.vm, error))?;
        if complete && let Some(pending) = self.pending.take() {
            // Without an answer nothing can be waited for any more, so its end is noted first.
            self.took = self.begun.elapsed();
            guard::let_go();
            self.reply = Some(pending.reply().map_err(|error| died_or(self.vm, error))?);
        }
        Ok(())
    }

    /// The JVM's judgement.
    ///
    /// # Errors
    /// When it does not call the dump whole.
    pub fn judge(&mut self, deadline: &Deadline) -> Result<HeapDump, DumpFailure> {
        while self.pending.is_some() {
            self.wait(Duration::from_secs(1), deadline)?;
        }
        let (pid, path) = (self.vm.jvm().pid(), self.path.clone());
        let message = match self.reply.take() {
            Some(reply) => reply.message,
            // The wait for it failed before, with an error that says more.
            None => return Err(DumpError::Jvm { pid, path, words: "no answer".to_owned() }.into()),
        };
        match judge(&message) {
            Judgement::Created => {}
            Judgement::Failed(words) => return Err(refused(self.vm, path, words)),
        }
        let words = message.trim().replace(&self.inside, &path);
        Ok(HeapDump { path, words, pause_seconds: seconds(&message), took: self.took })
    }
}
