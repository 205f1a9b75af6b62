//! Tells the user what a long wait is for.

use std::time::{Duration, Instant};

/// Logs every five seconds what the run waits for.
pub(super) struct Patience {
    begun: Instant,
    told: u64,
}

impl Patience {
    pub fn new() -> Self {
        Self { begun: Instant::now(), told: 0 }
    }

    pub fn passed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn tell(&mut self, what: &str) {
        let fives = self.passed().as_secs() / 5;
        if fives > self.told {
            self.told = fives;
            log::warn!("{what} ({} s)", self.passed().as_secs());
        }
    }
}
