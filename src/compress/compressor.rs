//! Turns a raw dump into gzip members. One thread walks and workers compress; bounded channels join them.

use std::io;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::block::{Block, GzBlock};
use super::cpu_share::{Courtesy, CpuShare, Shift, step_back};
use super::gzip::{CompressError, Encoder};
use super::pages::Pool;
use super::source::{Source, SourceError};
use super::walk_stage::{Receivers, walk};
use crate::base::deadline::{Deadline, Stopped};
use crate::base::faults::door;
use crate::base::waiting::{Gate, Halt, Halted, joined, started};
use crate::hprof::{Blanked, Histogram, Malformed, Redactor, Summary};
use crate::terminal::progress::Progress;

/// A stage of the dump has failed.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("cannot read the dump")]
    Source(#[from] SourceError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// The JVM merged a part of the dump before its name was removed.
    #[error("the JVM copied a part of its heap that was already read")]
    Merged,
    #[error("cannot write the compressed dump")]
    Spool(#[source] io::Error),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("a stage of the dump cannot be started")]
    NoThread(#[source] io::Error),
    /// Another stage has failed, and its error tells the cause.
    #[error("another stage has failed")]
    Halted,
}

impl From<Halted> for PipelineError {
    fn from(Halted: Halted) -> Self {
        Self::Halted
    }
}

impl PipelineError {
    /// Returns the error that caused the others.
    #[must_use]
    pub fn or_its_cause(self, other: Self) -> Self {
        if matches!(self, Self::Halted) { other } else { self }
    }
}

/// Lets the stages of one dump wait for each other, and end each other.
#[derive(Debug, Default)]
pub struct StageControl {
    /// Opens when the application runs again.
    pub gate: Gate,
    /// Ends all stages when one of them fails.
    pub halt: Halt,
}

/// How a dump is compressed, redacted, and cut into parts.
#[derive(Debug)]
pub struct Compression {
    pub cpu_share: CpuShare,
    /// The level of gzip.
    pub level: u32,
    /// Bytes of a part of the upload.
    pub part_size: u64,
    /// Overwrites secrets, if the user wants that.
    pub redactor: Option<Redactor>,
}

impl Compression {
    /// Returns [`Redactor::blanked`], or zeros without a redactor.
    pub fn blanked(&self) -> Blanked {
        self.redactor.as_ref().map(|redactor| redactor.blanked).unwrap_or_default()
    }
}

/// Walks `raw` to its end, counts its objects in `tally`, redacts it, and compresses it. `take` receives the gzip blocks
/// on a thread of its own. A stage that fails ends the others.
///
/// # Errors
/// The first result has the error of the walk or of a worker, the second that of `take`. [`PipelineError::Halted`]
/// means that the other error is the cause.
pub fn compressed<T: Send>(
    raw: &mut dyn Source,
    compression: &mut Compression,
    control: &StageControl,
    progress: &Progress,
    deadline: &Deadline,
    tally: &mut Histogram,
    take: impl FnOnce(GzBlocks<'_>) -> Result<T, PipelineError> + Send,
) -> (Result<Summary, PipelineError>, Result<T, PipelineError>) {
    let Compression { cpu_share, level, redactor, .. } = compression;
    let (cpu_share, level) = (*cpu_share, *level);
    let StageControl { gate, halt } = control;
    let (raw_pool, gz_pool) = (Pool::new(cpu_share.pages()), Pool::new(cpu_share.pages()));
    let (blocks_in, blocks) = bounded::<Block>(1);
    let (gz_blocks_in, gz_blocks) = bounded::<GzBlock>(1);
    std::thread::scope(|scope| {
        let worker = |shift| {
            let (blocks, gz_blocks_in, gz_pool) = (blocks.clone(), gz_blocks_in.clone(), &gz_pool);
            started(scope, move || {
                let is_over = || shift == Shift::Pause && gate.is_open();
                if shift == Shift::Later {
                    gate.wait(halt);
                }
                step_back(if shift == Shift::Pause { Courtesy::Last } else { Courtesy::Behind });
                halt.guarding(|| compress(&blocks, &gz_blocks_in, gz_pool, halt, level, is_over))
            })
        };
        let workers: Result<Vec<_>, _> = cpu_share.shifts().map(worker).collect();
        drop((blocks, gz_blocks_in));
        let taker = started(scope, || {
            step_back(Courtesy::Behind);
            halt.guarding(|| take(GzBlocks { gz_blocks, halt }))
        });
        let (workers, taker) = match (workers, taker) {
            (Ok(workers), Ok(taker)) => (workers, taker),
            (Err(error), _) | (_, Err(error)) => {
                // The stages that have started end by the halt.
                halt.trip();
                return (Err(PipelineError::NoThread(error)), Err(PipelineError::Halted));
            }
        };
        let walked = halt
            .guarding(|| walk(raw, &raw_pool, &blocks_in, control, progress, deadline, Receivers { tally, redactor }));
        // Workers that still wait at the gate must see the end of the blocks.
        gate.open();
        drop(blocks_in);
        // All workers end before the first error is returned.
        let compressed: Vec<_> = workers.into_iter().map(joined).collect();
        let compressed = compressed.into_iter().filter_map(Result::err).reduce(PipelineError::or_its_cause);
        let taken = joined(taker);
        let walked = match (walked, compressed) {
            (Err(one), Some(other)) => Err(other.or_its_cause(one)),
            (Ok(_), Some(other)) => Err(other),
            (walked, None) => walked,
        };
        (walked, taken)
    })
}

/// Gives out the gzip blocks as they come, on the thread that takes them.
#[derive(Debug)]
pub struct GzBlocks<'a> {
    gz_blocks: Receiver<GzBlock>,
    halt: &'a Halt,
}

impl GzBlocks<'_> {
    /// Returns the next block; `None` when all have come.
    ///
    /// # Errors
    /// When another stage has failed. A channel without a next block does not mean then that all have come.
    pub fn next(&self) -> Result<Option<GzBlock>, PipelineError> {
        fail_on_demand("take a block")?;
        Ok(self.halt.receive(&self.gz_blocks)?)
    }
}

/// Compresses blocks until they end, or the shift is over.
fn compress(
    blocks: &Receiver<Block>,
    gz_blocks: &Sender<GzBlock>,
    pool: &Pool,
    halt: &Halt,
    level: u32,
    is_over: impl Fn() -> bool,
) -> Result<(), PipelineError> {
    let mut encoder = Encoder::new(level);
    while !is_over() {
        // A worker takes a page before it takes a block. So a worker that has the block for which the writer waits can
        // always finish it.
        let page = pool.take(halt)?;
        fail_on_demand("compress")?;
        let Some(block) = halt.receive(blocks)? else { return Ok(()) };
        let gz_block = encoder.compress(&block, page)?;
        drop(block);
        fail_on_demand("hand on a block")?;
        halt.send(gz_blocks, gz_block)?;
    }
    Ok(())
}

/// Lets a test make a stage fail: see [`crate::base::faults`].
fn fail_on_demand(stage: &str) -> Result<(), PipelineError> {
    Ok(door(stage, || Ok(())).map_err(SourceError::from)?)
}
