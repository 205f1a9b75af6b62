//! Estimates from the heap how large a dump becomes and how long it takes. No I/O.

use std::time::Duration;

/// Most bytes of classes and names in any heap: 0.5 to 60 MB were seen.
const CLASSES_MAX: u64 = 64 << 20;

/// Bytes of classes and names in a common application.
const CLASSES_LIKELY: u64 = 8 << 20;

/// Largest bytes in HPROF, for these bytes of heap. The record of an instance has 25 bytes and its fields, a reference
/// has 8 (JDK: `heapDumper.cpp`, `DumperSupport::dump_instance`). An object with one reference takes 16 bytes of heap.
const GROWTH: (u64, u64) = (33, 16);

/// With compact headers, an object without fields takes 8 bytes (JEP 519), as in a native image.
const GROWTH_COMPACT: (u64, u64) = (25, 8);

/// Virtual threads keep their frames in the heap. From JDK 22 on, each frame is dumped as a record of 49 bytes, and has
/// 8 bytes in its stack (JDK-8299426). Compiled code holds several frames in one. 10,000 stacks of 1,000 frames made
/// 3.2 times the heap.
const GROWTH_VIRTUAL_THREADS: (u64, u64) = (64, 16);

/// How much larger than its heap a dump can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Headers of 12 or 16 bytes.
    Common,
    /// Headers of 8 bytes: `UseCompactObjectHeaders`, which is the default from JDK 27 on (JEP 534).
    CompactHeaders,
    /// Stacks of virtual threads may lie in the heap. The bound is what was measured.
    VirtualThreads,
    /// Arrays and fields may hold value objects without a header (JEP 401, a preview in JDK 28). Each is dumped as a
    /// reference and a record of its own. Value objects may also lie in each other: 14 times the heap was measured.
    FlatValues,
}

impl Growth {
    /// Returns bytes of the dump, and of the heap; `None` if there is no bound.
    fn bound(self) -> Option<(u64, u64)> {
        match self {
            Self::Common => Some(GROWTH),
            Self::CompactHeaders => Some(GROWTH_COMPACT),
            Self::VirtualThreads => Some(GROWTH_VIRTUAL_THREADS),
            Self::FlatValues => None,
        }
    }

    /// Returns why no bound of the dump's size can be promised; `None` if there is one.
    pub fn why_no_bound(self) -> Option<&'static str> {
        match self {
            Self::Common | Self::CompactHeaders => None,
            Self::VirtualThreads => Some(
                "no bound of the dump's size is known: this JVM has virtual threads, and dumps each of their frames as a \
                 record of its own",
            ),
            Self::FlatValues => Some(
                "no bound of the dump's size is known: this JVM holds value objects flat in arrays and fields, and dumps \
                 each as a record of its own",
            ),
        }
    }
}

/// The used bytes of a heap, and how much larger its dump can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heap {
    pub used: u64,
    pub growth: Growth,
}

impl Heap {
    /// Returns the largest raw dump in bytes; `None` if no bound is known.
    pub fn raw_upper(self) -> Option<u64> {
        let (most, of) = self.growth.bound()?;
        Some((self.used / of).saturating_add(1).saturating_mul(most).saturating_add(CLASSES_MAX))
    }
}

/// Bounds of the bytes that the run will write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub heap_used: u64,
    pub lower: u64,
    /// Bytes that most runs need: the heap's size for the raw dump, and a third for its compressed copy.
    pub likely: u64,
    /// `None` if no bound is known.
    pub upper: Option<u64>,
    /// The upper bound of the raw dump alone.
    pub raw_upper: Option<u64>,
}

impl Estimate {
    /// Computes the bounds. At worst, the compressed copy is as large as the raw dump.
    pub fn new(heap: Heap, live: bool) -> Self {
        let raw_upper = heap.raw_upper();
        Self {
            heap_used: heap.used,
            lower: lower(heap.used, live),
            likely: heap.used.saturating_add(heap.used / 3).saturating_add(CLASSES_LIKELY),
            upper: raw_upper.map(|raw| raw.saturating_mul(2)),
            raw_upper,
        }
    }

    /// Returns whether the largest dump and its copy fit into `free` bytes.
    pub fn surely_fits(&self, free: u64) -> bool {
        self.upper.is_some_and(|upper| free >= upper)
    }

    /// Returns the lower bound of a dump of all objects.
    pub fn lower_of_all(&self) -> u64 {
        lower(self.heap_used, false)
    }
}

/// Returns the lower bound of a dump and its copy, in bytes. An object needs at least 0.9 of its heap size, because the
/// dump has no padding. Live objects may be few, so only a quarter counts as certain. The compressed copy has a tenth
/// at best.
fn lower(heap_used: u64, live: bool) -> u64 {
    let raw = if live { heap_used / 4 } else { heap_used / 10 * 9 };
    raw + raw / 10
}

/// Returns the smallest size of the JVM's own dump of all objects, which has no copy. gzip makes a tenth of it at best.
pub fn least_of_all(heap_used: u64, gzipped: bool) -> u64 {
    let raw = heap_used / 10 * 9;
    if gzipped { raw / 10 } else { raw }
}

/// Bytes that a JVM writes to a common disk in a second: 360 MB/s were measured on JDK 17.
const DUMPED_PER_SECOND: u64 = 300 << 20;

/// Bytes in a second that no JVM exceeds on any disk: 1.3 GB/s were measured on JDK 21 into the page cache.
const DUMPED_PER_SECOND_AT_MOST: u64 = 1500 << 20;

/// Bytes that a full collection by one thread goes through in a second, with all objects alive.
const COLLECTED_PER_SECOND: u64 = 500 << 20;

/// Bytes of heap that go through pipe, compression and a near store in a second, on two processors.
const STREAMED_PER_SECOND: u64 = 150 << 20;

impl Estimate {
    /// Returns how long the application waits at most for a dump on a common disk; `None` if no bound is known.
    pub fn pause(&self) -> Option<Duration> {
        self.raw_upper.map(|raw| per_second(raw, DUMPED_PER_SECOND))
    }

    /// Returns the time to collect the garbage and to dump the rest, on a common disk.
    pub fn likely_with_collection(&self) -> Duration {
        per_second(self.heap_used, COLLECTED_PER_SECOND) + per_second(self.heap_used, DUMPED_PER_SECOND)
    }

    /// Returns the shortest time in which any JVM can dump this heap.
    pub fn shortest(&self) -> Duration {
        per_second(self.heap_used, DUMPED_PER_SECOND_AT_MOST)
    }

    /// Returns how long the application waits for a dump through pipes.
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
    fn lower_bound_of_live_objects_is_below_that_of_all() {
        let heap = Heap { used: 1 << 30, growth: Growth::Common };
        let (live, all) = (Estimate::new(heap, true), Estimate::new(heap, false));
        assert!(live.lower < all.lower && live.upper == all.upper && all.lower == live.lower_of_all());
        assert!(all.lower < heap.used && all.raw_upper.unwrap() > 2 * heap.used);
        assert!(all.lower < all.likely && all.likely < all.raw_upper.unwrap());
    }

    /// The heaps have ten million objects of one kind: an object with a reference; with compact headers, one without a
    /// field, one with an int and a reference, and one with two references.
    #[test]
    fn upper_bound_holds_for_the_smallest_objects() {
        let objects = 10_000_000;
        let upper = |bytes: u64, growth| Heap { used: objects * bytes, growth }.raw_upper().unwrap();
        assert!(upper(16, Growth::Common) >= objects * 33);
        for (heap, dump) in [(8, 25), (16, 37), (16, 41), (16, 33)] {
            assert!(upper(heap, Growth::CompactHeaders) >= objects * dump);
        }
    }

    /// The numbers are those of a measured heap of 180 MB.
    #[test]
    fn stacks_of_virtual_threads_fit_into_their_bound() {
        let heap = Heap { used: 184_062_976, growth: Growth::VirtualThreads };
        assert!(heap.raw_upper().unwrap() >= 590_348_288);
        assert!(heap.growth.why_no_bound().is_some() && Growth::Common.why_no_bound().is_none());
    }

    #[test]
    fn flat_value_objects_have_no_bound() {
        let flat = Estimate::new(Heap { used: 1 << 30, growth: Growth::FlatValues }, true);
        assert_eq!((flat.upper, flat.raw_upper, flat.pause()), (None, None, None));
        assert!(!flat.surely_fits(u64::MAX));
    }
}
