//! What hsperfdata tells of the heap: its maximum, its use, and the work of its collector. No I/O.

use super::hsperfdata::PerfData;

/// Smallest region of a G1 heap in bytes. A heap is a whole number of regions (JDK: `heapRegionBounds.hpp`). Up to JDK
/// 20 its counters are some bytes larger, against a division by zero (JDK: `g1MonitoringSupport.hpp`, `pad_capacity`).
const G1_REGION_MIN: u64 = 1 << 20;

/// The most pauses that one collection of the old generation counts, as measured on JDK 8 to 25. G1: remark and cleanup.
/// CMS: initial mark and remark. Shenandoah: 4 on JDK 11, 10 on 17, 11 on 25. ZGC: 3, and 5 with generations.
const G1_PAUSES_OF_A_MARK: u64 = 2;
const CMS_PAUSES: u64 = 2;
const SHENANDOAH_PAUSES: u64 = 11;
const Z_PAUSES: u64 = 5;

/// The work of the collector that frees the old generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collections {
    /// Pauses that are over.
    pub pauses: u64,
    /// The most pauses of one collection.
    pub per_collection: u64,
    /// True if the collector begins no collection before much of the heap is in use (G1:
    /// `InitiatingHeapOccupancyPercent`).
    pub may_rest: bool,
}

impl PerfData {
    /// Returns the largest heap in bytes: `-Xmx`, as the JVM has rounded it.
    pub fn heap_max(&self) -> Option<u64> {
        let [young, old] = [0, 1].map(|generation| self.generation_max(generation).unwrap_or(0));
        let all = if self.divides_heap() { young.saturating_add(old) } else { young.max(old) };
        (all > 0).then_some(all)
    }

    /// Returns the used and the largest bytes of the old generation, as of its last collection. Without generations,
    /// ZGC and Shenandoah report the whole heap as the old one.
    pub fn old_generation(&self) -> Option<(u64, u64)> {
        let used = self.long("sun.gc.generation.1.space.0.used")?.max(0).cast_unsigned();
        Some((used, self.generation_max(1).or_else(|| self.heap_max())?))
    }

    /// Returns how often the collector that frees the old generation has run. `None` if the JVM does not count it.
    pub fn old_collections(&self) -> Option<Collections> {
        let per_collection = match self.text("sun.gc.policy.name") {
            Some("GarbageFirst") => G1_PAUSES_OF_A_MARK,
            Some(name) if name.ends_with(":CMS") => CMS_PAUSES,
            Some(_) => 1,
            None if self.text("sun.gc.collector.1.name").is_some() => SHENANDOAH_PAUSES,
            None => Z_PAUSES,
        };
        // ZGC has no collector 1. Serial, Parallel, CMS and Shenandoah have no collector 2.
        let [full, concurrent] = [1, 2].map(|collector| self.completed(collector));
        if self.is_g1() && concurrent.is_none() {
            return None;
        }
        let pauses = full.into_iter().chain(concurrent).reduce(u64::saturating_add)?;
        Some(Collections { pauses, per_collection, may_rest: self.is_g1() })
    }

    /// Returns how many full collections are over that stop the application: right after one, the use of the old
    /// generation is what lives. `None` for CMS, Shenandoah and ZGC, whose counters also have pauses of other kinds.
    pub fn full_collections(&self) -> Option<u64> {
        let stops = matches!(self.text("sun.gc.policy.name")?, "Copy:MSC" | "ParScav:MSC" | "GarbageFirst");
        stops.then(|| self.completed(1))?
    }

    /// Returns how often this collector has run to its end.
    fn completed(&self, collector: u8) -> Option<u64> {
        let value = |name: &str| self.long(&format!("sun.gc.collector.{collector}.{name}"));
        let is_running = value("lastEntryTime") > value("lastExitTime");
        Some(value("invocations")?.max(0).cast_unsigned().saturating_sub(is_running.into()))
    }

    /// Returns whether the use of the old generation is that of now, with all garbage since the last collection.
    /// Shenandoah, and ZGC without generations, have one generation. The others tell the use as of their last pause.
    pub fn old_use_is_momentary(&self) -> bool {
        self.text("sun.gc.policy.name").is_none() && self.text("sun.gc.generation.0.name") != Some("young")
    }

    fn is_g1(&self) -> bool {
        self.text("sun.gc.policy.name") == Some("GarbageFirst")
    }

    /// Returns whether each generation has a part of the heap. Those of G1, ZGC and Shenandoah share it, and each
    /// reports the whole.
    ///
    /// Serial, Parallel and CMS name two collectors: `Copy:MSC`, `ParScav:MSC`, `ParNew:CMS` (JDK: `serialHeap.cpp`,
    /// `parallelScavengeHeap.cpp`, `cmsHeap.cpp`; 8: `collectorPolicy.cpp`). From JDK 28 on, the young generation of
    /// Parallel may shrink to nothing. Its old generation may then take the whole heap.
    fn divides_heap(&self) -> bool {
        self.text("sun.gc.policy.name").is_some_and(|name| name.contains(':'))
            && self.long("sun.gc.generation.0.minCapacity") != Some(0)
    }

    fn generation_max(&self, generation: u8) -> Option<u64> {
        let max = self.long(&format!("sun.gc.generation.{generation}.maxCapacity")).filter(|max| *max > 0)?;
        let max = max.cast_unsigned();
        Some(if self.is_g1() { max / G1_REGION_MIN * G1_REGION_MIN } else { max })
    }

    /// Returns the used bytes of all spaces, as of the last collection. Serves as a hint of a lower bound.
    pub fn heap_used(&self) -> Option<u64> {
        let spaces = (0..2).flat_map(|generation| {
            (0..3).map(move |space| format!("sun.gc.generation.{generation}.space.{space}.used"))
        });
        spaces.filter_map(|name| self.long(&name)).map(|used| used.max(0).cast_unsigned()).reduce(u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jvm::hsperfdata::Value;

    #[test]
    fn use_of_all_spaces_is_told() {
        let used = |name| (name, Value::Long(6));
        let data = PerfData::of(&[used("sun.gc.generation.0.space.0.used"), used("sun.gc.generation.1.space.0.used")]);
        assert_eq!(data.heap_used(), Some(12));
    }

    /// Policy and maxima of both generations, as JDK 8 to 25 reported them with `-Xmx400m`.
    #[test]
    fn largest_heap_is_that_of_the_command_line() {
        const MIB: i64 = 1 << 20;
        let least = Value::Long(MIB);
        let max_of = |policy: Option<&str>, young: Option<i64>, old: i64, least: &Value| {
            let policy = policy.map(|name| ("sun.gc.policy.name", Value::Text(name.into())));
            let young = young.map(|young| ("sun.gc.generation.0.maxCapacity", Value::Long(young)));
            let old = ("sun.gc.generation.1.maxCapacity", Value::Long(old));
            let least = ("sun.gc.generation.0.minCapacity", least.clone());
            let entries: Vec<_> = policy.into_iter().chain(young).chain([old, least]).collect();
            PerfData::of(&entries).heap_max()
        };
        let max = |policy, young, old| max_of(policy, young, old, &least);
        let whole = Some(400 << 20);
        let parallel28 = max_of(Some("ParScav:MSC"), Some(139_460_608), 400 * MIB, &Value::Long(0));
        assert_eq!(parallel28, whole, "JDK 28");
        assert_eq!(max(Some("Copy:MSC"), Some(139_788_288), 279_642_112), whole);
        assert_eq!(max(Some("ParScav:MSC"), Some(139_460_608), 279_969_792), whole);
        assert_eq!(max(Some("ParNew:CMS"), Some(139_788_288), 279_642_112), whole);
        assert_eq!(max(Some("Copy:MSC"), Some(200 * MIB), 200 * MIB), whole, "NewRatio=1");
        assert_eq!(max(Some("GarbageFirst"), Some(419_430_424), 419_430_408), whole, "JDK 8 to 17");
        assert_eq!(max(Some("GarbageFirst"), Some(400 * MIB), 400 * MIB), whole, "JDK 21 and later");
        assert_eq!(max(None, None, 400 * MIB), whole, "ZGC up to 21, Epsilon");
        assert_eq!(max(None, Some(400 * MIB), 400 * MIB), whole, "ZGC with generations");
        assert_eq!(max(None, Some(0), 400 * MIB), whole, "Shenandoah");
        assert_eq!(max(None, None, 0), None);
    }

    /// Policy, names and invocations of the collectors, as JDK 8 to 25 reported them.
    #[test]
    fn collections_of_the_old_generation_are_counted() {
        let data = |policy: Option<&str>, collectors: &[(u8, &str, i64)]| {
            let policy = policy.map(|name| ("sun.gc.policy.name".to_owned(), Value::Text(name.into())));
            let counters = collectors.iter().flat_map(|(number, name, count)| {
                let counter = |what: &str, value| (format!("sun.gc.collector.{number}.{what}"), value);
                [counter("name", Value::Text((*name).into())), counter("invocations", Value::Long(*count))]
            });
            let counters: Vec<_> = policy.into_iter().chain(counters).collect();
            PerfData::of(&counters.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>())
        };
        let counted = |policy, collectors: &[_]| {
            data(policy, collectors).old_collections().map(|counted| (counted.pauses, counted.per_collection))
        };
        let serial = [(0, "Copy", 5), (1, "MSC", 3)];
        assert_eq!(counted(Some("Copy:MSC"), &serial), Some((3, 1)));
        assert_eq!(counted(Some("ParNew:CMS"), &[(0, "PCopy", 2), (1, "CMS", 4)]), Some((4, 2)));
        let g1 = [(0, "young", 8), (1, "full", 1), (2, "concurrent", 4)];
        assert_eq!(counted(Some("GarbageFirst"), &g1), Some((5, 2)));
        assert_eq!(counted(Some("GarbageFirst"), &g1[..2]), None, "JDK 8 does not count marks");
        assert_eq!(counted(None, &[(0, "partial", 0), (1, "Shenandoah full", 35)]), Some((35, 11)));
        assert_eq!(counted(None, &[(2, "Z concurrent cycle pauses", 9)]), Some((9, 5)));
        assert_eq!(counted(None, &[]), None, "ZGC of JDK 11, Epsilon");
    }

    #[test]
    fn running_collection_is_not_counted() {
        let data = |exit: i64| {
            PerfData::of(&[
                ("sun.gc.policy.name", Value::Text("Copy:MSC".into())),
                ("sun.gc.collector.1.invocations", Value::Long(3)),
                ("sun.gc.collector.1.lastEntryTime", Value::Long(70)),
                ("sun.gc.collector.1.lastExitTime", Value::Long(exit)),
            ])
        };
        let pauses = |data: PerfData| data.old_collections().map(|collections| collections.pauses);
        assert_eq!(pauses(data(60)), Some(2));
        assert_eq!(pauses(data(80)), Some(3));
    }
}
