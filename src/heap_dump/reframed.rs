//! Reads a dump whose segment lengths are written late, without waiting for them.

use super::{Capture, DumpError, DumpFailure};
use crate::compress::block::Section;
use crate::compress::pages::PAGE;
use crate::compress::source::{Source, SourceError};
use crate::hprof::Reframer;

/// A capture, with segments that this program makes.
#[derive(Debug)]
pub struct Reframed<'c, 'a> {
    capture: &'c mut Capture<'a>,
    reframer: Reframer,
    raw: Vec<u8>,
    path: String,
}

impl<'c, 'a> Reframed<'c, 'a> {
    pub fn new(capture: &'c mut Capture<'a>, path: &str) -> Self {
        Self { capture, reframer: Reframer::new(PAGE), raw: Vec::new(), path: path.to_owned() }
    }
}

impl Source for Reframed<'_, '_> {
    fn pauses(&self) -> bool {
        self.capture.pauses()
    }

    fn stage_after_pause(&mut self) -> (&'static str, Option<u64>) {
        self.capture.stage_after_pause()
    }

    fn is_sequential(&self) -> bool {
        self.capture.is_sequential()
    }

    fn is_written(&self) -> bool {
        self.capture.is_written()
    }

    fn is_good(&self) -> bool {
        self.capture.is_good()
    }

    fn attend(&mut self) -> Result<(), SourceError> {
        self.capture.attend()
    }

    fn next(&mut self, page: &mut Vec<u8>) -> Result<Option<Section>, SourceError> {
        loop {
            let full = self.reframer.fill(page).map_err(|source| {
                let path = self.path.clone();
                DumpFailure::from(DumpError::Malformed { path, source })
            })?;
            if full {
                return Ok(Some(Section::Head));
            }
            self.raw.clear();
            if self.capture.next(&mut self.raw)?.is_none() {
                self.reframer.finish(page);
                return Ok((!page.is_empty()).then_some(Section::Head));
            }
            self.reframer.push(&self.raw);
        }
    }
}
