//! `--when`: the watcher's third thread. It looks at the memory of an application, and dumps its heap when it is full.
//! Where a heap dump would tell nothing, or would come too late, it takes small artefacts.
//!
//! A look reads counters only. The JVM gets neither an attach nor a signal before a condition holds.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{Watcher, say};
use crate::base::deadline::Deadline;
use crate::base::run_id::run_id;
use crate::base::units::Seconds;
use crate::commands::artefacts::Taken;
use crate::commands::dump::find_and_dump;
use crate::commands::notifier::Notifier;
use crate::commands::take::take;
use crate::commands::{Answer, Failed, emit, tell};
use crate::error::Error;
use crate::heap_dump;
use crate::jvm::condition::{Reading, Usage};
use crate::jvm::heap_level::HeapLevel;
use crate::jvm::{Jvm, PROC, cgroup, select};
use crate::object::key::ObjectKey;
use crate::object::pod::Pod;
use crate::settings::{AutomaticSettings, DumpSettings, TakeSettings};
use crate::watch::permit::{self, Permit};
use crate::watch::trigger::{Call, SOON, Trigger};
use crate::watch::worth::{BEGINS_WITHIN, Growth};

/// The verb, by which hints are worded.
const VERB: &str = "watch";

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Time between two searches for a JVM, and between two looks at the settings.
const SEARCH_EVERY: Duration = Duration::from_secs(10);

/// The JVM that is looked at.
struct Sight {
    jvm: Jvm,
    level: HeapLevel,
    trigger: Trigger,
    growth: Growth,
}

/// The memory of the application at one look.
struct Look {
    usage: Usage,
    /// Time until the container or the heap is full, at their present growth.
    full_in: Option<Duration>,
    call: Option<Call>,
}

/// The times until which no call is heard. Small artefacts do not put off a heap dump.
#[derive(Default)]
struct Rests {
    dump: Option<Instant>,
    artefacts: Option<Instant>,
}

impl Watcher {
    /// Looks at the JVM until the watcher ends.
    pub(super) fn look_at_levels(&self, settings: &AutomaticSettings, life: &Deadline) {
        let (mut sight, mut searched, mut rests) = (None::<Sight>, None::<Instant>, Rests::default());
        let mut is_off = settings.is_off();
        while life.sleep(LOOK_EVERY, "looking at the memory of the application").is_ok() {
            if searched.is_none_or(|searched| searched.elapsed() >= SEARCH_EVERY) {
                searched = Some(Instant::now());
                is_off = settings.is_off();
                if sight.as_ref().is_none_or(|sight| !sight.jvm.target.is_alive()) {
                    sight = self.search(settings);
                }
            }
            let Some(seen) = &mut sight else { continue };
            let look = seen.look();
            // The last look at a JVM that has ended still calls.
            if let Some(call) = look.call.as_ref().filter(|_| !is_off && seen.jvm.target.is_alive()) {
                self.answer(settings, seen, &look, call, &mut rests);
            }
        }
    }

    /// Finds the JVM, and says what is looked at.
    fn search(&self, settings: &AutomaticSettings) -> Option<Sight> {
        let found = select(Path::new(PROC), &settings.dump.target.selection);
        let jvm = found.inspect_err(|error| self.looks_at(format!("no JVM: {error}"))).ok()?;
        let conditions = settings.conditions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let usage = heap_dump::usage(&jvm);
        let heap = if usage.heap == Reading::Unknown { "not the heap, for it keeps no counters" } else { "the heap" };
        let memory = match usage.memory {
            Reading::Of(..) => "the memory of its container",
            Reading::NoLimit => "no memory, for its container has no limit",
            Reading::Unknown => "no memory, for the limit of its container cannot be read",
        };
        self.looks_at(format!("{}: {heap}, and {memory}; a dump when {conditions}", jvm.describe()));
        let born = jvm.target.age().and_then(|age| Instant::now().checked_sub(age));
        let trigger = Trigger::new(&settings.conditions, settings.held_for, born);
        Some(Sight { jvm, level: HeapLevel::default(), trigger, growth: Growth::default() })
    }

    fn looks_at(&self, text: String) {
        let mut shared = self.lock();
        if shared.status.looking_at.as_ref() != Some(&text) {
            say(&format!("looking at {text}\n"));
            shared.status.looking_at = Some(text);
            self.write_status(&mut shared);
        }
    }

    /// Answers a call, unless it has to rest.
    fn answer(&self, settings: &AutomaticSettings, sight: &Sight, look: &Look, call: &Call, rests: &mut Rests) {
        let (why, objection) = match call {
            Call::Heap(why) => (why, sight.growth.objection(&look.usage)),
            Call::Memory(why) => (why, Some("the heap is not above its level".to_owned())),
        };
        let rests_until = if objection.is_some() { rests.artefacts } else { rests.dump };
        if is_ahead(rests_until) {
            return;
        }
        log::warn!("pid {}: {why}", sight.jvm.pid());
        let deadline = self.work.at_most(settings.dump.common.deadline);
        let rests_after_artefacts = || Some(Instant::now() + settings.limits.cooldown);
        if let Some(objection) = objection {
            let why = format!("{why}: no heap dump, for {objection}");
            self.take_small(settings, &sight.jvm, &why, &deadline).tell(&deadline);
            rests.artefacts = rests_after_artefacts();
            return;
        }
        let mut before = None;
        // They are stored even if the application ends before its dump is.
        let mut first = look.full_in.filter(|left| *left < SOON && !is_ahead(rests.artefacts));
        // The permit alone may take all the time that is left.
        if let Some(left) = first.take_if(|left| *left < BEGINS_WITHIN) {
            before = Some(self.take_small(settings, &sight.jvm, &before_dump(why, left), &deadline));
            rests.artefacts = rests_after_artefacts();
        }
        let first = first.map(|left| (left, &mut before));
        let time = self.dump_if_permitted(settings, &sight.jvm, first, why, &deadline);
        rests.dump = Some(Instant::now() + time);
        // A notice may take seconds, for which the dump does not wait.
        if let Some(small) = before {
            small.tell(&deadline);
        }
    }

    /// Asks for the permit, and dumps the heap. `first` has the time that is left if it may not suffice, and gets the
    /// small artefacts that come before the dump then. Returns the time until the next call for a heap dump is heard.
    fn dump_if_permitted(
        &self,
        settings: &AutomaticSettings,
        jvm: &Jvm,
        first: Option<(Duration, &mut Option<Small>)>,
        why: &str,
        deadline: &Deadline,
    ) -> Duration {
        let place = &settings.dump.common.place;
        let key = ObjectKey::new(place, Utc::now(), &Pod::current().name, jvm.pid(), &run_id());
        match permit::ask(&settings.dump.common.store, &key, settings.limits, deadline) {
            Ok(Permit::Given) => {
                if let Some((left, before)) = first {
                    *before = Some(self.take_small(settings, jvm, &before_dump(why, left), deadline));
                }
                self.dump(settings, jvm, why, deadline)
            }
            Ok(Permit::Refused { why: refused, until }) => {
                self.was_automatic(format!("{why}: no heap dump, for {refused}"));
                left(until).max(SEARCH_EVERY)
            }
            Err(error) => {
                let error = Error::store(error);
                self.was_automatic(format!("{why}: no heap dump, for the store gives no permit: {}", error.chain()));
                SEARCH_EVERY
            }
        }
    }

    fn dump(&self, settings: &AutomaticSettings, jvm: &Jvm, why: &str, deadline: &Deadline) -> Duration {
        let mut dump = DumpSettings { reason: Some(format!("watch: {why}")), ..settings.dump.clone() };
        dump.target.selection.pid = Some(jvm.pid());
        let (receipt, result) = find_and_dump(&dump, deadline);
        let url = receipt.object.as_ref().map(|object| object.url.clone());
        match emitted(tell(receipt, result, VERB, &Notifier::new(&dump.common, deadline))) {
            Ok(()) => {
                self.was_automatic(format!("{why}: {}", url.as_deref().unwrap_or("nothing")));
                self.lock().status.stores(url);
            }
            // Nothing was done to the JVM.
            Err(error) if matches!(*error, Error::Room(_) | Error::TooLate { .. }) => {
                let why = format!("{why}: no heap dump, for {}", error.chain());
                self.take_small(settings, jvm, &why, deadline).tell(deadline);
            }
            Err(error) => self.was_automatic(format!("{why}: {}", error.chain())),
        }
        settings.limits.cooldown
    }

    /// Takes small artefacts. They cost the application little, so each pod may take its own.
    fn take_small(&self, settings: &AutomaticSettings, jvm: &Jvm, why: &str, deadline: &Deadline) -> Small {
        let settings = settings.instead(format!("watch: {why}"));
        let taken = take(&settings, jvm, deadline);
        self.was_automatic(format!("{why}: {}", settings.words()));
        Small { settings, taken }
    }

    fn was_automatic(&self, text: String) {
        log::warn!("{text}");
        let mut shared = self.lock();
        shared.status.last_automatic = Some(text);
        self.write_status(&mut shared);
    }
}

/// Small artefacts that were taken, and are stored if that did not fail.
struct Small {
    settings: TakeSettings,
    taken: Vec<Taken>,
}

impl Small {
    /// Prints the receipts, and sends the notices.
    fn tell(self, deadline: &Deadline) {
        let notifier = Notifier::new(&self.settings.common, deadline);
        for (receipt, result) in self.taken {
            if let Err(error) = emitted(tell(receipt, result, VERB, &notifier)) {
                log::warn!("{}", error.chain());
            }
        }
    }
}

impl Sight {
    fn look(&mut self) -> Look {
        let now = Instant::now();
        if let Some(counters) = self.jvm.counters() {
            self.level.look(now, &counters);
        }
        let memory = cgroup::memory(&cgroup::files_of(&self.jvm.target, self.jvm.identity));
        self.growth.look(now, memory);
        let full_in = self.growth.full_in(memory).into_iter().chain(self.level.full_in()).min();
        let is_soon = full_in.is_some_and(|left| left < SOON);
        let level = if is_soon { self.level.known_early() } else { self.level.known_for_long() };
        let usage = Usage { heap: level.into(), memory };
        Look { usage, full_in, call: self.trigger.look(now, &usage, full_in) }
    }
}

/// Prints the receipt of a run.
fn emitted(told: Result<Answer, Failed>) -> Result<(), Box<Error>> {
    let (answer, result) = match told {
        Ok(answer) => (answer, Ok(())),
        Err(Failed { error, answer }) => (answer, Err(error)),
    };
    emit(&answer.text);
    result
}

/// Returns the reason of small artefacts that are taken before a heap dump.
fn before_dump(why: &str, left: Duration) -> String {
    format!("{why}: before the heap dump, for there may be only {} left", Seconds(left))
}

fn is_ahead(time: Option<Instant>) -> bool {
    time.is_some_and(|time| Instant::now() < time)
}

fn left(until: DateTime<Utc>) -> Duration {
    until.signed_duration_since(Utc::now()).to_std().unwrap_or_default()
}
