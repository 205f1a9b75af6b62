//! The dump without a disk: the JVM writes into pipes. So the application's pause depends on the reader of the pipes.
//! The run gives them up after `--max-pause`. Then the JVM drops the rest and goes on, though it still walks its heap.
//!
//! JDK 11.0.13 to 21 write one pipe from front to end. Later versions write the heap into `<path>.p0`, and behind it
//! the last bytes of the head into `<path>`. The JVM's merge of `.p0` finds a size of 0, and nothing to copy.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::answer::Answer;
use super::finished_dump::HeapDump;
use super::holder::Holder;
use super::pipe_pair::PipePair;
use super::{DumpError, DumpFailure, Plan, PlanError, RoomError};
use crate::attach::{AttachOperation, VirtualMachine};
use crate::base::deadline::{Cancel, Deadline, Reason};
use crate::compress::block::Section;
use crate::compress::pages::PAGE;
use crate::compress::source::{DUMPING, Source, SourceError};
use crate::guard;
use crate::hprof::records::END_RECORD;
use crate::jvm::layout::Layout;
use crate::kept::names::RAW;
use crate::kept::names::part_name;
use crate::store::UPLOADING;

/// Longest poll(2) of empty pipes. The run may notice the end of the dump this much later.
const POLL_WITHIN: Duration = Duration::from_millis(5);

/// A dump that the JVM writes into pipes.
#[derive(Debug)]
pub struct Pipe<'a> {
    answer: Answer<'a>,
    deadline: &'a Deadline,
    ends: Arc<Ends>,
    streams: Vec<Stream>,
    limit: Option<Limit>,
    holder: Holder,
    /// True if the head, as far as it has come, must go before each page of the heap.
    head_first: bool,
}

impl<'a> Pipe<'a> {
    /// Orders the JVM to dump into the pipes, by links in the directory of the plan.
    ///
    /// # Errors
    /// When the links cannot be made, or the JVM does not take the order.
    pub fn begin(
        vm: &'a VirtualMachine<'a>,
        plan: &'a Plan,
        pair: PipePair,
        live: bool,
        max_pause: Duration,
        deadline: &'a Deadline,
    ) -> Result<Self, PlanError> {
        let (dir, in_parts) = (&plan.dir, plan.layout == Layout::Parts);
        let PipePair { read_ends, names, holder } = pair;
        // In the layout `Parts`, the last bytes of the main pipe come behind the heap.
        let mut streams = vec![Stream::new(Section::Head, if in_parts { END_RECORD } else { 0 })];
        if in_parts {
            streams.push(Stream::new(Section::Heap(0), 0));
        }
        for (link, name) in [RAW.to_owned(), part_name(RAW, 0)].iter().zip(names.iter().take(streams.len())) {
            let failed = |source| RoomError::Io { what: "make a link in", path: dir.here.clone(), source };
            dir.create_link(link, name).map_err(failed)?;
        }
        let ends = Arc::new(Ends(Mutex::new(read_ends)));
        let limit = Limit::start(max_pause, Arc::clone(&ends), Arc::clone(deadline.cancel()));
        let limit = limit.map_err(RoomError::NoThread)?;
        let command = AttachOperation::stream_command(&format!("{}/{RAW}", dir.inside), in_parts, live);
        let answer = Answer::order(vm, dir, &AttachOperation::jcmd(&command), plan.layout, deadline)?;
        Ok(Self { answer, deadline, ends, streams, limit: Some(limit), holder, head_first: false })
    }

    /// Makes the names of fields come before the heap, as far as the JVM has written them. The run cannot wait for
    /// more.
    #[must_use]
    pub fn with_head_first(mut self) -> Self {
        self.head_first = true;
        self
    }

    /// Returns the JVM's judgement. [`Source::next`] must have given the end before.
    ///
    /// # Errors
    /// When the JVM does not call the dump whole.
    pub fn finish(mut self) -> Result<HeapDump, DumpFailure> {
        match self.answer.judge(self.deadline) {
            // The JVM did not find the pipe any more.
            Err(DumpFailure::Dump(DumpError::Jvm { pid, path, words })) if self.holder.is_gone() => {
                Err(DumpError::HolderDied { pid, path, words }.into())
            }
            other => other,
        }
    }

    /// Returns whether the JVM has answered, whatever it said.
    pub fn is_answered(&self) -> bool {
        self.answer.is_there()
    }

    /// Returns the bytes that are left when the JVM is done: the rest of each section, then the end record.
    fn rest(&mut self, page: &mut Vec<u8>) -> Option<Section> {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.filled > stream.last) {
            return Some(stream.give(page));
        }
        let end = self.streams.iter_mut().find(|stream| stream.filled > 0)?;
        end.last = 0;
        end.give(page);
        Some(Section::End)
    }
}

impl Drop for Pipe<'_> {
    fn drop(&mut self) {
        self.ends.give_up();
        // The JVM waits for nobody now, and fills no disk.
        guard::let_go();
    }
}

impl Source for Pipe<'_> {
    fn pauses(&self) -> bool {
        !self.is_answered()
    }

    /// Returns the upload as the next stage: only the bytes in pipes and workers are left.
    fn stage_after_pause(&mut self) -> (&'static str, Option<u64>) {
        (UPLOADING, None)
    }

    fn names_are_known(&mut self) {
        self.head_first = false;
    }

    fn next(&mut self, page: &mut Vec<u8>) -> Result<Option<Section>, SourceError> {
        loop {
            let done = self.is_answered();
            let any = self.ends.read(&mut self.streams)?;
            if self.streams.iter().any(|stream| stream.filled == PAGE)
                && let Some(stream) = self.streams.iter_mut().find(|stream| stream.is_due(self.head_first))
            {
                return Ok(Some(stream.give(page)));
            }
            if any {
                continue;
            }
            if done {
                return Ok(self.rest(page));
            }
            self.deadline.check(DUMPING).map_err(DumpFailure::from)?;
            self.ends.wait(&self.streams);
            self.answer.wait(Duration::ZERO, self.deadline)?;
            if self.is_answered() {
                self.limit = None;
            }
        }
    }
}

/// The bytes of one pipe, page by page.
#[derive(Debug)]
struct Stream {
    section: Section,
    bytes: Vec<u8>,
    filled: usize,
    /// Bytes that are held back, because they may be the end record.
    last: usize,
    /// True if nothing will come: the holder has died, and the JVM does not have the pipe open.
    ended: bool,
}

impl Stream {
    fn new(section: Section, last: usize) -> Self {
        Self { section, bytes: vec![0; PAGE], filled: 0, last, ended: false }
    }

    /// Reads from the pipe. Returns false if there is nothing.
    fn read_from(&mut self, end: &OwnedFd) -> io::Result<bool> {
        if self.filled == PAGE {
            return Ok(false);
        }
        match rustix::io::read(end, &mut self.bytes[self.filled..]) {
            Ok(n) => {
                self.filled += n;
                self.ended = n == 0;
                Ok(n > 0)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Returns whether a page is full, or the head must not wait for a full page.
    fn is_due(&self, head_first: bool) -> bool {
        self.filled == PAGE || (head_first && self.section == Section::Head && self.filled > self.last)
    }

    fn give(&mut self, page: &mut Vec<u8>) -> Section {
        let n = self.filled - self.last;
        std::mem::swap(page, &mut self.bytes);
        self.bytes.resize(PAGE, 0);
        self.bytes[..self.last].copy_from_slice(&page[n..self.filled]);
        page.truncate(n);
        self.filled = self.last;
        self.section
    }
}

/// The run's ends of the pipes. Empty once they are given up: then further writes of the JVM fail.
#[derive(Debug)]
struct Ends(Mutex<Vec<OwnedFd>>);

impl Ends {
    fn lock(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, streams: &mut [Stream]) -> io::Result<bool> {
        let mut any = false;
        for (end, stream) in self.lock().iter().zip(streams) {
            any |= stream.read_from(end)?;
        }
        Ok(any)
    }

    fn wait(&self, streams: &[Stream]) {
        let open = self.lock();
        // A pipe that has ended would end each wait at once.
        let open = open.iter().zip(streams).filter(|(_, stream)| !stream.ended);
        let mut fds: Vec<PollFd<'_>> = open.map(|(end, _)| PollFd::new(end, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: POLL_WITHIN.subsec_nanos().into() };
        // The result does not matter, because the pipes are read again.
        let _ = poll(&mut fds, Some(&timeout));
    }

    fn give_up(&self) {
        self.lock().clear();
    }
}

/// Gives up the pipes when the application has waited for too long, even if their reader is stuck.
#[derive(Debug)]
struct Limit {
    over: Arc<(Mutex<bool>, Condvar)>,
}

impl Limit {
    fn start(max_pause: Duration, ends: Arc<Ends>, cancel: Arc<Cancel>) -> io::Result<Self> {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let watched = Arc::clone(&over);
        let end = Instant::now() + max_pause;
        std::thread::Builder::new().spawn(move || {
            let (lock, changed) = &*watched;
            let mut is_over = lock.lock().unwrap_or_else(PoisonError::into_inner);
            while !*is_over {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    cancel.trip(Reason::MaxPause(max_pause));
                    ends.give_up();
                    return;
                }
                is_over = changed.wait_timeout(is_over, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        })?;
        Ok(Self { over })
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_all();
    }
}
