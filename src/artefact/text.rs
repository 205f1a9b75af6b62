//! The text of an artefact as a source of bytes.

use std::io::Read;

use super::{ArtefactError, Kind};
use crate::attach::AnswerStream;
use crate::base::deadline::Deadline;
use crate::compress::block::Section;
use crate::compress::pages::PAGE;
use crate::compress::source::{Scrutiny, Source, SourceError};
use crate::jvm::Jvm;
use crate::jvm::maps::Vm;

/// Longest text in bytes. 50,000 threads with deep stacks have about 300 MB. The rest is read and dropped.
const LONGEST: u64 = 1 << 30;

/// Bytes at the start and at the end of a text that show whether it is whole.
const SHOWN: usize = 512;

/// Longest words of a JVM in an error, in bytes.
const WORDS_MAX: usize = 4 << 10;

/// A text that comes page by page. The JVM writes it meanwhile, or it is ready.
#[derive(Debug)]
pub struct Text<'a> {
    pid: i32,
    kind: Kind,
    /// True if the form of a whole text is known. Native images print threads and classes in a form of their own.
    is_known: bool,
    from: From<'a>,
    deadline: Deadline,
    bytes: u64,
    start: Vec<u8>,
    end: Vec<u8>,
}

#[derive(Debug)]
enum From<'a> {
    Jvm(Box<AnswerStream<'a>>),
    Ready(std::io::Cursor<Vec<u8>>),
}

impl<'a> Text<'a> {
    /// Returns the text of a JVM's answer.
    ///
    /// # Errors
    /// When the JVM refuses: with its words.
    pub(super) fn of_answer(
        kind: Kind,
        jvm: &Jvm,
        mut answer: AnswerStream<'a>,
        deadline: &Deadline,
    ) -> Result<Self, ArtefactError> {
        let pid = jvm.pid();
        if answer.completion_status == 0 {
            let text = Self::new(kind, pid, From::Jvm(Box::new(answer)), deadline);
            return Ok(Self { is_known: jvm.vm == Vm::HotSpot, ..text });
        }
        let mut words = Vec::new();
        while words.len() < WORDS_MAX && answer.read(&mut words, WORDS_MAX, deadline)? {}
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        Err(ArtefactError::Jvm { pid, kind: kind.word(), words })
    }

    /// Returns a text that is ready.
    pub(super) fn ready(kind: Kind, pid: i32, text: String, deadline: &Deadline) -> Self {
        Self::new(kind, pid, From::Ready(std::io::Cursor::new(text.into_bytes())), deadline)
    }

    fn new(kind: Kind, pid: i32, from: From<'a>, deadline: &Deadline) -> Self {
        Self {
            pid,
            kind,
            is_known: true,
            from,
            deadline: deadline.clone(),
            bytes: 0,
            start: Vec::new(),
            end: Vec::new(),
        }
    }

    /// Checks, at the end of the text, that the JVM has written all of it. An attach operation has status 0 even if it
    /// failed.
    ///
    /// # Errors
    /// When its start or its end is not that of a whole text.
    pub fn must_be_whole(&self) -> Result<(), ArtefactError> {
        let [start, end] = [&self.start, &self.end].map(|bytes| String::from_utf8_lossy(bytes));
        let last_line = end.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        if !self.is_known || self.kind.is_whole(&start, last_line) {
            return Ok(());
        }
        Err(ArtefactError::Incomplete { pid: self.pid, kind: self.kind.word() })
    }

    /// Returns the number of bytes beyond the longest text. They are not stored.
    pub fn cut(&self) -> u64 {
        self.bytes.saturating_sub(LONGEST)
    }

    fn read(&mut self, page: &mut Vec<u8>, room: usize) -> Result<bool, SourceError> {
        match &mut self.from {
            From::Ready(text) => Ok(text.take(room as u64).read_to_end(page)? > 0),
            From::Jvm(answer) => {
                let more = answer.read(page, room, &self.deadline);
                more.map_err(|error| SourceError::Maker(Box::new(ArtefactError::from(error))))
            }
        }
    }

    fn note(&mut self, piece: &[u8]) {
        let room = SHOWN.saturating_sub(self.start.len());
        self.start.extend_from_slice(&piece[..piece.len().min(room)]);
        self.end.extend_from_slice(&piece[piece.len().saturating_sub(SHOWN)..]);
        self.end.drain(..self.end.len().saturating_sub(SHOWN));
        self.bytes += piece.len() as u64;
    }
}

impl Source for Text<'_> {
    fn scrutiny(&self) -> Scrutiny {
        Scrutiny::Anything
    }

    fn next(&mut self, page: &mut Vec<u8>) -> Result<Option<Section>, SourceError> {
        let mut more = true;
        while more && page.len() < PAGE {
            let begun = page.len();
            more = self.read(page, PAGE - begun)?;
            self.note(&page[begun..]);
            let cut = usize::try_from(self.cut()).unwrap_or(usize::MAX);
            page.truncate(page.len().saturating_sub(cut).max(begun));
        }
        Ok((!page.is_empty()).then_some(Section::Head))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(kind: Kind, text: &str) -> (Vec<u8>, Result<(), ArtefactError>) {
        let deadline = Deadline::after(Duration::from_secs(60)).unwrap();
        let mut source = Text::ready(kind, 7, text.to_owned(), &deadline);
        let mut all = Vec::new();
        let mut page = Vec::new();
        while source.next(&mut page).unwrap().is_some() {
            assert!(page.len() <= PAGE);
            all.append(&mut page);
        }
        (all, source.must_be_whole())
    }

    #[test]
    fn text_of_several_pages_comes_whole() {
        let text = format!("2026\nFull thread dump\n{}", "x".repeat(3 * PAGE));
        let (all, whole) = read(Kind::Threads, &text);
        assert!(all == text.as_bytes() && whole.is_ok());
    }

    #[test]
    fn text_without_its_start_or_end_is_not_whole() {
        assert!(read(Kind::Threads, "no threads").1.is_err());
        assert!(read(Kind::Histogram, " num\n   1: 5 80 [I\n").1.is_err());
        assert!(read(Kind::Histogram, " num\n   1: 5 80 [I\nTotal  5  80\n").1.is_ok());
        assert!(read(Kind::Histogram, "").1.is_err());
    }
}
