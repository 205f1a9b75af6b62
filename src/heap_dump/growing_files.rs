//! The files to which a JVM writes its dump. They are held as soon as they appear, lose their names, and are given back
//! to the disk behind the reader.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::fs::{FallocateFlags, fallocate};

use crate::compress::block::Section;
use crate::compress::pages::PAGE;
use crate::files::file_from::FileFrom;
use crate::guard;
use crate::hprof::records::END_RECORD;
use crate::jvm::layout::Layout;
use crate::jvm::memory;
use crate::kept::dump_dir::DumpDir;
use crate::kept::names::EMPTY;
use crate::kept::names::RAW;
use crate::kept::names::part_prefix;

/// Bytes that are given back at a time. Each time takes a lock of the file, which the JVM's writes need, too.
const RELEASE: u64 = 8 << 20;

/// Bytes that are given back at a time in memory. There, each of many parts would hold as many bytes that are
/// compressed already.
const RELEASE_MEMORY: u64 = PAGE as u64;

/// A file that the JVM writes to.
#[derive(Debug)]
pub struct GrowingFile {
    file: File,
    section: Section,
    read: u64,
    released: u64,
    /// The file's length when the JVM was done. A process that still writes adds nothing to the dump.
    end: Option<u64>,
}

impl GrowingFile {
    pub fn new(file: File, section: Section) -> Self {
        Self { file, section, read: 0, released: 0, end: None }
    }

    /// Puts the next `n` bytes, which are there, into the empty `page`.
    fn take(&mut self, n: u64, page: &mut Vec<u8>) -> io::Result<()> {
        // `read_to_end` needs no page that is filled with zeros first.
        let taken = FileFrom { file: &self.file, at: self.read }.take(n).read_to_end(page)?;
        self.read += taken as u64;
        if taken as u64 == n { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Returns the bytes of the file. If the JVM is `done`, returns those that were there when it was.
    fn len(&mut self, done: bool) -> io::Result<u64> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let len = self.file.metadata()?.len();
        self.end = done.then_some(len);
        Ok(len)
    }

    /// Gives back the bytes that were read, before the kernel writes them to the disk.
    fn release(&mut self, at_least: u64) -> io::Result<()> {
        let (from, len) = (self.released, self.read - self.released);
        if len < at_least.max(1) {
            return Ok(());
        }
        self.released = self.read;
        Ok(fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, from, len)?)
    }

    /// Gives back all bytes that are there, read or not.
    ///
    /// # Errors
    /// When the file system cannot give back bytes.
    pub fn release_all(&mut self) -> io::Result<()> {
        self.read = self.file.metadata()?.len().max(self.read);
        self.release(1)
    }
}

/// Holds the files that appeared since the last look, and removes their names.
///
/// # Errors
/// When the file system refuses.
pub fn take_over_files(dir: &DumpDir, layout: Layout, files: &mut Vec<GrowingFile>) -> io::Result<()> {
    if files.is_empty() {
        match dir.take_over(RAW, None) {
            Ok(file) => add(files, file, Section::Head),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    if layout == Layout::Parts {
        take_over_parts(dir, files)?;
    }
    Ok(())
}

/// Takes over the parts. They are numbered from 0 without a gap, but appear in any order.
fn take_over_parts(dir: &DumpDir, files: &mut Vec<GrowingFile>) -> io::Result<()> {
    let prefix = part_prefix(RAW);
    for name in dir.names(&prefix)? {
        let Some(number) = name.strip_prefix(&prefix).and_then(|number| number.parse().ok()) else { continue };
        let section = Section::Heap(number);
        if files.iter().any(|file| file.section == section) {
            continue;
        }
        match dir.take_over(&name, Some(&format!("{EMPTY}{number}"))) {
            Ok(file) => add(files, file, section),
            // The JVM was faster: it has merged the part, and the heap is in the main file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn add(files: &mut Vec<GrowingFile>, file: File, section: Section) {
    log::debug!("the JVM writes {section:?} of its dump");
    guard::hold(section, file.as_fd());
    files.push(GrowingFile::new(file, section));
}

/// All files of one dump.
#[derive(Debug)]
pub struct GrowingFiles<'a> {
    dir: &'a DumpDir,
    layout: Layout,
    files: Vec<GrowingFile>,
    release: u64,
    /// True if the file system takes back the bytes that were read.
    pub releases: bool,
    pub held_back: HeldBack,
}

/// The files that are not read yet. From JDK 22 on, the JVM begins to write the heap before it has written all of the
/// head. Up to 1 MiB of the head stays in its buffer until the end (JDK: `heapDumper.cpp`, `VM_HeapDumper::work`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBack {
    Nothing,
    /// Parts that may begin with objects. The first part describes the classes.
    LaterParts,
    /// All parts, because the head has to give the names of fields first.
    Heap,
}

impl HeldBack {
    fn holds(self, section: Section) -> bool {
        match self {
            Self::Nothing => false,
            Self::LaterParts => !matches!(section, Section::Head | Section::Heap(0)),
            Self::Heap => section != Section::Head,
        }
    }

    /// Returns what is still held back when all other files have been read.
    fn less(self) -> Self {
        if self == Self::Heap { Self::LaterParts } else { Self::Nothing }
    }
}

impl<'a> GrowingFiles<'a> {
    pub fn new(dir: &'a DumpDir, layout: Layout) -> Self {
        let release = if memory::holds(dir) { RELEASE_MEMORY } else { RELEASE };
        Self { dir, layout, files: Vec::new(), release, releases: true, held_back: HeldBack::Nothing }
    }

    /// Looks for new files.
    ///
    /// # Errors
    /// As [`take_over_files`].
    pub fn look(&mut self) -> io::Result<()> {
        take_over_files(self.dir, self.layout, &mut self.files)
    }

    /// Returns whether the heap's file is held.
    pub fn heap_is_held(&self) -> bool {
        self.files.len() > usize::from(self.layout == Layout::Parts)
    }

    /// Returns whether the JVM writes only one file.
    pub fn is_sequential(&self) -> bool {
        self.layout != Layout::Parts
    }

    /// Returns the bytes of all files when the JVM is done; `None` if one of them does not tell.
    pub fn whole_len(&mut self) -> Option<u64> {
        self.files.iter_mut().map(|growing| growing.len(true).ok()).sum()
    }

    /// Returns whether all bytes of `section` were read, and the JVM is done. The end record is a section of its own.
    pub fn is_over(&self, section: Section) -> bool {
        let growing = self.files.iter().find(|growing| growing.section == section);
        growing.is_some_and(|growing| growing.end.is_some_and(|end| growing.read + self.end_record_of(growing) >= end))
    }

    /// Reads a page. While the JVM writes, it is of the file that has the most bytes to give, and then of the first file
    /// that has any, so that the order of the object is known early. The page is shorter only if the JVM is done, or if
    /// the heap waits for the head.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read_page(&mut self, page: &mut Vec<u8>, done: bool) -> io::Result<Option<Section>> {
        let (mut next, mut ready) = self.next_file(done)?;
        while ready == 0 && done && self.held_back != HeldBack::Nothing {
            // The head did not name all fields, or the part with the classes had no objects.
            self.held_back = self.held_back.less();
            (next, ready) = self.next_file(done)?;
        }
        // The heap waits for the head, which gives what it has.
        let is_short = self.held_back == HeldBack::Heap && self.layout == Layout::Parts && self.heap_is_held();
        let Some(index) = next.filter(|_| ready >= PAGE as u64 || done || is_short) else { return Ok(None) };
        let growing = &mut self.files[index];
        growing.take(ready.min(PAGE as u64), page)?;
        if self.releases
            && let Err(error) = growing.release(self.release)
        {
            log::info!("the file system at {} keeps what was read until the end: {error}", self.dir.here);
            self.releases = false;
        }
        Ok(Some(growing.section))
    }

    /// Returns the bytes of the file that come behind the heap.
    fn end_record_of(&self, growing: &GrowingFile) -> u64 {
        let holds_end = self.layout == Layout::Parts && growing.section == Section::Head;
        if holds_end { END_RECORD as u64 } else { 0 }
    }

    /// Returns the file that is to be read next, and how many bytes it has to give.
    fn next_file(&mut self, done: bool) -> io::Result<(Option<usize>, u64)> {
        let (mut next, mut most): (Option<usize>, u64) = (None, 0);
        for index in 0..self.files.len() {
            if self.held_back.holds(self.files[index].section) {
                continue;
            }
            let ready = self.files[index].len(done)?;
            let ready = ready.saturating_sub(self.files[index].read + self.end_record_of(&self.files[index]));
            let is_first = || next.is_none_or(|next| self.files[index].section < self.files[next].section);
            let goes_before = if done { ready > 0 && is_first() } else { ready > most };
            if goes_before {
                (next, most) = (Some(index), ready);
            }
        }
        Ok((next, most))
    }

    /// Reads the end record, which was held back.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn end_record(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>> {
        let Some(head) = self.files.iter_mut().find(|file| file.section == Section::Head) else { return Ok(None) };
        let left = head.len(true)?.saturating_sub(head.read);
        if self.layout != Layout::Parts || left == 0 {
            return Ok(None);
        }
        head.take(left, page)?;
        Ok(Some(Section::End))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_grows_after_its_jvm_is_done_keeps_its_length() {
        let file = tempfile::tempfile().unwrap();
        let mut growing = GrowingFile::new(file.try_clone().unwrap(), Section::Head);
        for (len, done, told) in [(1, false, 1), (2, false, 2), (3, true, 3), (4, true, 3), (5, false, 3)] {
            file.set_len(len).unwrap();
            assert_eq!(growing.len(done).unwrap(), told, "{len}");
        }
    }
}
