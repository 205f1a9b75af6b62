//! `--if`: decides whether there is to be a dump.

use std::time::{Duration, Instant};

use super::run::Run;
use crate::attach::VirtualMachine;
use crate::base::units::Seconds;
use crate::error::Error;
use crate::heap_dump::{self, Measured};
use crate::jvm::condition::{Judged, Reading, Usage, hangs_on_heap, judge, lacks_heap};
use crate::jvm::heap_level::HeapLevel;
use crate::jvm::hsperfdata::PerfData;

/// The most time for which a run watches a heap that is nearly full of objects or of garbage.
const WATCHES_FOR: Duration = Duration::from_secs(30);

/// The part of the run's time that it watches at most: the rest is for the dump.
const WATCHING_PART: u32 = 6;

/// The counters of Shenandoah are renewed ten times a second (JDK: `ShenandoahControlThread`).
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl<'a> Run<'a> {
    /// Measures what the conditions ask for. The run attaches only for values that nothing else tells, and then stays
    /// attached.
    pub fn measure(&mut self) -> Result<(Judged, Option<VirtualMachine<'a>>), Error> {
        let conditions = &self.settings.conditions;
        let mut usage = heap_dump::usage(self.jvm);
        self.watch_heap(&mut usage)?;
        if !lacks_heap(conditions, &usage) {
            return Ok((judge(conditions, &usage), None));
        }
        let asked = self.attach().and_then(|vm| Ok((heap_dump::heap_in_use(&vm, self.deadline)?, vm)));
        let ((heap, measured), vm) = match asked {
            Ok(asked) => asked,
            // A value that the JVM does not tell is unknown. The user wants no dump then.
            Err(Error::Attach(error)) if !self.settings.dump_if_unknown => {
                log::warn!("{error}");
                return Ok((judge(conditions, &usage), None));
            }
            Err(error) => return Err(error),
        };
        usage.heap = heap;
        if usage.heap != Reading::Unknown {
            let what = match measured {
                Measured::OldGeneration => "what its old generation holds",
                Measured::WholeHeap => "all of its heap that is in use",
            };
            self.receipt.warn(format!("the JVM keeps no counters: heap is {what}, with the garbage"));
        }
        Ok((judge(conditions, &usage), Some(vm)))
    }

    /// Watches a heap whose counters have all its garbage, until two collections show its level, or until it falls below
    /// each condition.
    fn watch_heap(&mut self, usage: &mut Usage) -> Result<(), Error> {
        if !self.jvm.perf_data.as_ref().is_some_and(PerfData::old_use_is_momentary) {
            return Ok(());
        }
        let (begun, mut level) = (Instant::now(), HeapLevel::default());
        let limit = WATCHES_FOR.min(self.deadline.remaining() / WATCHING_PART);
        while hangs_on_heap(&self.settings.conditions, usage) && level.known().is_none() {
            if begun.elapsed() >= limit {
                let watched = Seconds(begun.elapsed());
                self.receipt
                    .warn(format!("heap is the lowest use in {watched}, with the garbage: no collection ended"));
                return Ok(());
            }
            self.progress.stage("watching the heap", None);
            self.deadline.sleep(LOOK_EVERY, "watching the heap")?;
            self.jvm.counters().iter().for_each(|counters| level.look(Instant::now(), counters));
            if let Some((used, most)) = level.known().or_else(|| level.at_most()) {
                usage.heap = Reading::Of(used, most);
            }
        }
        Ok(())
    }

    /// Returns whether there is to be a dump. The receipt says why.
    pub fn is_worth_it(&mut self, judged: Judged) -> bool {
        let why_not = match judged {
            Judged::Unconditional => return true,
            Judged::Worth(why) => {
                self.add_reason(&why);
                return true;
            }
            Judged::Unknown(what) if self.settings.dump_if_unknown => {
                self.add_reason(&what);
                self.receipt.warn(format!("{what}; it counts as if it were"));
                return true;
            }
            Judged::Unknown(what) => format!("{what}, and --if-unknown is skip"),
            Judged::NotWorth(why) => why,
        };
        self.receipt.nothing_done = Some(why_not);
        false
    }

    /// Adds a reason to the receipt, behind the reason that the user gave.
    fn add_reason(&mut self, why: &str) {
        let reason = &mut self.receipt.reason;
        *reason = Some(reason.take().map_or_else(|| why.to_owned(), |reason| format!("{reason} ({why})")));
    }
}
