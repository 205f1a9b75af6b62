//! `--when`: the watcher's third thread. It looks at the memory of an application, and dumps its heap when it is full.
//!
//! A look reads counters only. The JVM gets neither an attach nor a signal before a condition holds.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Watcher;
use crate::base::deadline::Deadline;
use crate::base::run_id::run_id;
use crate::commands::dump::find_and_dump;
use crate::commands::{emit, receipt_text};
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

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Time between two searches for a JVM, and between two looks at the settings.
const SEARCH_EVERY: Duration = Duration::from_secs(10);

/// The JVM that is looked at.
struct Sight {
    jvm: Jvm,
    level: HeapLevel,
    trigger: Trigger,
}

impl Watcher {
    /// Looks at the JVM until the watcher ends.
    pub(super) fn look_at_levels(&self, life: &Deadline) {
        let Some(settings) = &self.settings.automatic else { return };
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
            let (usage, now) = (seen.look(), Instant::now());
            let call = seen.trigger.look(now, &usage).filter(|_| !is_off);
            if let Some(call) = call.filter(|_| rests_until.is_none_or(|until| now >= until)) {
                rests_until = Some(Instant::now() + self.answer(settings, &seen.jvm, call));
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
        Some(Sight { jvm, level: HeapLevel::default(), trigger: Trigger::new(&settings.conditions, settings.held_for) })
    }

    fn looks_at(&self, text: String) {
        let mut shared = self.lock();
        if shared.status.looking_at.as_ref() != Some(&text) {
            log::info!("looking at {text}");
            shared.status.looking_at = Some(text);
            self.write_status(&mut shared);
        }
    }

    /// Answers a call. Returns the time until the next one is heard.
    fn answer(&self, settings: &AutomaticSettings, jvm: &Jvm, call: Call) -> Duration {
        let why = match call {
            Call::Heap(why) => why,
            Call::Memory(why) => {
                self.was_automatic(format!("{why}: no heap dump, for the heap is not above its level"));
                return settings.limits.cooldown;
            }
        };
        log::warn!("pid {}: {why}", jvm.pid());
        let deadline = self.work.at_most(settings.dump.common.deadline);
        let place = &settings.dump.common.place;
        let key = ObjectKey::new(place, Utc::now(), &Pod::current().name, jvm.pid(), &run_id());
        match permit::ask(&settings.dump.common.store, &key, settings.limits, &deadline) {
            Ok(Permit::Given) => self.dump(settings, jvm, &why, &deadline),
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
        emit(&receipt_text(&receipt, dump.common.output));
        self.was_automatic(match &result {
            Ok(()) => format!("{why}: {}", receipt.object.as_ref().map_or("nothing", |object| &object.url)),
            Err(error) => format!("{why}: {}", error.chain()),
        });
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
    fn look(&mut self) -> Usage {
        if let Some(counters) = self.jvm.counters() {
            self.level.look(Instant::now(), &counters);
        }
        Usage { heap: self.level.known().into(), memory: cgroup::memory(&self.jvm.target, self.jvm.identity) }
    }
}

fn left(until: DateTime<Utc>) -> Duration {
    until.signed_duration_since(Utc::now()).to_std().unwrap_or_default()
}
