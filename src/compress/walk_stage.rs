//! The stage that walks the pages of a source, and hands them to the workers as blocks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam_channel::{SendTimeoutError, Sender};

use super::block::{Block, Section, Slot};
use super::compressor::{PipelineError, StageControl};
use super::cpu_share::{Courtesy, step_back};
use super::pages::Pool;
use super::source::{DUMPING, Flaws, Scrutiny, Source, SourceError};
use crate::base::deadline::{Deadline, tick};
use crate::base::faults::door;
use crate::hprof::{Histogram, Mask, Redacting, Redactor, Summary, Walker};
use crate::terminal::progress::Progress;

/// The receivers of the records that are walked.
pub(super) struct Receivers<'a> {
    pub tally: &'a mut Histogram,
    pub redactor: &'a mut Option<Redactor>,
}

/// The state of one section.
struct SectionWalk {
    walker: Walker,
    mask: Mask,
    pages: u32,
}

impl SectionWalk {
    fn of(section: Section) -> Self {
        let walker = if section == Section::Head { Walker::new() } else { Walker::after_head() };
        Self { walker, mask: Mask::default(), pages: 0 }
    }

    /// Walks a page, and redacts it.
    fn pass(
        &mut self,
        page: &mut [u8],
        scrutiny: Scrutiny,
        receivers: &mut Receivers<'_>,
    ) -> Result<Option<String>, PipelineError> {
        let Receivers { tally, redactor: Some(redactor) } = receivers else {
            return Ok(scrutiny.judge(self.walker.push_to(page, receivers.tally))?);
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

/// Takes page by page, walks each, and hands it to the workers.
pub(super) fn walk(
    raw: &mut dyn Source,
    pool: &Pool,
    blocks: &Sender<Block>,
    control: &StageControl,
    progress: &Progress,
    deadline: &Deadline,
    mut receivers: Receivers<'_>,
) -> Result<Summary, PipelineError> {
    let mut sections: BTreeMap<Section, SectionWalk> = BTreeMap::new();
    let (paused, mut runs_again, mut bytes, mut damage) = (raw.pauses(), false, 0, None);
    let scrutiny = raw.scrutiny();
    step_back(Courtesy::Behind);
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
            control.gate.open();
        }
        let mut page = busily(raw, control, deadline, |time| pool.take_within(time))?;
        door("read the dump", || Ok(())).map_err(SourceError::from)?;
        let Some(section) = raw.next(page.as_mut_vec())? else { break };
        let section_walk = sections.entry(section).or_insert_with(|| SectionWalk::of(section));
        if scrutiny != Scrutiny::Anything && damage.is_none() {
            damage = section_walk.pass(page.as_mut_vec(), scrutiny, &mut receivers)?;
            if section_walk.walker.records().objects() > 0 {
                raw.classes_are_known();
            }
            if receivers.redactor.as_ref().is_none_or(Redactor::knows_names) {
                raw.names_are_known();
            }
        } else if scrutiny != Scrutiny::Anything && receivers.redactor.is_some() {
            page.as_mut_vec().fill(0);
        }
        bytes += page.as_slice().len() as u64;
        progress.add(page.as_slice().len() as u64);
        let slot = Slot { section, seq: section_walk.pages };
        section_walk.pages += 1;
        let mut block = Some(Block { slot, ends: raw.is_over(section), raw: page });
        busily(raw, control, deadline, |time| hand_on(blocks, &mut block, time))?;
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
    let joined = Walker::join(sections.into_values().map(|section| section.walker).collect());
    Ok(Summary { bytes, ..joined }.with(Flaws { damage: damage.or(flaws.damage), ..flaws }))
}

/// Returns what the run does, for the message of a run that is stopped.
fn doing(raw: &dyn Source) -> &'static str {
    if raw.pauses() { DUMPING } else { "compressing the dump" }
}

/// Time between two calls of [`Source::attend`], while another stage keeps the walk waiting.
const ATTEND: Duration = Duration::from_millis(1);

/// Time for which one page may hold up a run whose deadline has passed, if the JVM has finished the dump.
const LAST_PAGE_WITHIN: Duration = Duration::from_secs(10);

/// Calls `work` until it returns a result, and attends to the source meanwhile. `work` gets the time that it may wait.
fn busily<T>(
    raw: &mut dyn Source,
    control: &StageControl,
    deadline: &Deadline,
    mut work: impl FnMut(Duration) -> Option<T>,
) -> Result<T, PipelineError> {
    let begun = Instant::now();
    loop {
        if let Some(done) = work(ATTEND) {
            tick();
            return Ok(done);
        }
        if control.halt.is_tripped() {
            return Err(PipelineError::Halted);
        }
        if !raw.is_written() || begun.elapsed() >= LAST_PAGE_WITHIN {
            deadline.check(doing(raw))?;
        }
        raw.attend()?;
        // `work` may be waiting for workers that wait at this gate.
        if !raw.pauses() {
            control.gate.open();
        }
    }
}

/// Returns `Some` when the block was taken. Receivers leave only by the halt, and the caller checks that.
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
