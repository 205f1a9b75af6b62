//! The dump without a disk: the JVM writes into pipes. They couple the application's pause to whoever reads them, so
//! they are given up after `--max-pause`: the JVM drops the rest and goes on, though it still walks its heap.
//!
//! JDK 11.0.13 to 21 write one pipe from front to end. Later ones write the heap into `<path>.p0`, and the last of
//! the head into `<path>` behind it; opened for reading and writing, `.p0` never seems to end, and the JVM's merge
//! of it finds nothing to copy.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::answer::Answer;
use super::dump_dir::Hide;
use super::file::{HeapDump, NAME};
use super::{DumpDir, DumpFailure, Layout, PlanError, RoomError};
use crate::attach::{AttachOperation, VirtualMachine};
use crate::deadline::{Cancel, Deadline, Reason};
use crate::guard::{self, Held};
use crate::hprof::records::END_RECORD;
use crate::pages::PAGE;
use crate::spool::Section;
use crate::stages::Source;
use crate::waiting::pause;

/// How long empty pipes are watched at a time; so long may their end be delayed.
const LOOK: Duration = Duration::from_millis(5);

/// From the look-up of a name to the end of its open(2).
const STILL_OPENS: Duration = Duration::from_millis(20);

/// A dump on its way from the JVM.
#[derive(Debug)]
pub struct Pipe<'a> {
    answer: Answer<'a>,
    deadline: &'a Deadline,
    ends: Arc<Ends>,
    streams: Vec<Stream>,
    limit: Option<Limit>,
}

impl<'a> Pipe<'a> {
    /// Has the JVM begin to dump into pipes in `dir`.
    ///
    /// # Errors
    /// When there can be no pipes, or the JVM does not take the order.
    pub fn begin(
        vm: &'a VirtualMachine<'a>,
        dir: &'a DumpDir,
        layout: Layout,
        live: bool,
        max_pause: Duration,
        deadline: &'a Deadline,
    ) -> Result<Self, PlanError> {
        let in_parts = layout == Layout::Parts;
        // In parts, the last bytes of the main pipe come behind the heap.
        let mut streams = vec![Stream::new(Section::Head, if in_parts { END_RECORD } else { 0 })];
        let mut ends = vec![make(dir, NAME)?];
        if in_parts {
            streams.push(Stream::new(Section::Heap(0), 0));
            ends.push(make(dir, &format!("{NAME}.p0"))?);
        }
        let ends = Arc::new(Ends { open: Mutex::new(ends), hide: dir.hide().map_err(|source| io_error(dir, source))? });
        let limit = Limit::start(max_pause, Arc::clone(&ends), Arc::clone(deadline.cancel()));
        let command = AttachOperation::stream_command(&format!("{}/{NAME}", dir.inside), in_parts, live);
        let order = AttachOperation::jcmd(&command);
        match Answer::order(vm, dir, &order, layout, deadline) {
            Ok(answer) => Ok(Self { answer, deadline, ends, streams, limit: Some(limit) }),
            Err(error) => {
                ends.give_up();
                Err(error.into())
            }
        }
    }

    /// The JVM's judgement, once [`Source::next`] gave the end.
    ///
    /// # Errors
    /// When the JVM does not call the dump whole.
    pub fn finish(mut self) -> Result<HeapDump, DumpFailure> {
        self.answer.judge(self.deadline)
    }

    /// The JVM is done, whatever it said.
    pub fn is_answered(&self) -> bool {
        self.answer.is_there()
    }

    /// What is left when the JVM is done: the rest of each section, then the end record.
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
    }
}

impl Source for Pipe<'_> {
    fn pauses(&self) -> bool {
        !self.is_answered()
    }

    fn next(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>> {
        loop {
            let done = self.is_answered();
            let any = self.ends.read(&mut self.streams)?;
            if let Some(stream) = self.streams.iter_mut().find(|stream| stream.filled == PAGE) {
                return Ok(Some(stream.give(page)));
            }
            if any {
                continue;
            }
            if done {
                return Ok(self.rest(page));
            }
            self.deadline.check("reading the dump").map_err(|stopped| io::Error::other(DumpFailure::from(stopped)))?;
            self.ends.wait();
            self.answer.wait(Duration::ZERO, self.deadline).map_err(io::Error::other)?;
            if self.is_answered() {
                self.limit = None;
            }
        }
    }
}

fn make(dir: &DumpDir, name: &str) -> Result<OwnedFd, RoomError> {
    let end = dir.create_pipe(name).map_err(|source| io_error(dir, source))?;
    // As much as the JVM writes at a time; where the user may not have so much, less will do.
    if let Err(errno) = rustix::pipe::fcntl_setpipe_size(&end, PAGE) {
        log::debug!("{name} stays small: {errno}");
    }
    guard::hold(Held::Pipe, end.as_fd());
    Ok(end)
}

fn io_error(dir: &DumpDir, source: io::Error) -> RoomError {
    RoomError::Io { what: "make a pipe in", path: dir.here.clone(), source }
}

/// What comes through one pipe, page by page.
#[derive(Debug)]
struct Stream {
    section: Section,
    bytes: Vec<u8>,
    filled: usize,
    /// Kept back, for these may be the end record.
    last: usize,
}

impl Stream {
    fn new(section: Section, last: usize) -> Self {
        Self { section, bytes: vec![0; PAGE], filled: 0, last }
    }

    /// False when there is nothing.
    fn read_from(&mut self, end: &OwnedFd) -> io::Result<bool> {
        if self.filled == PAGE {
            return Ok(false);
        }
        match rustix::io::read(end, &mut self.bytes[self.filled..]) {
            Ok(n) => {
                self.filled += n;
                Ok(n > 0)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
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

/// Our ends of the pipes, open for reading and writing; none once they are given up.
#[derive(Debug)]
struct Ends {
    open: Mutex<Vec<OwnedFd>>,
    hide: Hide,
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, streams: &mut [Stream]) -> io::Result<bool> {
        let mut any = false;
        for (end, stream) in self.lock().iter().zip(streams) {
            any |= stream.read_from(end)?;
        }
        Ok(any)
    }

    fn wait(&self) {
        let open = self.lock();
        let mut fds: Vec<PollFd<'_>> = open.iter().map(|end| PollFd::new(end, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
        // Whatever it says, the pipes are read again.
        let _ = poll(&mut fds, Some(&timeout));
    }

    /// The JVM gets an error for what it still writes. A pipe that it opens from now on would keep it waiting for
    /// ever, at a safepoint: so their directory is gone for it first.
    fn give_up(&self) {
        let mut open = self.lock();
        if open.is_empty() {
            return;
        }
        match self.hide.hide() {
            // A JVM that has just found a pipe by its name still opens it.
            Ok(()) => {
                pause(STILL_OPENS);
                guard::let_go();
            }
            // The guard holds them until the JVM is done.
            Err(error) => log::warn!("the guard has to drain the dump, for its directory stays: {error}"),
        }
        open.clear();
    }
}

/// Gives up the pipes when the application has waited for too long, even if whoever reads them is stuck.
#[derive(Debug)]
struct Limit {
    over: Arc<(Mutex<bool>, Condvar)>,
}

impl Limit {
    fn start(max_pause: Duration, ends: Arc<Ends>, cancel: Arc<Cancel>) -> Self {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let watched = Arc::clone(&over);
        let end = Instant::now() + max_pause;
        std::thread::spawn(move || {
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
        });
        Self { over }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_all();
    }
}
