//! The level of a heap: the bytes that its collector cannot free. The use of a healthy heap rises between two
//! collections to any height, so one look at it says nothing. No I/O: the caller passes the counters.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::heap_counters::Collections;
use super::hsperfdata::PerfData;

/// Number of completed collections after which the lowest use is the level.
const COLLECTIONS: u64 = 2;

/// Time for which the use must have been watched where the JVM does not count its collections, or where its collector
/// begins no mark (G1: below `InitiatingHeapOccupancyPercent`).
const WATCHED_FOR: Duration = Duration::from_secs(30);

/// Shortest time over which a growth is measured.
const GROWS_FOR: Duration = Duration::from_secs(8);

/// Looks after a full collection before its level counts: the JVM counts it some milliseconds before it tells the use
/// (JDK: `genCollectedHeap.cpp`, `collect_generation` and `gc_epilogue`).
const LOOKS_AFTER_FULL: u32 = 2;

/// The lowest use since a full collection that stopped the application.
#[derive(Debug)]
struct AfterFull {
    collections: u64,
    lowest: u64,
    looks: u32,
}

/// Collections whose lowest use must have risen, one after the other, before the use since the last one counts early.
const RISING: usize = 3;

/// The least rise from one collection to the next, as a part of the maximum.
const RISE: u64 = 50;

/// The use of the old generation, watched over some time.
#[derive(Debug, Default)]
pub struct HeapLevel {
    /// Pauses of the collector at the first look.
    first: Option<Collections>,
    /// The lowest use, for each number of pauses. The oldest one comes first.
    by_pauses: VecDeque<(u64, u64)>,
    /// Each use of the last [`WATCHED_FOR`]. The oldest one comes first.
    recent: VecDeque<(Instant, u64)>,
    /// The number of each collection since the first look, and the lowest use after it. The oldest one comes first.
    floors: VecDeque<(u64, u64)>,
    /// The first one is from before the full collections that were seen.
    after_full: VecDeque<AfterFull>,
    since: Option<Instant>,
    most: u64,
    /// The collector tells the use of the moment.
    is_momentary: bool,
}

impl HeapLevel {
    /// Adds the counters of one look. Counters without an old generation add nothing.
    pub fn look(&mut self, at: Instant, counters: &PerfData) {
        let Some((used, most)) = counters.old_generation() else { return };
        self.most = most;
        self.is_momentary = counters.old_use_is_momentary();
        self.since.get_or_insert(at);
        self.recent.push_back((at, used));
        while self.recent.front().is_some_and(|(then, _)| at.duration_since(*then) > WATCHED_FOR) {
            self.recent.pop_front();
        }
        self.look_after_full(counters.full_collections(), used);
        let Some(collections) = counters.old_collections() else { return };
        let first = *self.first.get_or_insert(collections);
        let number = collections.pauses.saturating_sub(first.pauses) / first.per_collection.max(1);
        match self.floors.back_mut().filter(|(last, _)| *last == number) {
            Some((_, lowest)) => *lowest = used.min(*lowest),
            None => self.floors.push_back((number, used)),
        }
        if self.floors.len() > RISING + 1 {
            self.floors.pop_front();
        }
        match self.by_pauses.back_mut() {
            Some((pauses, lowest)) if *pauses == collections.pauses => *lowest = used.min(*lowest),
            _ => self.by_pauses.push_back((collections.pauses, used)),
        }
        let gone = collections.pauses.saturating_sub(COLLECTIONS * collections.per_collection);
        while self.by_pauses.front().is_some_and(|(pauses, _)| *pauses <= gone) {
            self.by_pauses.pop_front();
        }
    }

    fn look_after_full(&mut self, full: Option<u64>, used: u64) {
        let Some(collections) = full else { return };
        match self.after_full.back_mut().filter(|last| last.collections == collections) {
            Some(last) => {
                last.lowest = last.lowest.min(used);
                last.looks += 1;
            }
            None => self.after_full.push_back(AfterFull { collections, lowest: used, looks: 1 }),
        }
        if self.after_full.len() > 3 {
            self.after_full.pop_front();
        }
    }

    /// Returns the level and its maximum for a watcher, which has time. A collector that tells the use of the moment is
    /// watched for [`WATCHED_FOR`] besides: on a busy machine, much garbage comes while it collects.
    pub fn known_for_long(&self) -> Option<(u64, u64)> {
        let (known, most) = self.known()?;
        if !self.is_momentary {
            return Some((known, most));
        }
        let (since, (last, _)) = (self.since?, self.recent.back()?);
        let lowest = self.recent.iter().map(|(_, used)| *used).min()?;
        (last.duration_since(since) >= WATCHED_FOR).then(|| (known.min(lowest), most))
    }

    /// Returns the level as far as fewer collections tell it, and its maximum. For a heap that is full before its
    /// collector has run twice more.
    pub fn known_early(&self) -> Option<(u64, u64)> {
        let known = self.known().map(|(lowest, _)| lowest);
        let early = [known, self.lowest_after_full(), self.risen()].into_iter().flatten().max();
        early.map(|lowest| (lowest, self.most))
    }

    /// Returns the lowest use since the last full collection.
    fn lowest_after_full(&self) -> Option<u64> {
        let mut latest = self.after_full.iter().skip(1).rev();
        let last = latest.next()?;
        match latest.next() {
            _ if last.looks >= LOOKS_AFTER_FULL => Some(last.lowest),
            Some(before) => Some(last.lowest.min(before.lowest)),
            None => None,
        }
    }

    /// Returns the lowest use since the last collection, if that of the collections before rose from each to the next:
    /// what lives grows.
    fn risen(&self) -> Option<u64> {
        let floors: Vec<u64> = self.floors.iter().map(|(_, lowest)| *lowest).collect();
        let (now, before) = floors.split_last().filter(|(_, before)| before.len() == RISING)?;
        let rises = before.is_sorted_by(|one, next| one.saturating_add(self.most / RISE) <= *next);
        (rises && before.last() <= Some(now)).then_some(*now)
    }

    /// Returns the time until the old generation is full, if it goes on growing as in the last [`WATCHED_FOR`]. It must
    /// have grown in both halves of that time: one step, as at the first collection, is no growth.
    pub fn full_in(&self) -> Option<Duration> {
        let (first, middle) = (self.recent.front()?, self.recent.get(self.recent.len() / 2)?);
        let last = self.recent.back()?;
        if last.0.duration_since(first.0) < GROWS_FOR {
            return None;
        }
        let per_second = |from: &(Instant, u64), to: &(Instant, u64)| {
            let grown = to.1.checked_sub(from.1).filter(|grown| *grown > 0)?;
            Some(grown as f64 / to.0.duration_since(from.0).as_secs_f64())
        };
        let slowest = per_second(first, middle)?.min(per_second(middle, last)?);
        Duration::try_from_secs_f64(self.most.saturating_sub(last.1) as f64 / slowest).ok()
    }

    /// Returns the level and its maximum; `None` before it is known.
    pub fn known(&self) -> Option<(u64, u64)> {
        let lowest = self.lowest_of_collections().or_else(|| self.lowest_of_time())?;
        Some((lowest, self.most))
    }

    /// Returns the lowest use so far: the level is not above it.
    pub fn at_most(&self) -> Option<(u64, u64)> {
        let uses = self.by_pauses.iter().map(|(_, used)| *used).chain(self.recent.iter().map(|(_, used)| *used));
        Some((uses.min()?, self.most))
    }

    /// Returns the lowest use since the last collection but one was over.
    fn lowest_of_collections(&self) -> Option<u64> {
        let (first, last) = (self.first?, self.by_pauses.back()?.0);
        let is_seen = last >= first.pauses.saturating_add(COLLECTIONS * first.per_collection);
        is_seen.then(|| self.by_pauses.iter().map(|(_, lowest)| *lowest).min())?
    }

    fn lowest_of_time(&self) -> Option<u64> {
        let (since, (last, _)) = (self.since?, self.recent.back()?);
        let is_seen = last.duration_since(since) >= WATCHED_FOR;
        let may_rest = self.first.is_none_or(|first| first.may_rest);
        (is_seen && may_rest).then(|| self.recent.iter().map(|(_, used)| *used).min())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jvm::hsperfdata::Value;

    const MOST: i64 = 400;

    /// Returns the counters of a JVM with this collector, as hsperfdata has them.
    fn counters(policy: Option<&str>, collector: Option<(u8, &str, i64)>, used: i64) -> PerfData {
        let mut all = vec![
            ("sun.gc.generation.1.space.0.used".to_owned(), Value::Long(used << 20)),
            ("sun.gc.generation.1.maxCapacity".to_owned(), Value::Long(MOST << 20)),
        ];
        all.extend(policy.map(|name| ("sun.gc.policy.name".to_owned(), Value::Text(name.into()))));
        if let Some((number, name, count)) = collector {
            let counter = |what: &str| format!("sun.gc.collector.{number}.{what}");
            all.extend([(counter("name"), Value::Text(name.into())), (counter("invocations"), Value::Long(count))]);
        }
        PerfData::of(&all.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>())
    }

    /// Looks once a second, and returns the level after each look, in MiB.
    fn levels(looks: impl IntoIterator<Item = PerfData>) -> Vec<Option<u64>> {
        let (mut level, start) = (HeapLevel::default(), Instant::now());
        let mut looked = |(second, counters): (u64, PerfData)| {
            level.look(start + Duration::from_secs(second), &counters);
            level.known().map(|(used, _)| used >> 20)
        };
        (0..).zip(looks).map(&mut looked).collect()
    }

    fn shenandoah(pauses: i64, used: i64) -> PerfData {
        counters(None, Some((1, "Shenandoah full", pauses)), used)
    }

    #[test]
    fn saw_of_a_healthy_heap_is_no_level() {
        // As seen on JDK 25 with 110 MB live: it rises by 60 MB/s, and each collection has 11 pauses.
        let saw = (0..60).map(|second| shenandoah(second / 3 * 11, 120 + second % 3 * 60));
        let levels = levels(saw);
        assert!(levels[..6].iter().all(Option::is_none), "{levels:?}");
        assert!(levels[6..].iter().all(|level| *level == Some(120)), "{levels:?}");
    }

    #[test]
    fn slow_garbage_is_no_level_before_two_collections() {
        let rising = (0..300).map(|second| shenandoah(35, 110 + second));
        assert!(levels(rising).iter().all(Option::is_none));
    }

    #[test]
    fn full_collections_tell_the_level_of_a_leak() {
        let serial = |count, used| counters(Some("Copy:MSC"), Some((1, "MSC", count)), used);
        let looks = [serial(4, 390), serial(5, 350), serial(5, 380), serial(6, 360), serial(6, 390), serial(7, 370)];
        assert_eq!(levels(looks), [None, None, None, Some(350), Some(350), Some(360)]);
    }

    #[test]
    fn one_full_collection_tells_the_level_early() {
        let mut level = HeapLevel::default();
        let start = Instant::now();
        let mut early = |second, full, used| {
            let serial = counters(Some("Copy:MSC"), Some((1, "MSC", full)), used);
            level.look(start + Duration::from_secs(second), &serial);
            level.known_early().map(|(used, _)| used >> 20)
        };
        assert_eq!([early(0, 4, 100), early(1, 4, 390)], [None, None], "no collection was seen");
        assert_eq!(early(2, 5, 390), None, "the use may be that before the collection");
        assert_eq!([early(3, 5, 350), early(4, 5, 370)], [Some(350), Some(350)]);
        assert_eq!([early(5, 6, 399), early(6, 7, 380)], [Some(350), Some(380)]);
        assert_eq!(early(7, 7, 60), Some(60));
    }

    #[test]
    fn momentary_use_is_watched_for_a_time() {
        let (mut level, start) = (HeapLevel::default(), Instant::now());
        let mut known = |second, used| {
            level.look(start + Duration::from_secs(second), &shenandoah((second / 3 * 11).cast_signed(), used));
            level.known_for_long().map(|(used, _)| used >> 20)
        };
        let levels: Vec<_> = (0..50).map(|second| known(second, if second == 20 { 120 } else { 380 })).collect();
        assert_eq!((levels[29], levels[30], levels[49]), (None, Some(120), Some(120)));
    }

    #[test]
    fn level_that_rises_is_known_early() {
        let early = |uses: &[i64]| {
            let (mut level, start) = (HeapLevel::default(), Instant::now());
            for (second, used) in (0..).zip(uses) {
                let g1 = counters(Some("GarbageFirst"), Some((2, "marks", second / 3 * 2)), *used);
                level.look(start + Duration::from_secs(second.cast_unsigned()), &g1);
            }
            level.known_early().map(|(used, _)| used >> 20)
        };
        let leak = [100, 110, 120, 150, 180, 200, 250, 270, 280, 350];
        assert_eq!(early(&leak), Some(350), "the level of two collections is 250");
        assert_eq!(early(&leak[..9]), Some(150));
        let saw = [100, 110, 120, 90, 180, 200, 100, 270, 280, 350];
        assert_eq!(early(&saw), Some(100));
    }

    #[test]
    fn growth_tells_when_the_heap_is_full() {
        let mut level = HeapLevel::default();
        let start = Instant::now();
        let mut full_in = |second, used| {
            level.look(start + Duration::from_secs(second), &counters(None, None, used));
            level.full_in()
        };
        assert_eq!([full_in(0, 0), full_in(4, 200)], [None, None], "too short a time");
        assert_eq!(full_in(8, 200), None, "one step");
        assert_eq!(full_in(12, 300), Some(Duration::from_secs(4)));
        assert_eq!(full_in(16, 400), Some(Duration::ZERO));
        assert_eq!(full_in(17, 90), None);
    }

    #[test]
    fn collector_that_rests_is_watched_for_a_time() {
        let g1 = |used| counters(Some("GarbageFirst"), Some((2, "marks", 4)), used);
        let levels = levels((0..40).map(|second| g1(if second == 2 { 340 } else { 360 })));
        assert_eq!(levels[29..34], [None, Some(340), Some(340), Some(340), Some(360)]);
    }

    #[test]
    fn heap_without_counted_collections_is_watched_for_a_time() {
        let levels = levels((0..32).map(|_| counters(None, None, 360)));
        assert_eq!(levels[29..], [None, Some(360), Some(360)]);
    }

    #[test]
    fn level_is_not_above_the_lowest_use_so_far() {
        let mut level = HeapLevel::default();
        assert_eq!(level.at_most(), None);
        let start = Instant::now();
        for (second, used) in [(0, 300), (1, 120), (2, 180)] {
            level.look(start + Duration::from_secs(second), &shenandoah(35, used));
        }
        assert_eq!(level.at_most().map(|(used, most)| (used >> 20, most >> 20)), Some((120, 400)));
    }
}
