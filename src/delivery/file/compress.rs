//! Compresses a plain dump on its way into the store: by a spool, or straight into parts if there is no room for one.

use super::Deposit;
use super::input::open;
use crate::compress::compressor::Compression;
use crate::compress::cpu_share::{CpuShare, processors};
use crate::compress::dump_reader::DumpReader;
use crate::compress::source::Source;
use crate::compress::spool::Spool;
use crate::delivery::temporary::least_room;
use crate::delivery::walk::is_gzip;
use crate::delivery::{Delivery, spooled, streamed};
use crate::error::Error;
use crate::files::entry::Entry;
use crate::hprof::{Histogram, Redactor, Summary};
use crate::object::classes;
use crate::store::Upload;

impl Deposit<'_> {
    pub(super) fn compress(
        &self,
        mut raw: DumpReader<'_>,
        path: &str,
        redactor: Option<Redactor>,
        upload: &mut Upload,
    ) -> Result<Delivery, Error> {
        let in_store = upload.spool_file(false).map_err(Error::Store)?;
        let (bytes, sends_parts) = (self.raw_bytes(), upload.takes_parts_early());
        // A store that takes parts needs no copy, and memory is the last place for one.
        let least = if sends_parts { bytes.max(1) } else { least_room(bytes) };
        let beside = || self.nameless_beside(bytes, least);
        let file = in_store.map_or_else(beside, |(file, _)| Ok(file));
        let file = match file {
            Err(error) if sends_parts => {
                log::info!("{path} is compressed into the store's parts, without a copy: {}", error.chain());
                return self.compress_into_parts(&mut raw, path, redactor, upload);
            }
            other => other?,
        };
        let spool = Spool::new(file);
        let compression = self.compression(CpuShare::of(processors()), redactor);
        spooled::run(&mut raw, spool, Some(upload), compression, self.context, |_, _, _| {})
            .map_err(|error| Error::from_pipeline(error, path, "the compressed copy"))
    }

    /// Compresses the dump without a copy on a disk. The file stays until all is stored, so nothing is lost if the
    /// store fails.
    fn compress_into_parts(
        &self,
        raw: &mut dyn Source,
        path: &str,
        redactor: Option<Redactor>,
        upload: &mut Upload,
    ) -> Result<Delivery, Error> {
        let compression = self.compression(CpuShare::streaming(processors()), redactor);
        let mut histogram = Histogram::new();
        let streamed = streamed::run(raw, upload, compression, self.context, &mut histogram);
        let mut delivery = streamed.map_err(|error| error.of_file(path))?;
        self.add_classes(&mut delivery.walk, &histogram);
        Ok(delivery)
    }

    fn compression(&self, cpu_share: CpuShare, redactor: Option<Redactor>) -> Compression {
        Compression { cpu_share, level: self.settings.level, part_size: self.begin.part_size, redactor }
    }

    fn raw_bytes(&self) -> u64 {
        let parts = self.parts.get().into_iter().flatten();
        self.begin.file.bytes
            + parts.filter_map(|part: &Entry| part.metadata().ok()).map(|meta| meta.len()).sum::<u64>()
    }

    /// Adds the largest classes with names from the file. Standard input is read only once, and tells none.
    fn add_classes(&self, walk: &mut Summary, histogram: &Histogram) {
        let file = self.entry.as_ref().and_then(|entry| open(self.item, entry).ok());
        if let Some((file, gzipped)) = file.and_then(|file| is_gzip(&file).ok().map(|gzipped| (file, gzipped))) {
            classes::add_of_file(walk, histogram, &file, gzipped);
        }
    }
}
