//! The dump while the JVM writes it: read behind the JVM's back, released from the disk as soon as it is read, and
//! nameless, so that it is gone when the JVM and we are done with it, whoever dies.
//!
//! JDK 11.0.13 to 21 write one file from front to end. Later ones write the heap to `<path>.p0`, `.p1` … beside
//! the head in `<path>`, and would then copy all of it into `<path>`; an empty file under each part's name makes
//! that copy nothing (JDK: `heapDumper.cpp`, `DumpMerger::merge_file`). Earlier ones go back to write
//! lengths, which are found out without (`Reframed`).

use std::io;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::file::HeapDump;
use super::files::{Files, HeldBack};
use super::{DumpError, DumpFailure};
use crate::attach::{AttachOperation, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::compress::source::{COMPRESSING, Source, SourceError};
use crate::compress::spool::Section;
use crate::jvm::layout::Layout;
use crate::kept::dump_dir::DumpDir;
use crate::kept::names::RAW;

/// How long one look for growth may take; a JVM writes less than half a page in that time.
const LOOK: Duration = Duration::from_millis(1);

/// Where nothing is read before the JVM is done, only its parts are looked for, which it makes within as much.
const IDLE_LOOK: Duration = Duration::from_millis(20);

/// Until the heap's file is held, nothing may pass unseen: a small heap is written and merged within 5 ms.
const FIRST_LOOK: Duration = Duration::from_micros(100);

/// A dump on its way from the JVM.
#[derive(Debug)]
pub struct Capture<'a> {
    answer: Answer<'a>,
    dir: &'a DumpDir,
    deadline: &'a Deadline,
    files: Files<'a>,
    /// Nothing is read before the JVM is done: the processor is its own.
    waits: bool,
    /// When it was last looked for new files and for the answer.
    looked: Instant,
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
        let path = format!("{}/{RAW}", dir.inside);
        let answer = Answer::order(vm, dir, &AttachOperation::dumpheap(&path, live), layout, deadline)?;
        Ok(Self { answer, dir, deadline, files: Files::new(dir, layout), waits, looked: Instant::now() })
    }

    /// Has no object come before the names of fields and the description of its class.
    #[must_use]
    pub fn with_head_first(mut self) -> Self {
        self.files.held_back = HeldBack::Heap;
        self
    }

    /// The JVM's judgement, once [`Source::next`] gave the end.
    ///
    /// # Errors
    /// When the JVM does not call the dump whole.
    pub fn finish(mut self) -> Result<HeapDump, DumpFailure> {
        self.answer.judge(self.deadline)
    }

    /// Whether what was read could be given back to the disk.
    pub fn releases(&self) -> bool {
        self.files.releases
    }

    fn unreadable(&self, source: io::Error) -> DumpFailure {
        let path = format!("{}/{RAW}", self.dir.here);
        DumpError::unreadable(path, source).into()
    }

    fn read_page(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>> {
        let done = self.answer.is_there();
        if self.waits && !done { Ok(None) } else { self.files.read_page(page, done) }
    }

    /// New files, and then the answer, at most for `time`.
    fn look(&mut self, time: Duration) -> Result<(), SourceError> {
        self.files.look().map_err(|source| self.unreadable(source))?;
        self.answer.wait(time, self.deadline)?;
        self.looked = Instant::now();
        Ok(())
    }
}

impl Source for Capture<'_> {
    fn pauses(&self) -> bool {
        !self.answer.is_there()
    }

    fn stage_after_pause(&mut self) -> (&'static str, Option<u64>) {
        (COMPRESSING, self.files.whole_len())
    }

    fn is_written(&self) -> bool {
        self.answer.is_there()
    }

    fn is_good(&self) -> bool {
        self.answer.is_good()
    }

    fn names_are_known(&mut self) {
        if self.files.held_back == HeldBack::Heap {
            self.files.held_back = HeldBack::LaterParts;
        }
    }

    fn classes_are_known(&mut self) {
        self.files.held_back = HeldBack::Nothing;
    }

    fn attend(&mut self) -> Result<(), SourceError> {
        let due = !self.answer.is_there() && self.looked.elapsed() >= LOOK;
        if due { self.look(Duration::ZERO) } else { Ok(()) }
    }

    fn next(&mut self, page: &mut Vec<u8>) -> Result<Option<Section>, SourceError> {
        loop {
            self.attend()?;
            if let Some(section) = self.read_page(page)? {
                return Ok(Some(section));
            }
            if self.answer.is_there() {
                self.files.look().map_err(|source| self.unreadable(source))?;
                // Nothing can have come since the answer but what the last look found.
                return match self.read_page(page)? {
                    None => Ok(self.files.end_record(page)?),
                    section => Ok(section),
                };
            }
            self.look(match (self.files.heap_is_held(), self.waits) {
                (false, _) => FIRST_LOOK,
                (true, false) => LOOK,
                (true, true) => IDLE_LOOK,
            })?;
        }
    }
}
