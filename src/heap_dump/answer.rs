//! The order to dump, and the JVM's answer to it, which comes while the dump is read.

use std::time::{Duration, Instant};

use super::finished_dump::{HeapDump, died_or, refused};
use super::reply::{Judgement, judge, seconds};
use super::{DumpError, DumpFailure};
use crate::attach::{AttachError, AttachOperation, Pending, Reply, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::guard;
use crate::jvm::layout::Layout;
use crate::kept::dump_dir::DumpDir;
use crate::kept::names::RAW;

/// The answer of a JVM that was ordered to dump.
#[derive(Debug)]
pub struct Answer<'a> {
    vm: &'a VirtualMachine<'a>,
    /// The path of the dump as this process sees it. `inside` is the path as the JVM sees it.
    path: String,
    inside: String,
    begun: Instant,
    pending: Option<Pending<'a>>,
    reply: Option<Reply>,
    /// Time from the order to the answer.
    took: Duration,
}

impl<'a> Answer<'a> {
    /// Orders the JVM to dump into `dir`.
    ///
    /// # Errors
    /// When the JVM does not take the order.
    pub fn order(
        vm: &'a VirtualMachine<'a>,
        dir: &DumpDir,
        operation: &AttachOperation<'_>,
        layout: Layout,
        deadline: &Deadline,
    ) -> Result<Self, AttachError> {
        let begun = Instant::now();
        let pending = vm.send(operation, |connection| guard::dumping(layout, connection), deadline);
        // The JVM has no order, so the guard need not wait for its answer.
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

    /// Returns whether the JVM has answered, whatever it said.
    pub fn is_there(&self) -> bool {
        self.reply.is_some()
    }

    /// Returns whether the JVM has answered and calls the dump whole.
    pub fn is_good(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| judge(&reply.message) == Judgement::Created)
    }

    /// Waits for the answer, at most for `time`.
    ///
    /// # Errors
    /// When the JVM died, or the run is stopped.
    pub fn wait(&mut self, time: Duration, deadline: &Deadline) -> Result<(), DumpFailure> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let complete = pending.poll(time, deadline).map_err(|error| died_or(self.vm, error))?;
        if complete && let Some(pending) = self.pending.take() {
            // If the answer cannot be read, nothing more can be waited for. So the end of the wait is noted first.
            self.took = self.begun.elapsed();
            guard::let_go();
            self.reply = Some(pending.reply().map_err(|error| died_or(self.vm, error))?);
        }
        Ok(())
    }

    /// Returns the JVM's judgement of its dump, and waits for it.
    ///
    /// # Errors
    /// When the JVM does not call the dump whole, or the wait for its answer fails.
    pub fn judge(&mut self, deadline: &Deadline) -> Result<HeapDump, DumpFailure> {
        while self.pending.is_some() {
            self.wait(Duration::from_secs(1), deadline)?;
        }
        let (pid, path) = (self.vm.jvm().pid(), self.path.clone());
        let message = match self.reply.take() {
            Some(reply) => reply.message,
            // An earlier wait has failed, with an error that says more.
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
