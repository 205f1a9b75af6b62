//! How large a dump becomes and how long it takes, by what its heap holds, pure.

use std::time::Duration;

/// Classes and names, whatever the heap: 0.5 to 60 MB were seen.
const CLASSES_MAX: u64 = 64 << 20;

/// The same of a common application.
const CLASSES_LIKELY: u64 = 8 << 20;

/// The largest size in HPROF of what takes so many bytes of heap. The record of an instance has 25 bytes and its
/// fields, a reference has 8 (JDK: `heapDumper.cpp`, `DumperSupport::dump_instance`). An object with one reference
/// takes 16 bytes of heap.
const GROWTH: (u64, u64) = (33, 16);

/// With compact headers an object without fields takes 8 bytes (JEP 519).
const GROWTH_COMPACT: (u64, u64) = (25, 8);

/// The heap, as the JVM tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heap {
    pub used: u64,
    /// `UseCompactObjectHeaders`.
    pub compact: bool,
}

impl Heap {
    /// The largest raw dump.
    pub fn raw_upper(self) -> u64 {
        let (most, of) = if self.compact { GROWTH_COMPACT } else { GROWTH };
        (self.used / of).saturating_add(1).saturating_mul(most).saturating_add(CLASSES_MAX)
    }
}

/// Bounds of what the run will write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub heap_used: u64,
    pub lower: u64,
    /// What most runs need: the heap's size for the raw dump, and a third for its compressed copy.
    pub likely: u64,
    pub upper: u64,
    /// Of the raw dump alone.
    pub raw_upper: u64,
}

impl Estimate {
    /// The compressed copy is the whole at worst.
    pub fn new(heap: Heap, live: bool) -> Self {
        let raw_upper = heap.raw_upper();
        Self {
            heap_used: heap.used,
            lower: lower(heap.used, live),
            likely: heap.used.saturating_add(heap.used / 3).saturating_add(CLASSES_LIKELY),
            upper: raw_upper.saturating_mul(2),
            raw_upper,
        }
    }

    /// The lower bound of a dump of all objects.
    pub fn lower_of_all(&self) -> u64 {
        lower(self.heap_used, false)
    }
}

/// An object needs 0.9 of its heap size at least: padding is missing. Live objects may be few, so a quarter counts as
/// certain. The compressed copy is a tenth at best.
fn lower(heap_used: u64, live: bool) -> u64 {
    let raw = if live { heap_used / 4 } else { heap_used / 10 * 9 };
    raw + raw / 10
}

/// What a JVM writes to a common disk: 360 MB/s were measured on JDK 17.
const DUMPED_PER_SECOND: u64 = 300 << 20;

/// What no JVM on no disk exceeds: 1.3 GB/s were measured on JDK 21 into the page cache.
const DUMPED_PER_SECOND_AT_MOST: u64 = 1500 << 20;

/// What a full collection gets through, with all objects alive, by one thread.
const COLLECTED_PER_SECOND: u64 = 500 << 20;

/// So much of a heap goes through pipe, compression and a near store in a second, on two processors.
const STREAMED_PER_SECOND: u64 = 150 << 20;

impl Estimate {
    /// How long the application waits for a dump on a common disk, at most.
    pub fn pause(&self) -> Duration {
        per_second(self.raw_upper, DUMPED_PER_SECOND)
    }

    /// How long it takes to collect the garbage and to dump what is left, on a common disk.
    pub fn likely_with_collection(&self) -> Duration {
        per_second(self.heap_used, COLLECTED_PER_SECOND) + per_second(self.heap_used, DUMPED_PER_SECOND)
    }

    /// Nobody dumps this heap faster.
    pub fn shortest(&self) -> Duration {
        per_second(self.heap_used, DUMPED_PER_SECOND_AT_MOST)
    }

    /// How long the application waits for a dump through pipes.
    pub fn streamed(&self) -> Duration {
        Duration::from_secs(self.heap_used.div_ceil(STREAMED_PER_SECOND))
    }
}

fn per_second(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_objects_may_be_few_but_all_objects_are_about_the_used_heap() {
        let heap = Heap { used: 1 << 30, compact: false };
        let (live, all) = (Estimate::new(heap, true), Estimate::new(heap, false));
        assert!(live.lower < all.lower && live.upper == all.upper && all.lower == live.lower_of_all());
        assert!(all.lower < heap.used && all.raw_upper > 2 * heap.used);
        assert!(all.lower < all.likely && all.likely < all.raw_upper);
    }

    /// Ten million of each: an object with a reference, and one of 8 bytes.
    #[test]
    fn upper_bound_holds_for_the_smallest_objects() {
        let objects = 10_000_000;
        assert!(Heap { used: objects * 16, compact: false }.raw_upper() >= objects * 33);
        assert!(Heap { used: objects * 8, compact: true }.raw_upper() >= objects * 25);
    }
}
