//! From a raw dump to gzip members: walk and compress, joined by threads and bounded channels.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

use super::cpu_share::{Effort, step_back};
use super::gzip::{CompressError, Encoder};
use super::pages::{PAGE, Pool};
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

/// Where the raw dump comes from, page by page.
pub trait Source {
    fn scrutiny(&self) -> Scrutiny {
        Scrutiny::Dump
    }

    /// Puts the next bytes of one section into the empty `page`, at most [`PAGE`]; `None` at the end of the dump.
    /// The bytes of one section come in their order, sections in any.
    ///
    /// # Errors
    /// When the dump cannot be read.
    fn next(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>>;

    /// What was wrong with what has come.
    fn flaws(&self) -> Flaws {
        Flaws::default()
    }

    /// Called while the stages are busy and nothing can be taken: for what does not wait.
    ///
    /// # Errors
    /// When the dump cannot be read.
    fn attend(&mut self) -> io::Result<()> {
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

    fn next(&mut self, page: &mut Vec<u8>) -> io::Result<Option<Section>> {
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
        let next = door("read the dump", || raw.next(page.as_mut_vec()));
        let Some(section) = next.map_err(PipelineError::Read)? else { break };
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
        raw.attend().map_err(PipelineError::Read)?;
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
    door(stage, || Ok(())).map_err(PipelineError::Read)
}
