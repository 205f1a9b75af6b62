//! `--when`: whether the memory of an application calls for a dump. No I/O: the caller passes what it has looked at.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::base::units::{Bytes, Seconds};
use crate::jvm::condition::{Condition, Measure, Reading, Usage};

/// Longest period of a growth.
const PERIOD_MAX: Duration = Duration::from_secs(24 * 3600);

/// Looks that are remembered for each period of a growth.
const LOOKS: u32 = 120;

/// A condition does not wait for its time if the container or the heap is full within this one. The claim, the attach
/// and the dump of a heap of 2 GiB take about so long on two processors.
pub const SOON: Duration = Duration::from_secs(20);

/// A condition of `--when`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The measure is above a share of its maximum.
    Above(Condition),
    /// The level of the heap has grown by `percent` of its maximum within `period`.
    Growth { percent: u8, period: Duration },
}

impl When {
    /// Parses `heap>85%`, `memory>90%` or `heap+10%/5m`. `duration` parses a time.
    ///
    /// # Errors
    /// The reason, as text.
    pub fn parse(text: &str, duration: impl Fn(&str) -> Result<Duration, String>) -> Result<Self, String> {
        let Some(growth) = text.trim().strip_prefix("heap+") else {
            return Condition::parse(text).map(Self::Above).map_err(|why| format!("{why}, nor heap+PERCENT%/TIME"));
        };
        let wrong = || "not of the form heap+PERCENT%/TIME, such as heap+10%/5m".to_owned();
        let (percent, period) = growth.split_once('/').ok_or_else(wrong)?;
        let percent = percent.trim().trim_end_matches('%').parse().ok().filter(|percent| (1..=100).contains(percent));
        let period = duration(period.trim())?;
        if period > PERIOD_MAX {
            return Err("a growth is watched for 24h at most".into());
        }
        Ok(Self::Growth { percent: percent.ok_or_else(wrong)?, period })
    }

    /// Returns whether the condition calls without its time if there is none.
    fn may_hurry(self, usage: &Usage) -> bool {
        match (self, usage.heap) {
            (Self::Above(_), _) => true,
            // A small heap may grow fast for a while.
            (Self::Growth { .. }, Reading::Of(used, most)) => used > most / 2,
            (Self::Growth { .. }, _) => false,
        }
    }

    fn is_of_heap(self) -> bool {
        match self {
            Self::Above(condition) => condition.measure == Measure::Heap,
            Self::Growth { .. } => true,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Above(condition) => condition.fmt(f),
            Self::Growth { percent, period } => write!(f, "heap+{percent}%/{}", Seconds(*period)),
        }
    }
}

/// What calls for a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The heap. The text names the conditions, with their readings.
    Heap(String),
    /// The memory of the container alone. The heap is not the reason, so its dump would tell nothing.
    Memory(String),
}

/// A condition and the time since which it holds.
#[derive(Debug)]
struct Watched {
    when: When,
    /// Earlier levels of the heap, for a growth.
    earlier: VecDeque<(Instant, u64)>,
    since: Option<Instant>,
}

/// The conditions of `--when`, watched.
#[derive(Debug)]
pub struct Trigger {
    watched: Vec<Watched>,
    /// Time for which a condition must hold.
    held_for: Duration,
    /// The start of the JVM, if it is known.
    born: Option<Instant>,
}

impl Trigger {
    pub fn new(conditions: &[When], held_for: Duration, born: Option<Instant>) -> Self {
        let watched = |when: &When| Watched { when: *when, earlier: VecDeque::new(), since: None };
        Self { watched: conditions.iter().map(watched).collect(), held_for, born }
    }

    /// Takes one look. Returns what has called for `held_for`, or what calls with the container or the heap full in less
    /// than [`SOON`]. An unknown reading does not call.
    pub fn look(&mut self, at: Instant, usage: &Usage, full_in: Option<Duration>) -> Option<Call> {
        let (held_for, born) = (self.held_for, self.born);
        let hurries = full_in.is_some_and(|left| left < SOON);
        let holding: Vec<&Watched> = self
            .watched
            .iter_mut()
            .filter_map(|watched| {
                watched.look(at, usage, born);
                let since = watched.since?;
                let calls = at.duration_since(since) >= held_for || hurries && watched.when.may_hurry(usage);
                calls.then_some(&*watched)
            })
            .collect();
        let told = |of_heap: bool| {
            let those = holding.iter().filter(|watched| watched.when.is_of_heap() == of_heap);
            let told: Vec<_> = those.map(|watched| watched.told(usage)).collect();
            (!told.is_empty()).then(|| told.join(", "))
        };
        told(true).map(Call::Heap).or_else(|| told(false).map(Call::Memory))
    }
}

impl Watched {
    fn look(&mut self, at: Instant, usage: &Usage, born: Option<Instant>) {
        let holds = match self.when {
            When::Above(condition) => condition.holds(usage) == Some(true),
            // Each application grows at its start.
            When::Growth { period, .. } if born.is_some_and(|born| at.duration_since(born) < period) => false,
            When::Growth { percent, period } => self.has_grown(at, usage.heap, percent, period),
        };
        self.since = holds.then(|| self.since.unwrap_or(at));
    }

    fn has_grown(&mut self, at: Instant, heap: Reading, percent: u8, period: Duration) -> bool {
        let Reading::Of(used, most) = heap else { return false };
        while self.earlier.front().is_some_and(|(then, _)| at.duration_since(*then) > period) {
            self.earlier.pop_front();
        }
        if self.earlier.back().is_none_or(|(then, _)| at.duration_since(*then) >= period / LOOKS) {
            self.earlier.push_back((at, used));
        }
        let least = self.earlier.iter().map(|(_, used)| *used).min().unwrap_or(used);
        (used - least.min(used)) as f64 * 100.0 > f64::from(percent) * most as f64
    }

    fn told(&self, usage: &Usage) -> String {
        match (self.when, usage.heap) {
            (When::Above(condition), _) => condition.told_as_held(usage),
            (growth, Reading::Of(used, most)) => format!("{growth}: {} of {}", Bytes(used), Bytes(most)),
            (growth, _) => growth.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn trigger(texts: &[&str], held_for: Duration) -> Trigger {
        let parse =
            |text: &&str| When::parse(text, |text| text.parse().map(Duration::from_secs).map_err(|_| "?".into()));
        Trigger::new(&texts.iter().map(|text| parse(text).unwrap()).collect::<Vec<_>>(), held_for, None)
    }

    fn usage(heap: u64, memory: u64) -> Usage {
        Usage { heap: Reading::Of(heap, 100), memory: Reading::Of(memory, 100) }
    }

    /// Returns the seconds at which the trigger called.
    fn calls(trigger: &mut Trigger, usage: impl Fn(u64) -> Usage, seconds: u64) -> Vec<(u64, Call)> {
        let start = Instant::now();
        let mut look =
            |second| Some((second, trigger.look(start + Duration::from_secs(second), &usage(second), None)?));
        (0..seconds).filter_map(&mut look).collect()
    }

    #[test]
    fn heap_above_its_level_calls_after_its_time() {
        let calls = calls(&mut trigger(&["heap>85%"], MINUTE), |_| usage(90, 95), 62);
        let seconds: Vec<_> = calls.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [60, 61]);
        assert_eq!(calls[0].1, Call::Heap("heap>85%: 90.0 % (90 B of 100 B)".into()));
    }

    #[test]
    fn heap_that_falls_begins_anew() {
        let heap = |second| usage(if second == 50 { 80 } else { 90 }, 0);
        let calls = calls(&mut trigger(&["heap>85%"], MINUTE), heap, 120);
        assert_eq!(calls.iter().map(|(second, _)| *second).min(), Some(111));
    }

    #[test]
    fn condition_calls_at_once_before_all_is_full() {
        let (start, mut both) = (Instant::now(), trigger(&["heap>85%", "heap+10%/300"], MINUTE));
        let mut look = |second, heap, left| {
            let at = start + Duration::from_secs(second);
            both.look(at, &usage(heap, 0), Some(Duration::from_secs(left)))
        };
        assert_eq!(look(0, 20, 5), None);
        assert_eq!(look(1, 50, 5), None, "a growth of a small heap waits for its time");
        assert_eq!(look(2, 60, 20), None);
        assert_eq!(look(3, 60, 19), Some(Call::Heap("heap+10%/300.00 s: 60 B of 100 B".into())));
        let mut level = trigger(&["heap>85%"], MINUTE);
        let called = level.look(start, &usage(90, 0), Some(Duration::ZERO));
        assert_eq!(called, Some(Call::Heap("heap>85%: 90.0 % (90 B of 100 B)".into())));
    }

    #[test]
    fn growth_of_a_young_jvm_does_not_call() {
        let born = Instant::now();
        let grows = |second| if second < 200 { second / 4 } else { 50 };
        let called = |born| {
            let mut growth = trigger(&["heap+10%/300"], MINUTE);
            growth.born = born;
            let look =
                |second| growth.look(Instant::now() + Duration::from_secs(second), &usage(grows(second), 0), None);
            (0..1000).filter_map(look).count()
        };
        assert_eq!(called(Some(born)), 0);
        assert!(called(None) > 0);
    }

    #[test]
    fn memory_alone_calls_for_no_heap_dump() {
        let mut both = trigger(&["heap>85%", "memory>90%"], Duration::ZERO);
        let (_, call) = calls(&mut both, |_| usage(50, 95), 1).remove(0);
        assert_eq!(call, Call::Memory("memory>90%: 95.0 % (95 B of 100 B)".into()));
        let (_, call) = calls(&mut both, |_| usage(90, 95), 1).remove(0);
        assert!(matches!(call, Call::Heap(_)), "{call:?}");
    }

    #[test]
    fn growth_of_the_heap_calls() {
        let mut growth = trigger(&["heap+10%/300"], Duration::ZERO);
        let slow = calls(&mut growth, |second| usage(30 + second / 60, 0), 1200);
        assert!(slow.is_empty(), "5 % in 5 minutes: {slow:?}");
        let mut growth = trigger(&["heap+10%/300"], Duration::ZERO);
        let fast = calls(&mut growth, |second| usage(30 + second / 20, 0), 600);
        assert_eq!(fast[0], (220, Call::Heap("heap+10%/300.00 s: 41 B of 100 B".into())));
    }

    #[test]
    fn unknown_heap_calls_for_nothing() {
        let unknown = |_| Usage { heap: Reading::Unknown, memory: Reading::NoLimit };
        assert!(calls(&mut trigger(&["heap>0%", "heap+1%/60", "memory>0%"], Duration::ZERO), unknown, 5).is_empty());
    }

    #[test]
    fn text_that_is_no_condition_is_refused() {
        for text in ["heap+0%/5", "heap+10%", "heap+101%/5", "heap+x/5", "heap+10%/x", "cpu>1%", "heap+10%/90000"] {
            let parsed = When::parse(text, |text| text.parse().map(Duration::from_secs).map_err(|_| "?".into()));
            assert!(parsed.is_err(), "{text}");
        }
    }
}
