//! The tries of one request: how long to wait between them, and when to give up.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The first pause, as in object_store (`BackoffConfig::default`).
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause. Short, because an on-call engineer waits for the store to come back.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Counts the tries of one request.
#[derive(Debug)]
pub(crate) struct Retry {
    within: Duration,
    /// Start of the time that bounds the tries. `None` if the first failure starts it and has not happened yet.
    since: Option<Instant>,
    next: Duration,
}

impl Retry {
    /// Tries for this long from now on.
    pub fn from_now(within: Duration) -> Self {
        Self { within, since: Some(Instant::now()), next: FIRST_PAUSE }
    }

    /// Tries for this long from the first failure on: the work itself may take any time.
    pub fn from_first_failure(within: Duration) -> Self {
        Self { within, since: None, next: FIRST_PAUSE }
    }

    /// Returns the pause before the next try. `None` if there is no next try, because the failure is final or the time
    /// is over.
    pub fn pause(&mut self, may_pass: bool) -> Option<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let pause = jittered(self.next);
        let in_time = since.elapsed() + pause < self.within;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        (may_pass && in_time).then_some(pause)
    }
}

/// Returns three quarters to five quarters of the pause, so that the watchers of many pods do not return at the same
/// moment.
fn jittered(pause: Duration) -> Duration {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    pause.mul_f64(0.75 + f64::from(nanos % 1000) / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_end_with_the_time_and_with_a_final_failure() {
        let mut retry = Retry::from_first_failure(Duration::from_secs(60));
        let pauses: Vec<_> = (0..8).filter_map(|_| retry.pause(true)).collect();
        assert!(pauses.len() == 8 && pauses[0] < pauses[3] && pauses[7] <= LONGEST_PAUSE.mul_f64(1.25), "{pauses:?}");
        assert_eq!(retry.pause(false), None);
        assert_eq!(Retry::from_now(Duration::from_millis(10)).pause(true), None);
    }
}
