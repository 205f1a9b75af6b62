//! Waits of the tests, each with a bound.

use std::time::{Duration, Instant};

/// How long a watcher may need for what it has to do.
pub const SOON: Duration = Duration::from_secs(40);

/// Waits at most a minute.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
pub fn wait_within(what: &str, bound: Duration, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < bound, "not within {bound:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
