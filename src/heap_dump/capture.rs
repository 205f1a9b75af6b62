//! The dump while the JVM writes it: read behind the JVM's back, released from the disk as soon as it is read, and
//! nameless, so that it is gone when the JVM and we are done with it, whoever dies.
//!
//! JDK 11.0.13 to 21 write one file from front to end. Later ones write the heap to `<path>.p0`, `.p1` … beside
//! the head in `<path>`, and would then copy all of it into `<path>`; an empty file under each part's name makes
//! that copy nothing (JDK: `heapDumper.cpp`, `DumpMerger::merge_file`). Earlier ones go back to write
//! lengths, which are found out without (`Reframed`).

use std::io;
use std::time::{Duration, Instant};

use super::file::{HeapDump, NAME, died_or, refused, send};
use super::files::Files;
use super::reply::{Judgement, judge, seconds};
use super::{DumpDir, DumpError, DumpFailure, Layout};
use crate::attach::{Pending, Reply, VirtualMachine};
use crate::deadline::Deadline;
use crate::guard;
use crate::pipeline::Source;
use crate::spool::Section;

/// How long one look for growth may take; a JVM writes less than half a page in that time.
const LOOK: Duration = Duration::from_millis(1);

/// Until the heap's file is held, nothing may pass unseen: a small heap is written and merged within 5 ms.
const FIRST_LOOK: Duration = Duration::from_micros(100);

/// A dump on its way from the JVM.
#[derive(Debug)]
pub struct Capture<'a> {
    vm: &'a VirtualMachine<'a>,
    dir: &'a DumpDir,
    deadline: &'a Deadline,
    begun: Instant,
    pending: Option<Pending>,
    reply: Option<Reply>,
    /// From the order to the answer.
    took: Duration,
    files: Files<'a>,
    /// Nothing is read before the JVM is done: the processor is its own.
    waits: bool,
}

impl<'a> Capture<'a> {
    /// Has the JVM begin to dump into `dir`.
    ///
    /// # Errors
    /// When the JVM does not take the order.
    pub fn begin(
        vm: &'a VirtualMachine<'a>,
        dir: &'a DumpDir,
        layout: Layout,
        live: bool,
        waits: bool,
        deadline: &'a Deadline,
    ) -> Result<Self, DumpFailure> {
        let begun = Instant::now();
        let pending = send(vm, &format!("{}/{NAME}", dir.inside), layout, live, deadline)?;
        Ok(Self {
            vm,
            dir,
            deadline,
            begun,
            pending: Some(pending),
            reply: None,
            took: Duration::ZERO,
            files: Files::new(dir, layout),
            waits,
        })
    }

    /// The JVM's judgement, once [`Source::next`] gave the end.
    ///
    /// # Errors
    /// When the JVM does not call the dump whole.
    pub fn finish(mut self) -> Result<HeapDump, DumpFailure> {
        while self.pending.is_some() {
            self.wait(Duration::from_secs(1))?;
        }
        let (pid, path) = (self.vm.jvm().pid(), format!("{}/{NAME}", self.dir.here));
        let message = match self.reply.take() {
            Some(reply) => reply.message,
            // The wait for it failed before, with an error that says more.
            None => return Err(DumpError::Jvm { pid, path, words: "no answer".to_owned() }.into()),
        };
        match judge(&message) {
            Judgement::Created => {}
            Judgement::Failed(words) => return Err(refused(self.vm, path, words)),
        }
        let inside = format!("{}/{NAME}", self.dir.inside);
        let words = message.trim().replace(&inside, &path);
        Ok(HeapDump { path, words, pause_seconds: seconds(&message), took: self.took })
    }

    /// Whether what was read could be given back to the disk.
    pub fn releases(&self) -> bool {
        self.files.releases
    }

    /// Waits for the answer, at most for `time`.
    fn wait(&mut self, time: Duration) -> Result<(), DumpFailure> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let complete = pending.poll(time, self.deadline).map_err(|error| died_or(self.vm, error))?;
        if complete && let Some(pending) = self.pending.take() {
            // Without an answer nothing can be waited for any more, so its end is noted first.
            self.took = self.begun.elapsed();
            guard::let_go();
            self.reply = Some(pending.reply().map_err(|error| died_or(self.vm, error))?);
        }
        Ok(())
    }

    fn unreadable(&self, source: io::Error) -> DumpError {
        DumpError::Read { path: format!("{}/{NAME}", self.dir.here), source }
    }

    fn read_page(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>> {
        let done = self.reply.is_some();
        if self.waits && !done { Ok(None) } else { self.files.read_page(page, done) }
    }
}

impl Source for Capture<'_> {
    fn pauses(&self) -> bool {
        self.reply.is_none()
    }

    fn is_written(&self) -> bool {
        self.reply.is_some()
    }

    fn next(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>> {
        loop {
            if let Some(section) = self.read_page(page)? {
                return Ok(Some(section));
            }
            let was_done = self.reply.is_some();
            self.files.look().map_err(|source| io::Error::other(DumpFailure::from(self.unreadable(source))))?;
            if was_done {
                // Nothing can have come since the answer but what the last look found.
                return match self.read_page(page)? {
                    None => self.files.end_record(page),
                    section => Ok(section),
                };
            }
            let time = if self.files.heap_is_held() { LOOK } else { FIRST_LOOK };
            self.wait(time).map_err(io::Error::other)?;
        }
    }
}
