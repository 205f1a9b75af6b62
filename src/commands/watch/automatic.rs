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
use crate::settings::{AutomaticSettings, DumpSettings};
use crate::watch::permit::{self, Permit};
use crate::watch::trigger::{Call, Trigger};
use crate::watch::worth::Growth;

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

impl Watcher {
    /// Looks at the JVM until the watcher ends.
    pub(super) fn look_at_levels(&self, settings: &AutomaticSettings, life: &Deadline) {
        let (mut sight, mut searched, mut rests_until) = (None::<Sight>, None::<Instant>, None::<Instant>);
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
            let (usage, call) = seen.look();
            if let Some(call) = call.filter(|_| !is_off && rests_until.is_none_or(|until| Instant::now() >= until)) {
                rests_until = Some(Instant::now() + self.answer(settings, seen, &usage, call));
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
        let trigger = Trigger::new(&settings.conditions, settings.held_for);
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

    /// Answers a call. Returns the time until the next one is heard.
    fn answer(&self, settings: &AutomaticSettings, sight: &Sight, usage: &Usage, call: Call) -> Duration {
        let (why, objection) = match call {
            Call::Heap(why) => (why, sight.growth.objection(usage)),
            Call::Memory(why) => (why, Some("the heap is not above its level".to_owned())),
        };
        log::warn!("pid {}: {why}", sight.jvm.pid());
        let deadline = self.work.at_most(settings.dump.common.deadline);
        if let Some(objection) = objection {
            return self.take_instead(
                settings,
                &sight.jvm,
                &format!("{why}: no heap dump, for {objection}"),
                &deadline,
            );
        }
        let place = &settings.dump.common.place;
        let key = ObjectKey::new(place, Utc::now(), &Pod::current().name, sight.jvm.pid(), &run_id());
        match permit::ask(&settings.dump.common.store, &key, settings.limits, &deadline) {
            Ok(Permit::Given) => self.dump(settings, &sight.jvm, &why, &deadline),
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
                return self.take_instead(settings, jvm, &why, deadline);
            }
            Err(error) => self.was_automatic(format!("{why}: {}", error.chain())),
        }
        settings.limits.cooldown
    }

    /// Takes small artefacts. They cost the application little, so each pod may take its own.
    fn take_instead(&self, settings: &AutomaticSettings, jvm: &Jvm, why: &str, deadline: &Deadline) -> Duration {
        let instead = settings.instead(format!("watch: {why}"));
        let notifier = Notifier::new(&instead.common, deadline);
        for (receipt, result) in take(&instead, jvm, deadline) {
            if let Err(error) = emitted(tell(receipt, result, VERB, &notifier)) {
                log::warn!("{}", error.chain());
            }
        }
        self.was_automatic(format!("{why}: {} instead", instead.words()));
        settings.limits.cooldown
    }

    fn was_automatic(&self, text: String) {
        log::warn!("{text}");
        let mut shared = self.lock();
        shared.status.last_automatic = Some(text);
        self.write_status(&mut shared);
    }
}

impl Sight {
    fn look(&mut self) -> (Usage, Option<Call>) {
        let now = Instant::now();
        if let Some(counters) = self.jvm.counters() {
            self.level.look(now, &counters);
        }
        let memory = cgroup::memory(&self.jvm.target, self.jvm.identity);
        self.growth.look(now, memory);
        let usage = Usage { heap: self.level.known().into(), memory };
        (usage, self.trigger.look(now, &usage))
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

fn left(until: DateTime<Utc>) -> Duration {
    until.signed_duration_since(Utc::now()).to_std().unwrap_or_default()
}
