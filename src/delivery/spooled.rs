//! Delivers a raw dump by way of the spool, which is uploaded as far as its order is known.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::spool_ends::{Fed, Writer, digest_of, feed};
use super::{Context, Delivery};
use crate::base::waiting::{joined, started};
use crate::compress::block::{GzBlock, Section, Slot};
use crate::compress::compressor::{Compression, GzBlocks, PipelineError, StageControl, compressed};
use crate::compress::cpu_share::{Courtesy, step_back};
use crate::compress::source::{Scrutiny, Source};
use crate::compress::spool::Spool;
use crate::compress::verdict::Verdict;
use crate::hprof::{Histogram, Summary};
use crate::object::classes;
use crate::object::stored::Digest;
use crate::store::{StoreError, UPLOADING, Upload};
use crate::terminal::progress::Progress;

/// Walks `raw` to its end, compresses it into `spool`, and seals that. Then the function calls `sealed`, while parts
/// may still go out. A store that fails meanwhile does not end the work: the sealed dump is kept.
///
/// # Errors
/// When the dump is damaged, or the spool cannot be written. The caller can then only drop `upload`.
pub fn run(
    raw: &mut dyn Source,
    spool: Spool,
    upload: Option<&mut Upload>,
    mut compression: Compression,
    context: Context<'_>,
    sealed: impl FnOnce(&Spool, &Summary, bool),
) -> Result<Delivery, PipelineError> {
    let carried = carry(raw, &spool, upload, &mut compression, context, |walk, good| sealed(&spool, walk, good));
    carried.map(|delivery| Delivery { spool: Some(spool), ..delivery })
}

fn carry(
    raw: &mut dyn Source,
    spool: &Spool,
    upload: Option<&mut Upload>,
    compression: &mut Compression,
    Context { progress, deadline }: Context<'_>,
    sealed: impl FnOnce(&Summary, bool),
) -> Result<Delivery, PipelineError> {
    let (begun, part_size, cpu_share) = (Instant::now(), compression.part_size, compression.cpu_share);
    let early = upload.filter(|upload| upload.takes_parts_early());
    let (uploads, sequential) = (early.is_some(), raw.is_sequential());
    let (control, mut histogram) = (StageControl::default(), Histogram::new());
    std::thread::scope(|scope| {
        // After a panic, the reader of the spool must not wait for blocks that never come.
        let watch = GiveUpOnPanic(spool);
        let reads_again = uploads || !sequential;
        let feed = || {
            step_back(Courtesy::Behind);
            if uploads && !cpu_share.uploads_early {
                control.gate.wait(&control.halt);
            }
            let is_over = || control.halt.is_tripped();
            control.halt.guarding(|| {
                feed(spool, part_size, early, !sequential, progress, &is_over).map_err(PipelineError::Spool)
            })
        };
        let feeder = reads_again.then(|| started(scope, feed)).transpose().map_err(PipelineError::NoThread)?;
        let mut writer = Writer::new(spool, sequential, reads_again);
        let (walked, written) =
            compressed(raw, compression, &control, progress, deadline, &mut histogram, |gz_blocks| {
                // The file of a sequential dump is the object itself, and can be kept as it is.
                in_order(&gz_blocks, cpu_share.pages(), |block| writer.append(&block).map_err(PipelineError::Spool))
            });
        drop(watch);
        let took = begun.elapsed();
        let walked = match (walked, written) {
            (Ok(mut walk), Ok(())) => {
                spool.seal();
                // Nobody wants the object of a dump that is not whole, so the run waits for no store.
                if !raw.is_good() || raw.scrutiny() == Scrutiny::Dump && Verdict::of(&walk).is_none() {
                    control.halt.trip();
                }
                if uploads {
                    progress.stage(UPLOADING, Some(spool.stored_len()));
                }
                sealed(&walk, raw.is_good());
                classes::add_of_spool(&mut walk, &histogram, spool);
                Ok(walk)
            }
            (walked, written) => {
                spool.give_up();
                Err(first_cause([walked.err(), written.err()]))
            }
        };
        let fed = feeder.map_or(Ok(Fed { hash: None, sent: Ok(()) }), joined);
        let (walk, Fed { hash, sent }) = match (walked, fed) {
            (Ok(walk), Ok(fed)) => (walk, fed),
            (walked, fed) => return Err(first_cause([walked.err(), fed.err()])),
        };
        let digest = digest_of(spool, writer.hash().or(hash));
        let blanked = compression.blanked();
        let sending = uploads.then(|| begun.elapsed() - took);
        Ok(Delivery { walk, digest, sent, spool: None, took, sending, blanked })
    })
}

/// Returns the error that caused the others.
pub fn first_cause(errors: [Option<PipelineError>; 2]) -> PipelineError {
    errors.into_iter().flatten().reduce(PipelineError::or_its_cause).unwrap_or(PipelineError::Halted)
}

struct GiveUpOnPanic<'a>(&'a Spool);

impl Drop for GiveUpOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}

/// Passes blocks to `take` in the order of their section, and the end behind all others.
///
/// # Errors
/// Errors of `take`. [`PipelineError::Halted`] if blocks are missing, because the worker that had them has failed.
pub fn in_order(
    gz_blocks: &GzBlocks<'_>,
    pages: usize,
    mut take: impl FnMut(GzBlock) -> Result<(), PipelineError>,
) -> Result<(), PipelineError> {
    let mut next: BTreeMap<Section, u32> = BTreeMap::new();
    let mut early: BTreeMap<Slot, GzBlock> = BTreeMap::new();
    let mut end = None;
    while let Some(block) = gz_blocks.next()? {
        let section = block.slot.section;
        // The end is small, and overtakes the last blocks of the heap.
        if section == Section::End {
            end = Some(block);
            continue;
        }
        early.insert(block.slot, block);
        let seq = next.entry(section).or_insert(0);
        while let Some(block) = early.remove(&Slot { section, seq: *seq }) {
            take(block)?;
            *seq += 1;
        }
        if early.len() >= pages {
            return Err(PipelineError::Halted);
        }
    }
    if early.is_empty() { end.map_or(Ok(()), take) } else { Err(PipelineError::Halted) }
}

/// Sends a compressed dump that is already whole.
///
/// # Errors
/// When the file cannot be read.
pub fn send(
    spool: &Spool,
    part_size: u64,
    upload: &mut Upload,
    progress: &Progress,
) -> io::Result<(Digest, Result<(), StoreError>)> {
    let early = Some(upload).filter(|upload| upload.takes_parts_early());
    if early.is_some() {
        progress.stage(UPLOADING, Some(spool.stored_len()));
    }
    let Fed { hash, sent } = feed(spool, part_size, early, true, progress, &|| false)?;
    Ok((digest_of(spool, hash), sent))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use ring::digest::SHA256;

    use super::*;
    use crate::base::deadline::Deadline;
    use crate::base::units::hex;
    use crate::compress::cpu_share::CpuShare;
    use crate::compress::pages::PAGE;
    use crate::compress::source::{Scrutiny, Stream};

    fn run_over(raw: &[u8]) -> Result<Delivery, PipelineError> {
        let spool = Spool::new(tempfile::tempfile().unwrap());
        let cpu_share = CpuShare { workers: 1, later: 2, uploads_early: true, is_pressed: false };
        let compression = Compression { cpu_share, level: 1, part_size: 5 << 20, redactor: None };
        let deadline = Deadline::after(Duration::from_secs(60)).unwrap();
        let mut raw = Stream::new(raw, Scrutiny::Dump);
        let context = Context { progress: &Progress::silent(), deadline: &deadline };
        run(&mut raw, spool, None, compression, context, |_, _, _| {})
    }

    /// Builds a dump of one long name and its end.
    fn dump(name: usize) -> Vec<u8> {
        let mut dump = b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0".to_vec();
        dump.extend([1, 0, 0, 0, 0]);
        dump.extend((name as u32).to_be_bytes());
        dump.extend((0..name).map(|i| (i / 7) as u8));
        dump.extend([0x2c, 0, 0, 0, 0, 0, 0, 0, 0]);
        dump
    }

    #[test]
    fn the_spool_is_the_gzipped_dump_in_order_and_its_hash_is_right() {
        let raw = dump(9 * PAGE + 12_345);
        let piped = run_over(&raw).unwrap();
        let spool = piped.spool.unwrap();
        assert!(piped.walk.complete);
        let mut object = vec![0; spool.stored_len() as usize];
        spool.read_exact_at(&mut object, 0).unwrap();
        let mut back = Vec::new();
        flate2::read::MultiGzDecoder::new(&object[..]).read_to_end(&mut back).unwrap();
        assert!(back == raw);
        let hash = ring::digest::digest(&SHA256, &object);
        assert_eq!(piped.digest, Digest { bytes: object.len() as u64, sha256: Some(hex(hash.as_ref())) });
    }

    #[test]
    fn a_cut_dump_has_no_verdict_and_a_damaged_one_is_an_error() {
        let raw = dump(3 * PAGE);
        let piped = run_over(&raw[..raw.len() - 1]);
        assert!(Verdict::of(&piped.unwrap().walk).is_none());
        let piped = run_over(&[&raw[..40], &[0xEE; 5 * PAGE]].concat());
        assert!(matches!(piped, Err(PipelineError::Malformed(_))));
        let piped = run_over(b"no dump at all");
        assert!(matches!(piped, Err(PipelineError::Malformed(_))));
    }
}
