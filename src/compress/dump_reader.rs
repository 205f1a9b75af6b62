//! Reads a dump from a file or from standard input. The reader decompresses it, and adds the length of a segment that
//! its JVM did not write. At the end, [`Flaws`] tells the defects of the bytes.

use std::io::{self, Read};

use super::block::Section;
use super::gunzip::Gunzip;
use super::gzip;
use super::pages::PAGE;
use crate::compress::source::{Flaws, Scrutiny, Source, SourceError};
use crate::hprof::Mender;
use crate::hprof::records::{END_RECORD, tag};

/// Reads a dump that exists already, plain or gzipped.
pub struct DumpReader<'a> {
    raw: Box<dyn Read + 'a>,
    scrutiny: Scrutiny,
    mender: Mender,
    piece: Vec<u8>,
    ready: Vec<u8>,
    given: usize,
    is_over: bool,
    damage: Option<String>,
}

impl<'a> DumpReader<'a> {
    /// Creates a reader of bytes that are the dump.
    pub fn plain(raw: impl Read + 'a, scrutiny: Scrutiny) -> Self {
        Self {
            raw: Box::new(raw),
            scrutiny,
            mender: Mender::new(PAGE),
            piece: vec![0; PAGE],
            ready: Vec::new(),
            given: 0,
            is_over: false,
            damage: None,
        }
    }

    /// Creates a reader of a gzip stream. If the stream is damaged, only the bytes before the damage come.
    pub fn gzipped(gz: impl Read + 'a, scrutiny: Scrutiny) -> Self {
        Self::plain(Gunzip::new(gz), scrutiny)
    }

    fn go_on(&mut self) -> io::Result<()> {
        self.ready.drain(..self.given);
        self.given = 0;
        match self.raw.read(&mut self.piece) {
            Ok(0) => self.end(),
            Ok(n) if self.scrutiny == Scrutiny::Anything => self.ready.extend_from_slice(&self.piece[..n]),
            Ok(n) => self.mender.push(&self.piece[..n], &mut self.ready),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if self.is_borne(&error) => {
                self.damage = Some(gzip::damage(&error));
                self.end();
                self.drop_end_record();
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn end(&mut self) {
        self.is_over = true;
        self.mender.finish(&mut self.ready);
    }

    /// Removes an end record, so that nobody takes the dump of a damaged stream for whole.
    fn drop_end_record(&mut self) {
        let is_end = |end: &[u8]| end[0] == tag::HEAP_DUMP_END && end[5..] == [0; 4];
        if self.ready.last_chunk::<END_RECORD>().is_some_and(|end| is_end(end)) {
            self.ready.truncate(self.ready.len() - END_RECORD);
        }
    }

    /// Returns how many bytes may be given out. The last bytes of a stream are held back until its own end has come.
    fn sound(&self) -> usize {
        let kept = if self.is_over || self.scrutiny != Scrutiny::Remains { 0 } else { END_RECORD };
        self.ready.len().saturating_sub(kept).max(self.given)
    }

    /// Returns whether an error counts as the end of the dump. A cut stream is a dump that is not whole, like a cut
    /// dump. Other damage is an error, unless the user wants what is left.
    fn is_borne(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::UnexpectedEof || self.scrutiny != Scrutiny::Dump && gzip::is_damage(error)
    }
}

impl Read for DumpReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.given == self.sound() && !self.is_over {
            self.go_on()?;
        }
        let n = buf.len().min(self.sound() - self.given);
        buf[..n].copy_from_slice(&self.ready[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

impl Source for DumpReader<'_> {
    fn scrutiny(&self) -> Scrutiny {
        self.scrutiny
    }

    fn next(&mut self, page: &mut Vec<u8>) -> Result<Option<Section>, SourceError> {
        let n = self.by_ref().take(PAGE as u64).read_to_end(page)?;
        Ok((n > 0).then_some(Section::Head))
    }

    fn flaws(&self) -> Flaws {
        Flaws { damage: self.damage.clone(), mended: self.mender.has_mended() }
    }
}

impl std::fmt::Debug for DumpReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DumpReader").field("scrutiny", &self.scrutiny).finish_non_exhaustive()
    }
}
