//! Reads the dump while the JVM writes it, without the JVM's knowledge. The capture gives bytes back to the disk as
//! soon as it has read them. The capture also removes the names of the files. So the files are gone when the JVM and
//! this process have closed them, even if both are killed.
//!
//! JDK 11.0.13 to 21 write one file from front to end. Later versions write the heap to `<path>.p0`, `.p1` … beside the
//! head in `<path>`. These versions would then copy all of the heap into `<path>`. An empty file under the name of each
//! part makes that copy empty (JDK: `heapDumper.cpp`, `DumpMerger::merge_file`). Earlier versions go back to write
//! lengths, but `Reframed` does not need them.

use std::io;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::finished_dump::HeapDump;
use super::growing_files::{GrowingFiles, HeldBack};
use super::{DumpError, DumpFailure};
use crate::attach::{AttachOperation, VirtualMachine};
use crate::base::deadline::Deadline;
use crate::compress::block::Section;
use crate::compress::source::{COMPRESSING, Source, SourceError};
use crate::jvm::layout::Layout;
use crate::kept::dump_dir::DumpDir;
use crate::kept::names::RAW;

/// Interval at which the held files are checked for growth. A JVM writes less than half a page in that time.
const POLL_EVERY: Duration = Duration::from_millis(1);

/// Interval if nothing is read before the JVM is done. A check finds only new parts then, and the JVM makes them within
/// about that time.
const POLL_IDLE_EVERY: Duration = Duration::from_millis(20);

/// Interval until the heap's file is held. A small heap is written and merged within 5 ms, and must not be
/// missed.
const POLL_NAMES_EVERY: Duration = Duration::from_micros(100);

/// A dump that the JVM is writing.
#[derive(Debug)]
pub struct Capture<'a> {
    answer: Answer<'a>,
    dir: &'a DumpDir,
    deadline: &'a Deadline,
    files: GrowingFiles<'a>,
    /// True if nothing is read before the JVM is done, so that the JVM has the processor to itself.
    waits: bool,
    /// Time of the last look for new files and for the answer.
    looked: Instant,
}

impl<'a> Capture<'a> {
    /// Orders the JVM to dump into `dir`.
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
        Ok(Self { answer, dir, deadline, files: GrowingFiles::new(dir, layout), waits, looked: Instant::now() })
    }

    /// Makes the names of fields and the descriptions of classes come before all objects.
    #[must_use]
    pub fn with_head_first(mut self) -> Self {
        self.files.held_back = HeldBack::Heap;
        self
    }

    /// Returns the JVM's judgement. [`Source::next`] must have given the end before.
    ///
    /// # Errors
    /// When the JVM does not call the dump whole.
    pub fn finish(mut self) -> Result<HeapDump, DumpFailure> {
        self.answer.judge(self.deadline)
    }

    /// Returns whether the bytes that were read could be given back to the disk.
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

    /// Looks for new files, and then waits for the answer, at most for `time`.
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

    fn is_sequential(&self) -> bool {
        self.files.is_sequential()
    }

    fn is_over(&self, section: Section) -> bool {
        self.files.is_over(section)
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
        let due = !self.answer.is_there() && self.looked.elapsed() >= POLL_EVERY;
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
                // After the answer, only this last look can have found more bytes.
                return match self.read_page(page)? {
                    None => Ok(self.files.end_record(page)?),
                    section => Ok(section),
                };
            }
            self.look(match (self.files.heap_is_held(), self.waits) {
                (false, _) => POLL_NAMES_EVERY,
                (true, false) => POLL_EVERY,
                (true, true) => POLL_IDLE_EVERY,
            })?;
        }
    }
}
