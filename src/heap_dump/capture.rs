//! The dump while the JVM writes it: read behind the JVM's back, released from the disk as soon as it is read, and
//! nameless, so that it is gone when the JVM and we are done with it, whoever dies.
//!
//! JDK 11.0.13 to 21 write one file from front to end. Later ones write the heap to `<path>.p0`, `.p1` … beside
//! the head in `<path>`, and would then copy all of it into `<path>`; an empty file under each part's name makes
//! that copy nothing (JDK: `heapDumper.cpp`, `DumpMerger::merge_file`). Earlier ones go back to patch lengths, and
//! are read when they are done.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};

use super::file::{HeapDump, NAME, died_or, refused, send};
use super::reply::{Judgement, judge, seconds};
use super::{DumpDir, DumpError, DumpFailure, Layout};
use crate::attach::{Pending, Reply, VirtualMachine};
use crate::deadline::Deadline;
use crate::pages::PAGE;
use crate::pipeline::Source;
use crate::spool::Section;

/// How long one look for growth may take; a JVM writes less than half a page in that time.
const LOOK: Duration = Duration::from_millis(1);

/// Until the heap's file is held, nothing may pass unseen: a small heap is written and merged within 5 ms.
const FIRST_LOOK: Duration = Duration::from_micros(100);

/// So much is given back at a time: each time takes a lock of the file that the JVM's writes need, too.
const RELEASE: u64 = 8 << 20;

/// The record that ends a dump: the last bytes of `<path>`, behind the heap.
const END_RECORD: u64 = 9;

/// A file that the JVM writes to.
#[derive(Debug)]
struct Growing {
    file: File,
    section: Section,
    read: u64,
    released: u64,
}

/// A dump on its way from the JVM.
#[derive(Debug)]
pub struct Capture<'a> {
    vm: &'a VirtualMachine<'a>,
    dir: &'a DumpDir,
    deadline: &'a Deadline,
    layout: Layout,
    begun: Instant,
    pending: Option<Pending>,
    reply: Option<Reply>,
    /// From the order to the answer.
    took: Duration,
    files: Vec<Growing>,
    /// The file system takes back what was read.
    releases: bool,
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
        let pending = Some(send(vm, &format!("{}/{NAME}", dir.inside), live, deadline)?);
        Ok(Self {
            vm,
            dir,
            deadline,
            layout,
            begun,
            pending,
            reply: None,
            took: Duration::ZERO,
            files: Vec::new(),
            releases: true,
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
        self.releases
    }

    /// Waits for the answer, at most for `time`.
    fn wait(&mut self, time: Duration) -> Result<(), DumpFailure> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let complete = pending.poll(time, self.deadline).map_err(|error| died_or(self.vm, error))?;
        if complete && let Some(pending) = self.pending.take() {
            // Without an answer nothing can be waited for any more, so its end is noted first.
            self.took = self.begun.elapsed();
            self.reply = Some(pending.reply().map_err(|error| died_or(self.vm, error))?);
        }
        Ok(())
    }

    /// Holds the files that appeared since the last look.
    fn look_for_files(&mut self) -> Result<(), DumpFailure> {
        if self.files.is_empty() {
            match self.dir.take_over(NAME, None) {
                Ok(file) => self.files.push(Growing { file, section: Section::Head, read: 0, released: 0 }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(source) => return Err(self.unreadable(source).into()),
            }
        }
        if self.layout == Layout::Parts {
            self.look_for_parts()?;
        }
        Ok(())
    }

    /// Parts are numbered from 0 without a gap, but appear in any order.
    fn look_for_parts(&mut self) -> Result<(), DumpFailure> {
        let prefix = format!("{NAME}.p");
        for name in self.dir.names().map_err(|source| self.unreadable(source))? {
            let Some(number) = name.strip_prefix(&prefix).and_then(|number| number.parse().ok()) else { continue };
            let section = Section::Heap(number);
            if self.files.iter().any(|file| file.section == section) {
                continue;
            }
            match self.dir.take_over(&name, Some(&format!("empty.{number}"))) {
                Ok(file) => self.files.push(Growing { file, section, read: 0, released: 0 }),
                // The JVM was faster: it has merged the part, and the heap is in the main file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(self.unreadable(source).into()),
            }
        }
        Ok(())
    }

    fn unreadable(&self, source: io::Error) -> DumpError {
        DumpError::Read { path: format!("{}/{NAME}", self.dir.here), source }
    }

    /// A page of the file that has most to give; less than a page only when the JVM is done.
    fn read_page(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>> {
        let done = self.reply.is_some();
        if self.waits && !done {
            return Ok(None);
        }
        let (mut best, mut most) = (None, 0);
        for (index, growing) in self.files.iter().enumerate() {
            let held_back =
                if self.layout == Layout::Parts && growing.section == Section::Head { END_RECORD } else { 0 };
            let ready = (growing.file.metadata()?.len()).saturating_sub(growing.read + held_back);
            if ready > most {
                (best, most) = (Some(index), ready);
            }
        }
        let Some(index) = best.filter(|_| most >= PAGE as u64 || done) else { return Ok(None) };
        let growing = &mut self.files[index];
        page.resize(most.min(PAGE as u64) as usize, 0);
        growing.file.read_exact_at(page, growing.read)?;
        growing.read += page.len() as u64;
        let section = growing.section;
        self.release(index);
        Ok(Some(section))
    }

    /// Gives back what was read before the kernel writes it to the disk.
    fn release(&mut self, index: usize) {
        let growing = &mut self.files[index];
        let (from, len) = (growing.released, growing.read - growing.released);
        if !self.releases || len < RELEASE {
            return;
        }
        growing.released = growing.read;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if let Err(errno) = fallocate(&growing.file, flags, from, len) {
            log::info!("the file system at {} keeps what was read until the end: {errno}", self.dir.here);
            self.releases = false;
        }
    }

    /// The end record, which was held back.
    fn end_record(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>> {
        let Some(head) = self.files.iter_mut().find(|file| file.section == Section::Head) else { return Ok(None) };
        let left = head.file.metadata()?.len().saturating_sub(head.read);
        if self.layout != Layout::Parts || left == 0 {
            return Ok(None);
        }
        page.resize(left as usize, 0);
        head.file.read_exact_at(page, head.read)?;
        head.read += left;
        Ok(Some(Section::End))
    }

    fn is_held(&self) -> bool {
        self.files.len() > usize::from(self.layout == Layout::Parts)
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
            self.look_for_files().map_err(io::Error::other)?;
            if was_done {
                // Nothing can have come since the answer but what the last look found.
                return match self.read_page(page)? {
                    None => self.end_record(page),
                    section => Ok(section),
                };
            }
            let time = if self.is_held() { LOOK } else { FIRST_LOOK };
            self.wait(time).map_err(io::Error::other)?;
        }
    }
}
