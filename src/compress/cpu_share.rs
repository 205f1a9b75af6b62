//! How much of the machine a run takes: little while the application waits, and after it, what the application
//! leaves.

use std::thread::available_parallelism;

/// How much of the machine the stages may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    pub level: u32,
    /// Workers that compress from the start.
    pub workers: usize,
    /// More of them once the source is written and the application runs again.
    pub later: usize,
    /// Whether parts may go to the store while the application waits: that takes a processor of its own.
    pub uploads_early: bool,
    pub part_size: u64,
}

/// More workers than this gain nothing: the JVM cannot write that fast.
const WORKERS_MAX: usize = 4;

impl Effort {
    /// One processor is the JVM's: while it dumps, the application waits for it. Below two, nothing is compressed
    /// before the JVM is done.
    pub fn of(processors: f64, level: u32, part_size: u64) -> Self {
        let whole = processors as usize;
        let workers = whole.saturating_sub(1).min(WORKERS_MAX);
        let later = whole.clamp(1, WORKERS_MAX) - workers;
        Self { level, workers, later, uploads_early: whole > 2, part_size }
    }

    /// For a dump that waits for whoever reads it: at least one worker, whatever the container may use.
    pub fn streaming(processors: f64, level: u32, part_size: u64) -> Self {
        let workers = (processors as usize).saturating_sub(1).clamp(1, WORKERS_MAX);
        Self { level, workers, later: 0, uploads_early: true, part_size }
    }

    /// Pages of each kind: one for each worker, one that waits before and one behind them.
    pub fn pages(&self) -> usize {
        self.workers + self.later + 2
    }

    /// Whether anything may be done while the JVM dumps.
    pub fn waits(&self) -> bool {
        self.workers == 0
    }
}

/// Below the application and the threads with which its JVM dumps (nice(2): 0 is what it has, 19 the end).
const NICE: i32 = 10;

/// Gives the application the processor first, as far as this thread goes.
pub fn step_back() {
    if let Err(errno) = rustix::process::nice(NICE) {
        log::debug!("cannot be nice: {errno}");
    }
}

/// Processors of the machine that this process may use.
pub fn processors() -> f64 {
    available_parallelism().map_or(1.0, |count| usize::from(count) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_left_to_the_jvm_and_half_of_one_is_all_its_own() {
        let workers = |processors| {
            let effort = Effort::of(processors, 1, 1);
            (effort.workers, effort.later)
        };
        assert_eq!(workers(0.5), (0, 1));
        assert_eq!(workers(1.9), (0, 1));
        assert_eq!(workers(2.0), (1, 1));
        assert_eq!(workers(64.0), (4, 0));
    }
}
