//! Whether a heap dump is worth its pause, or small artefacts tell more. No I/O.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::base::units::{Bytes, Seconds};
use crate::jvm::condition::{Reading, Usage};

/// Time over which the growth of a container's memory is measured.
const GROWTH_OVER: Duration = Duration::from_secs(10);

/// Time until the JVM stands still for its dump: the permit, the attach, the plan. From then on the application
/// allocates nothing.
pub const BEGINS_WITHIN: Duration = Duration::from_secs(5);

/// The growth of a container's memory.
#[derive(Debug, Default)]
pub struct Growth(VecDeque<(Instant, u64)>);

impl Growth {
    pub fn look(&mut self, at: Instant, memory: Reading) {
        let Reading::Of(used, _) = memory else { return };
        self.0.push_back((at, used));
        while self.0.front().is_some_and(|(then, _)| at.duration_since(*then) > GROWTH_OVER) {
            self.0.pop_front();
        }
    }

    /// Returns the bytes per second; `None` while it does not grow.
    fn per_second(&self) -> Option<f64> {
        let ((begun, first), (ended, last)) = (self.0.front()?, self.0.back()?);
        let seconds = ended.duration_since(*begun).as_secs_f64();
        (seconds > 0.0 && last > first).then(|| (last - first) as f64 / seconds)
    }

    /// Returns the time until the container is full, if it goes on growing so.
    pub fn full_in(&self, memory: Reading) -> Option<Duration> {
        let Reading::Of(used, limit) = memory else { return None };
        Duration::try_from_secs_f64(limit.saturating_sub(used) as f64 / self.per_second()?).ok()
    }

    /// Returns the reason why there is to be no heap dump, but small artefacts. What is unknown is no reason.
    pub fn objection(&self, usage: &Usage) -> Option<String> {
        let Reading::Of(memory, _) = usage.memory else { return None };
        if let Reading::Of(heap, _) = usage.heap
            && heap <= memory / 2
        {
            return Some(format!("the heap holds {} of the {} that the container uses", Bytes(heap), Bytes(memory)));
        }
        let left = self.full_in(usage.memory)?;
        (left < BEGINS_WITHIN).then(|| format!("at its present growth the container is full in {}", Seconds(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(per_second: u64) -> Growth {
        let (mut growth, start) = (Growth::default(), Instant::now());
        for second in 0..30 {
            growth.look(start + Duration::from_secs(second), Reading::Of(1000 + second * per_second, 5000));
        }
        growth
    }

    fn usage(heap: u64, memory: u64) -> Usage {
        Usage { heap: Reading::Of(heap, 5000), memory: Reading::Of(memory, 5000) }
    }

    #[test]
    fn heap_that_is_the_smaller_half_is_not_dumped() {
        let told = grown(0).objection(&usage(2000, 4000));
        assert_eq!(told.as_deref(), Some("the heap holds 2.0 KiB of the 3.9 KiB that the container uses"));
        assert_eq!(grown(0).objection(&usage(2001, 4000)), None);
    }

    #[test]
    fn dump_that_comes_too_late_is_not_begun() {
        let told = grown(300).objection(&usage(4000, 4000));
        assert_eq!(told.as_deref(), Some("at its present growth the container is full in 3.33 s"));
        assert_eq!(grown(100).objection(&usage(4000, 4000)), None);
    }

    #[test]
    fn unknown_memory_is_no_objection() {
        let usage = Usage { heap: Reading::Of(1, 5000), memory: Reading::NoLimit };
        assert_eq!(grown(0).objection(&usage), None);
    }
}
