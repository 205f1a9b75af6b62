//! The source of a raw dump, and how strictly its bytes are judged.

use std::error::Error;
use std::io::{self, Read};

use super::block::Section;
use super::pages::PAGE;
use crate::hprof::{Malformed, Summary};

/// How strictly the bytes of a source are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrutiny {
    /// The bytes are a heap dump, from its first record to the end.
    Dump,
    /// The bytes are a heap dump as far as it goes: its maker has died.
    Remains,
    /// The bytes may be anything: a log, a recording.
    Anything,
}

impl Scrutiny {
    /// Returns the damage that is accepted. Bytes that do not even begin as a dump are never accepted.
    ///
    /// # Errors
    /// When the damage is not accepted.
    pub fn judge(self, walked: Result<(), Malformed>) -> Result<Option<String>, Malformed> {
        match walked {
            Err(error) if self == Self::Remains && error.offset > 0 => Ok(Some(error.to_string())),
            other => other.map(|()| None),
        }
    }
}

/// The activity of a run during the pause, for the message when it is stopped.
pub const DUMPING: &str = "the JVM stood still and dumped";

/// The stage of a run after the pause.
pub const COMPRESSING: &str = "compressing";

/// Defects of the bytes of a source, known at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flaws {
    pub damage: Option<String>,
    /// A segment had no length: see [`crate::hprof::Mender`].
    pub mended: bool,
}

/// A source cannot give any more bytes.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The maker of the dump has failed, for example a JVM. Its error is of a layer above this one.
    #[error(transparent)]
    Maker(Box<dyn Error + Send + Sync>),
}

/// A raw dump that comes page by page.
pub trait Source {
    fn scrutiny(&self) -> Scrutiny {
        Scrutiny::Dump
    }

    /// Puts the next bytes of one section into the empty `page`, at most [`PAGE`] bytes. Returns `None` at the end of
    /// the dump. The bytes of one section come in order, sections in any order.
    ///
    /// # Errors
    /// When the dump cannot be read, or its maker has failed.
    fn next(&mut self, page: &mut Vec<u8>) -> Result<Option<Section>, SourceError>;

    /// Returns whether all bytes come in the section `Head`, and so in the order of the object.
    fn is_sequential(&self) -> bool {
        true
    }

    /// Returns whether it is known that `section` has no more bytes than have come.
    fn is_over(&self, _section: Section) -> bool {
        false
    }

    /// Returns the defects of the bytes that have come.
    fn flaws(&self) -> Flaws {
        Flaws::default()
    }

    /// Does work that cannot wait. The caller has no page now, because the stages are busy.
    ///
    /// # Errors
    /// As [`Source::next`].
    fn attend(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    /// Notes that an object has come, so that all classes are described. Bytes that may begin with objects need not be
    /// held back any more.
    fn classes_are_known(&mut self) {}

    /// Notes that the heap needs none of the names that the head has still to give.
    fn names_are_known(&mut self) {}

    /// Returns whether the application waits for the dump.
    fn pauses(&self) -> bool {
        false
    }

    /// Returns the stage after the pause, as a word for people. If the size of the dump is known then, returns that in
    /// bytes, too.
    fn stage_after_pause(&mut self) -> (&'static str, Option<u64>) {
        (COMPRESSING, None)
    }

    /// Returns, at the end, whether the maker of the dump calls it whole.
    fn is_good(&self) -> bool {
        true
    }

    /// Returns whether the dump is written, and is lost if nobody reads it. To stop the run then would gain little.
    fn is_written(&self) -> bool {
        false
    }
}

/// A source that is one sequential stream. All of it is in the section `Head`.
#[derive(Debug)]
pub struct Stream<R> {
    raw: R,
    scrutiny: Scrutiny,
}

impl<R> Stream<R> {
    pub fn new(raw: R, scrutiny: Scrutiny) -> Self {
        Self { raw, scrutiny }
    }
}

impl<R: Read> Source for Stream<R> {
    fn scrutiny(&self) -> Scrutiny {
        self.scrutiny
    }

    fn next(&mut self, page: &mut Vec<u8>) -> Result<Option<Section>, SourceError> {
        let n = self.raw.by_ref().take(PAGE as u64).read_to_end(page)?;
        Ok((n > 0).then_some(Section::Head))
    }
}

impl Summary {
    /// Adds the flaws of the bytes. A dump with flaws is not whole.
    #[must_use]
    pub fn with(self, Flaws { damage, mended }: Flaws) -> Self {
        Self { complete: self.complete && damage.is_none() && !mended, damage, mended, ..self }
    }
}
