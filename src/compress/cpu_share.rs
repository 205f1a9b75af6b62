//! Chooses how much of the processors a run takes: little while the application waits, and later what the application
//! leaves.

use std::iter::repeat_n;
use std::thread::available_parallelism;

/// The share of the processors that the stages of a dump may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuShare {
    /// Workers that compress from the start.
    pub workers: usize,
    /// Further workers, which start once the source is written and the application runs again.
    pub later: usize,
    /// True if parts may go to the store while the application waits. That takes a processor of its own.
    pub uploads_early: bool,
    /// True if the raw dump cannot wait for the workers: at a pipe, in memory, or on a disk without room for all of it.
    pub is_pressed: bool,
}

/// Most workers. More of them gain nothing, because the JVM cannot write that fast.
const WORKERS_MAX: usize = 4;

impl CpuShare {
    /// Leaves one processor to the JVM, because the application waits while it dumps. Below two processors, nothing is
    /// compressed before the JVM has finished.
    pub fn of(processors: f64) -> Self {
        let whole = processors as usize;
        let workers = whole.saturating_sub(1).min(WORKERS_MAX);
        let later = whole.clamp(1, WORKERS_MAX) - workers;
        Self { workers, later, uploads_early: whole > 2, is_pressed: false }
    }

    /// Returns the share for a dump that waits for its reader: at least one worker, whatever the container may use.
    pub fn streaming(processors: f64) -> Self {
        let workers = (processors as usize).saturating_sub(1).clamp(1, WORKERS_MAX);
        Self { workers, later: 0, uploads_early: true, is_pressed: true }
    }

    /// Returns the shift of each worker.
    pub fn shifts(&self) -> impl Iterator<Item = Shift> {
        let (early, relief) = if self.is_pressed { (Shift::Whole, 0) } else { (Shift::Pause, self.workers) };
        repeat_n(early, self.workers).chain(repeat_n(Shift::Later, self.later + relief))
    }

    /// Returns the number of pages of each kind: one for each worker, one that waits before the workers, and one behind
    /// them.
    pub fn pages(&self) -> usize {
        self.workers + self.later + 2
    }

    /// Returns whether all work waits until the JVM has dumped.
    pub fn waits(&self) -> bool {
        self.workers == 0
    }
}

/// How far a thread steps back behind the application and the threads with which its JVM dumps (nice(2): 0 is theirs, 19
/// is the lowest priority). Without CAP_SYS_NICE, a thread never comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Courtesy {
    /// The thread may hold a lock of a file system for which the JVM waits, or the application runs again.
    Behind = 10,
    /// The thread computes only, while the application waits. SCHED_IDLE makes the pause no shorter.
    Last = 19,
}

/// Makes this thread give the processor to the application first.
pub fn step_back(courtesy: Courtesy) {
    if let Err(errno) = rustix::process::nice(courtesy as i32) {
        log::debug!("cannot be nice: {errno}");
    }
}

/// When a worker compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// From the start to the end.
    Whole,
    /// While the application waits, after all other threads. Others take over then.
    Pause,
    /// From the moment when the application runs again.
    Later,
}

/// Returns the number of processors of the machine that this process may use.
pub fn processors() -> f64 {
    available_parallelism().map_or(1.0, |count| usize::from(count) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jvm_has_one_processor_of_its_own() {
        let workers = |processors| {
            let share = CpuShare::of(processors);
            (share.workers, share.later)
        };
        assert_eq!(workers(0.5), (0, 1));
        assert_eq!(workers(1.9), (0, 1));
        assert_eq!(workers(2.0), (1, 1));
        assert_eq!(workers(64.0), (4, 0));
    }
}
