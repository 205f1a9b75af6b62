//! From a raw dump to gzip members: walk and compress, joined by threads and bounded channels.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

use super::cpu_share::{Effort, step_back};
use super::gzip::{CompressError, Encoder};
use super::pages::Pool;
use super::source::{DUMPING, Flaws, Scrutiny, Source, SourceError};
use super::spool::{Block, Member, Section, Slot};
use crate::base::deadline::{Deadline, Stopped, tick};
use crate::base::faults::door;
use crate::base::waiting::{Gate, Halt, Halted, joined, started};
use crate::hprof::{Blanked, Histogram, Malformed, Mask, Redacting, Redactor, Summary, Walker};
use crate::terminal::progress::Progress;

/// The dump did not get through the stages.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("cannot read the dump")]
    Source(#[from] SourceError),
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
    #[error("a stage of the dump cannot be started")]
    NoThread(#[source] io::Error),
    /// Another stage has an error of its own, which tells more.
    #[error("another stage has failed")]
    Halted,
}

impl From<Halted> for PipelineError {
    fn from(Halted: Halted) -> Self {
        Self::Halted
    }
}

impl PipelineError {
    /// The error that made the others.
    #[must_use]
    pub fn or_its_cause(self, other: Self) -> Self {
        if matches!(self, Self::Halted) { other } else { self }
    }
}

/// What the stages of one dump share.
#[derive(Debug, Default)]
pub struct Together {
    /// Opens when the application runs again.
    pub gate: Gate,
    /// Ends all stages when one of them fails.
    pub halt: Halt,
}

/// What is done to a dump on its way.
#[derive(Debug)]
pub struct Treatment {
    pub effort: Effort,
    /// Takes secrets out of it.
    pub redactor: Option<Redactor>,
}

impl Treatment {
    /// See [`Redactor::blanked`].
    pub fn blanked(&self) -> Blanked {
        self.redactor.as_ref().map(|redactor| redactor.blanked).unwrap_or_default()
    }
}

impl From<Effort> for Treatment {
    fn from(effort: Effort) -> Self {
        Self { effort, redactor: None }
    }
}

/// Walks `raw` to its end, tells `tally` of its objects, redacts them, and has the members taken by `take` on a thread
/// of its own. A stage that fails ends the others.
///
/// # Errors
/// That of the walk and the workers, and that of `take`; [`PipelineError::Halted`] stands for the other one.
pub fn compressed<T: Send>(
    raw: &mut dyn Source,
    treatment: &mut Treatment,
    together: &Together,
    progress: &Progress,
    deadline: &Deadline,
    tally: &mut Histogram,
    take: impl FnOnce(Members<'_>) -> Result<T, PipelineError> + Send,
) -> (Result<Summary, PipelineError>, Result<T, PipelineError>) {
    let Treatment { effort, redactor } = treatment;
    let effort = *effort;
    let Together { gate, halt } = together;
    let (raw_pool, gz_pool) = (Pool::new(effort.pages()), Pool::new(effort.pages()));
    let (blocks_in, blocks) = bounded::<Block>(1);
    let (members_in, members) = bounded::<Member>(1);
    std::thread::scope(|scope| {
        let worker = |number| {
            let (blocks, members_in, gz_pool) = (blocks.clone(), members_in.clone(), &gz_pool);
            started(scope, move || {
                if number >= effort.workers {
                    gate.wait(halt);
                }
                halt.guarding(|| compress(&blocks, &members_in, gz_pool, halt, effort.level))
            })
        };
        let workers: Result<Vec<_>, _> = (0..effort.workers + effort.later).map(worker).collect();
        drop((blocks, members_in));
        let taker = started(scope, || halt.guarding(|| take(Members { members, halt })));
        let (workers, taker) = match (workers, taker) {
            (Ok(workers), Ok(taker)) => (workers, taker),
            (Err(error), _) | (_, Err(error)) => {
                // Those that have started end by it.
                halt.trip();
                return (Err(PipelineError::NoThread(error)), Err(PipelineError::Halted));
            }
        };
        let walked =
            halt.guarding(|| walk(raw, &raw_pool, &blocks_in, together, progress, deadline, Looks { tally, redactor }));
        // Workers that still wait there must see the end of the blocks.
        gate.open();
        drop(blocks_in);
        // All of them, before the first error is told.
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

/// The members as they come, on the thread that takes them.
#[derive(Debug)]
pub struct Members<'a> {
    members: Receiver<Member>,
    halt: &'a Halt,
}

impl Members<'_> {
    /// The next one; `None` when all have come.
    ///
    /// # Errors
    /// When another stage has failed: then it says nothing that there is no next one.
    pub fn next(&self) -> Result<Option<Member>, PipelineError> {
        fail_on_demand("take a member")?;
        Ok(self.halt.receive(&self.members)?)
    }
}

/// Who looks at what passes by.
struct Looks<'a> {
    tally: &'a mut Histogram,
    redactor: &'a mut Option<Redactor>,
}

/// What is known of one section so far.
struct Passing {
    walker: Walker,
    mask: Mask,
    pages: u32,
}

impl Passing {
    fn of(section: Section) -> Self {
        let walker = if section == Section::Head { Walker::new() } else { Walker::after_head() };
        Self { walker, mask: Mask::default(), pages: 0 }
    }

    /// Walks a page, and redacts it.
    fn pass(
        &mut self,
        page: &mut [u8],
        scrutiny: Scrutiny,
        looks: &mut Looks<'_>,
    ) -> Result<Option<String>, PipelineError> {
        let Looks { tally, redactor: Some(redactor) } = looks else {
            return Ok(scrutiny.judge(self.walker.push_to(page, looks.tally))?);
        };
        let mut redacting = Redacting { tally: *tally, redactor, mask: &mut self.mask };
        let walked = self.walker.push_to(page, &mut redacting);
        if let Err(error) = &walked {
            self.mask.blank(page, error.offset);
        }
        self.mask.apply(page, redactor);
        Ok(scrutiny.judge(walked)?)
    }
}

/// Takes page by page, walks each, and hands it on.
fn walk(
    raw: &mut dyn Source,
    pool: &Pool,
    blocks: &Sender<Block>,
    together: &Together,
    progress: &Progress,
    deadline: &Deadline,
    mut looks: Looks<'_>,
) -> Result<Summary, PipelineError> {
    let mut sections: BTreeMap<Section, Passing> = BTreeMap::new();
    let (paused, mut runs_again, mut bytes, mut damage) = (raw.pauses(), false, 0, None);
    let scrutiny = raw.scrutiny();
    loop {
        if !raw.is_written() {
            deadline.check(doing(raw))?;
        }
        if !runs_again && !raw.pauses() {
            runs_again = true;
            if paused {
                let (name, total) = raw.stage_after_pause();
                progress.go_on(name, total);
            }
            together.gate.open();
            step_back();
        }
        let mut page = busily(raw, together, deadline, |time| pool.take_within(time))?;
        door("read the dump", || Ok(())).map_err(SourceError::from)?;
        let Some(section) = raw.next(page.as_mut_vec())? else { break };
        let passing = sections.entry(section).or_insert_with(|| Passing::of(section));
        if scrutiny != Scrutiny::Anything && damage.is_none() {
            damage = passing.pass(page.as_mut_vec(), scrutiny, &mut looks)?;
            if passing.walker.records().objects() > 0 {
                raw.classes_are_known();
            }
            if looks.redactor.as_ref().is_none_or(Redactor::knows_names) {
                raw.names_are_known();
            }
        } else if scrutiny != Scrutiny::Anything && looks.redactor.is_some() {
            page.as_mut_vec().fill(0);
        }
        bytes += page.as_slice().len() as u64;
        progress.add(page.as_slice().len() as u64);
        let slot = Slot { section, seq: passing.pages };
        passing.pages += 1;
        let mut block = Some(Block { slot, raw: page });
        busily(raw, together, deadline, |time| hand_on(blocks, &mut block, time))?;
    }
    let flaws = raw.flaws();
    let twice = sections.keys().any(|section| matches!(section, Section::Heap(_)))
        && sections.get(&Section::Head).is_some_and(|head| head.walker.records().segments > 0);
    if twice {
        return Err(PipelineError::Merged);
    }
    if scrutiny == Scrutiny::Anything {
        return Ok(Summary::of_anything(bytes).with(flaws));
    }
    let joined = Walker::join(sections.into_values().map(|passing| passing.walker).collect());
    Ok(Summary { bytes, ..joined }.with(Flaws { damage: damage.or(flaws.damage), ..flaws }))
}

/// For whoever is told that the run was stopped.
fn doing(raw: &dyn Source) -> &'static str {
    if raw.pauses() { DUMPING } else { "compressing the dump" }
}

/// A source that cannot be read now is looked after as often.
const ATTEND: Duration = Duration::from_millis(1);

/// For so long one page of a dump that the JVM has finished may hold up a run whose time is over.
const LAST_PAGE_WITHIN: Duration = Duration::from_secs(10);

/// Does what needs another stage, and looks after the source meanwhile. `work` is given a time to wait.
fn busily<T>(
    raw: &mut dyn Source,
    together: &Together,
    deadline: &Deadline,
    mut work: impl FnMut(Duration) -> Option<T>,
) -> Result<T, PipelineError> {
    let begun = Instant::now();
    loop {
        if let Some(done) = work(ATTEND) {
            tick();
            return Ok(done);
        }
        if together.halt.is_tripped() {
            return Err(PipelineError::Halted);
        }
        if !raw.is_written() || begun.elapsed() >= LAST_PAGE_WITHIN {
            deadline.check(doing(raw))?;
        }
        raw.attend()?;
        // Workers that wait for it may be what is waited for.
        if !raw.pauses() {
            together.gate.open();
        }
    }
}

/// `Some` when it is taken. Receivers leave by the halt alone, which is seen elsewhere.
fn hand_on(blocks: &Sender<Block>, block: &mut Option<Block>, time: Duration) -> Option<()> {
    match blocks.send_timeout(block.take()?, time) {
        Ok(()) => Some(()),
        Err(SendTimeoutError::Timeout(back)) => {
            *block = Some(back);
            None
        }
        Err(SendTimeoutError::Disconnected(_)) => None,
    }
}

fn compress(
    blocks: &Receiver<Block>,
    members: &Sender<Member>,
    pool: &Pool,
    halt: &Halt,
    level: u32,
) -> Result<(), PipelineError> {
    let mut encoder = Encoder::new(level);
    // While the application waits, the JVM's own threads come first: some dump with two.
    step_back();
    loop {
        // A page before a block: whoever holds the block that the writer waits for can always finish it.
        let page = pool.take(halt)?;
        fail_on_demand("compress")?;
        let Some(block) = halt.receive(blocks)? else { return Ok(()) };
        let member = encoder.member(&block, page)?;
        drop(block);
        fail_on_demand("hand on a member")?;
        halt.send(members, member)?;
    }
}

/// For tests: see [`crate::base::faults`].
fn fail_on_demand(stage: &str) -> Result<(), PipelineError> {
    Ok(door(stage, || Ok(())).map_err(SourceError::from)?)
}
