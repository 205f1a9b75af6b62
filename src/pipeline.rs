//! The stages between a raw dump and its object, joined by threads and bounded channels:
//! walk, compress, spool, and upload as far as the order is known.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use ring::digest::{Context, SHA256};

use crate::deadline::{Deadline, Stopped};
use crate::effort::{Effort, Gate, OpenAtLast, StepBack};
use crate::gzip::{CompressError, Encoder};
use crate::hprof::{Malformed, Summary, Walker};
use crate::pages::{PAGE, Pool};
use crate::progress::Progress;
use crate::spool::{Block, Member, Section, Slot, Spool};
use crate::store::{Digest, StoreError, Upload};
use crate::units::hex;

/// A dump that may become an object: the JVM called it whole, and the walk saw its end.
#[derive(Debug)]
pub struct Verdict(());

impl Verdict {
    /// `None` when the walk did not see the end. The JVM's words have been judged where they were read: without
    /// a good word there is no dump to walk.
    pub fn of(walk: &Summary) -> Option<Self> {
        walk.complete.then_some(Self(()))
    }
}

/// What came out.
#[derive(Debug)]
pub struct Piped {
    pub walk: Summary,
    pub digest: Digest,
    /// Whether all parts went out, where the store takes them early.
    pub sent: Result<(), StoreError>,
    pub took: Duration,
}

/// The dump did not get into the spool.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("cannot read the dump")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// The JVM merged a part before its name was taken away.
    #[error("the JVM copied a part of its heap that was already read")]
    Merged,
    #[error("cannot write the compressed dump")]
    Spool(#[source] io::Error),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Walks `raw` to its end, compresses it into `spool` and seals that. A store that fails meanwhile does not end
/// the work: what is sealed is kept.
///
/// # Errors
/// When the dump is damaged, or the spool cannot be written; `upload` is then good for nothing but to be dropped.
pub fn run(
    raw: &mut impl Source,
    spool: &Spool,
    upload: Option<&mut Upload>,
    effort: Effort,
    progress: &Progress,
    deadline: &Deadline,
) -> Result<Piped, PipelineError> {
    let begun = Instant::now();
    let pages = effort.workers + effort.later + 2;
    let (raw_pool, gz_pool) = (Pool::new(pages), Pool::new(pages));
    let (blocks_in, blocks) = bounded::<Block>(1);
    let (members_in, members) = bounded::<Member>(1);
    let early = upload.filter(|upload| upload.takes_parts_early());
    let gate = Gate::default();
    std::thread::scope(|scope| {
        // Readers of the spool must not wait for what a panic keeps from coming.
        let watch = GiveUpOnPanic(spool);
        let workers: Vec<_> = (0..effort.workers + effort.later)
            .map(|number| {
                let (blocks, members_in, gz_pool, gate) = (blocks.clone(), members_in.clone(), &gz_pool, &gate);
                scope.spawn(move || {
                    if number >= effort.workers {
                        gate.wait();
                    }
                    compress(&blocks, &members_in, gz_pool, effort.level, gate)
                })
            })
            .collect();
        drop((blocks, members_in));
        let writer = scope.spawn(move || write(&members, spool));
        let feeder = scope.spawn(move || feed(spool, effort.part_size, early));
        let walked = {
            let _open_at_last = OpenAtLast(&gate);
            walk(raw, &raw_pool, &blocks_in, &gate, progress, deadline)
        };
        drop(blocks_in);
        let compressed = workers.into_iter().map(joined).collect::<Result<Vec<()>, _>>();
        let written = joined(writer);
        drop(watch);
        if walked.is_ok() && compressed.is_ok() && written.is_ok() {
            spool.seal();
        } else {
            spool.give_up();
        }
        let fed = joined(feeder);
        written.map_err(PipelineError::Spool)?;
        compressed?;
        let walk = walked?;
        let (digest, sent) = fed.map_err(PipelineError::Spool)?;
        Ok(Piped { walk, digest, sent, took: begun.elapsed() })
    })
}

struct GiveUpOnPanic<'a>(&'a Spool);

impl Drop for GiveUpOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Where the raw dump comes from, page by page.
pub trait Source {
    /// Puts the next bytes of one section into the empty `page`, at most [`PAGE`]; `None` at the end of the dump.
    /// The bytes of one section come in their order, sections in any.
    ///
    /// # Errors
    /// When the dump cannot be read.
    fn next(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>>;

    /// The application waits for the dump.
    fn pauses(&self) -> bool {
        false
    }

    /// Nothing is waited for any more, and what is not read is lost: stopping would gain little and lose a dump.
    fn is_written(&self) -> bool {
        false
    }
}

/// A dump in one sequential stream: it is all head.
#[derive(Debug)]
pub struct Stream<R>(pub R);

impl<R: Read> Source for Stream<R> {
    fn next(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>> {
        let n = self.0.by_ref().take(PAGE as u64).read_to_end(page)?;
        Ok((n > 0).then_some(Section::Head))
    }
}

/// Takes page by page, walks each, and hands it on.
fn walk(
    raw: &mut impl Source,
    pool: &Pool,
    blocks: &Sender<Block>,
    gate: &Gate,
    progress: &Progress,
    deadline: &Deadline,
) -> Result<Summary, PipelineError> {
    let mut sections: BTreeMap<Section, (Walker, u32)> = BTreeMap::new();
    let mut step_back = StepBack::default();
    loop {
        if !raw.is_written() {
            deadline.check("compressing the dump")?;
        }
        if !raw.pauses() {
            gate.open();
            step_back.once();
        }
        let mut page = pool.take();
        let Some(section) = raw.next(page.as_mut_vec()).map_err(PipelineError::Read)? else { break };
        let (walker, seq) = sections.entry(section).or_insert_with(|| (walker_of(section), 0));
        walker.push(page.as_slice())?;
        progress.add(page.as_slice().len() as u64);
        let slot = Slot { section, seq: *seq };
        *seq += 1;
        // The other end leaves only with an error of its own, which is told instead.
        if blocks.send(Block { slot, raw: page }).is_err() {
            break;
        }
    }
    let twice = sections.keys().any(|section| matches!(section, Section::Heap(_)))
        && sections.get(&Section::Head).is_some_and(|(head, _)| head.records().segments > 0);
    if twice {
        return Err(PipelineError::Merged);
    }
    Ok(Walker::join(sections.into_values().map(|(walker, _)| walker).collect()))
}

fn walker_of(section: Section) -> Walker {
    if section == Section::Head { Walker::new() } else { Walker::after_head() }
}

fn compress(
    blocks: &Receiver<Block>,
    members: &Sender<Member>,
    pool: &Pool,
    level: u32,
    gate: &Gate,
) -> Result<(), CompressError> {
    let mut encoder = Encoder::new(level);
    let mut step_back = StepBack::default();
    loop {
        if gate.is_open() {
            step_back.once();
        }
        // A page before a block: whoever holds the block that the writer waits for can always finish it.
        let page = pool.take();
        let Ok(block) = blocks.recv() else { return Ok(()) };
        let member = encoder.member(&block, page)?;
        drop(block);
        if members.send(member).is_err() {
            return Ok(());
        }
    }
}

/// Appends members in the order of their section, so that the file of a sequential dump is the object itself and
/// can be kept as it is. No more members wait here than there are pages.
fn write(members: &Receiver<Member>, spool: &Spool) -> io::Result<()> {
    let mut next: BTreeMap<Section, u32> = BTreeMap::new();
    let mut early: BTreeMap<Slot, Member> = BTreeMap::new();
    for member in members {
        let section = member.slot.section;
        early.insert(member.slot, member);
        let seq = next.entry(section).or_insert(0);
        while let Some(member) = early.remove(&Slot { section, seq: *seq }) {
            spool.append(&member)?;
            *seq += 1;
        }
    }
    Ok(())
}

/// Reads the object in its order: hashes all of it, and sends it part by part while the store takes them.
fn feed(spool: &Spool, part_size: u64, upload: Option<&mut Upload>) -> io::Result<(Digest, Result<(), StoreError>)> {
    let mut sha256 = Context::new(&SHA256);
    let (mut bytes, mut upload, mut sent) = (0, upload, Ok(()));
    let piece = if upload.is_some() { part_size as usize } else { PAGE };
    let mut part = Vec::new();
    while let Some(ready) = spool.wait_ready(bytes, piece) {
        part.resize(ready.len, 0);
        spool.read_exact_at(&mut part, bytes)?;
        sha256.update(&part);
        bytes += ready.len as u64;
        if let Some(store) = upload.as_deref_mut()
            && let Err(error) = store.put_part(Bytes::from(std::mem::take(&mut part)))
        {
            (sent, upload) = (Err(error), None);
        }
        if ready.last {
            break;
        }
    }
    Ok((Digest { bytes, sha256: hex(sha256.finish().as_ref()) }, sent))
}

/// Sends a compressed dump that is whole already.
///
/// # Errors
/// When the file cannot be read.
pub fn send(
    spool: &Spool,
    part_size: u64,
    upload: Option<&mut Upload>,
) -> io::Result<(Digest, Result<(), StoreError>)> {
    feed(spool, part_size, upload.filter(|upload| upload.takes_parts_early()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_over(raw: &[u8]) -> (Result<Piped, PipelineError>, Spool) {
        let spool = Spool::new(tempfile::tempfile().unwrap());
        let effort = Effort { level: 1, workers: 1, later: 2, part_size: 5 << 20 };
        let deadline = Deadline::after(Duration::from_secs(60)).unwrap();
        let piped = run(&mut Stream(raw), &spool, None, effort, &Progress::silent(), &deadline);
        (piped, spool)
    }

    /// A dump of one long name and its end.
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
        let (piped, spool) = run_over(&raw);
        let piped = piped.unwrap();
        assert!(piped.walk.complete);
        let mut object = vec![0; spool.stored_len() as usize];
        spool.read_exact_at(&mut object, 0).unwrap();
        let mut back = Vec::new();
        flate2::read::MultiGzDecoder::new(&object[..]).read_to_end(&mut back).unwrap();
        assert!(back == raw);
        let hash = ring::digest::digest(&SHA256, &object);
        assert_eq!(piped.digest, Digest { bytes: object.len() as u64, sha256: hex(hash.as_ref()) });
    }

    #[test]
    fn a_cut_dump_has_no_verdict_and_a_damaged_one_is_an_error() {
        let raw = dump(3 * PAGE);
        let (piped, _) = run_over(&raw[..raw.len() - 1]);
        assert!(Verdict::of(&piped.unwrap().walk).is_none());
        let (piped, _) = run_over(&[&raw[..40], &[0xEE; 5 * PAGE]].concat());
        assert!(matches!(piped, Err(PipelineError::Malformed(_))));
        let (piped, _) = run_over(b"no dump at all");
        assert!(matches!(piped, Err(PipelineError::Malformed(_))));
    }
}
