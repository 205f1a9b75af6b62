//! Where a raw dump comes from, and what its bytes have to be.

use std::error::Error;
use std::io::{self, Read};

use super::pages::PAGE;
use super::spool::Section;
use crate::hprof::{Malformed, Summary};

/// What the bytes have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrutiny {
    /// A heap dump, from its first record to the end.
    Dump,
    /// A heap dump as far as it goes: its maker died.
    Remains,
    /// Anything: a log, a recording.
    Anything,
}

impl Scrutiny {
    /// The damage that is put up with. What does not even begin as a dump is none.
    ///
    /// # Errors
    /// When it is not put up with.
    pub fn judge(self, walked: Result<(), Malformed>) -> Result<Option<String>, Malformed> {
        match walked {
            Err(error) if self == Self::Remains && error.offset > 0 => Ok(Some(error.to_string())),
            other => other.map(|()| None),
        }
    }
}

/// What a run that is stopped during the pause has waited for.
pub const DUMPING: &str = "the JVM stood still and dumped";

/// The stage of a run whose JVM runs again.
pub const COMPRESSING: &str = "compressing";

/// What is wrong with the bytes of a source, at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flaws {
    pub damage: Option<String>,
    /// A segment had no length: see [`crate::hprof::Mender`].
    pub mended: bool,
}

/// A source has no more bytes to give.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Whoever makes the dump has failed: a JVM, for example. Its error is of a layer above this one.
    #[error(transparent)]
    Maker(Box<dyn Error + Send + Sync>),
}

/// Where the raw dump comes from, page by page.
pub trait Source {
    fn scrutiny(&self) -> Scrutiny {
        Scrutiny::Dump
    }

    /// Puts the next bytes of one section into the empty `page`, at most [`PAGE`]; `None` at the end of the dump.
    /// The bytes of one section come in their order, sections in any.
    ///
    /// # Errors
    /// When the dump cannot be read, or its maker has failed.
    fn next(&mut self, page: &mut Vec<u8>) -> Result<Option<Section>, SourceError>;

    /// What was wrong with what has come.
    fn flaws(&self) -> Flaws {
        Flaws::default()
    }

    /// Called while the stages are busy and nothing can be taken: for what does not wait.
    ///
    /// # Errors
    /// As [`Source::next`].
    fn attend(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    /// An object has passed by: all classes were described. What may begin with objects need not be held back any more.
    fn classes_are_known(&mut self) {}

    /// What the head of the dump has still to tell is not needed for its heap.
    fn names_are_known(&mut self) {}

    /// The application waits for the dump.
    fn pauses(&self) -> bool {
        false
    }

    /// What there is to do when the application runs again, in a word for people; and how many bytes the dump has
    /// then, where that is known.
    fn stage_after_pause(&mut self) -> (&'static str, Option<u64>) {
        (COMPRESSING, None)
    }

    /// Whoever made the dump calls it whole; at its end.
    fn is_good(&self) -> bool {
        true
    }

    /// Nothing is waited for any more, and what is not read is lost: stopping would gain little and lose a dump.
    fn is_written(&self) -> bool {
        false
    }
}

/// Something in one sequential stream: it is all head.
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
    /// The same of bytes with these flaws, which are not whole.
    #[must_use]
    pub fn with(self, Flaws { damage, mended }: Flaws) -> Self {
        Self { complete: self.complete && damage.is_none() && !mended, damage, mended, ..self }
    }
}
