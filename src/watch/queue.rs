//! The files that wait for the store: the oldest first. After each failure a file waits longer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The first pause after a failure; each further one is twice as long.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    not_before: Instant,
    pause: Duration,
    at_work: bool,
}

/// The queue. Names of waiting files begin with their time, so their order is their age.
#[derive(Debug, Default)]
pub struct Queue(BTreeMap<(OsString, PathBuf), Waiting>);

fn by_name(path: &Path) -> (OsString, PathBuf) {
    (path.file_name().unwrap_or_default().to_owned(), path.to_owned())
}

impl Queue {
    /// True when it was not there.
    pub fn add(&mut self, path: PathBuf) -> bool {
        let key = by_name(&path);
        let new = !self.0.contains_key(&key);
        self.0.entry(key).or_insert(Waiting { not_before: Instant::now(), pause: FIRST_PAUSE, at_work: false });
        new
    }

    /// The oldest whose time has come.
    pub fn take_due(&mut self) -> Option<PathBuf> {
        let now = Instant::now();
        let ((_, path), waiting) =
            self.0.iter_mut().find(|(_, waiting)| !waiting.at_work && waiting.not_before <= now)?;
        waiting.at_work = true;
        Some(path.clone())
    }

    /// Takes a file out of the queue: it is stored, or gone.
    pub fn done(&mut self, path: &Path) {
        self.0.remove(&by_name(path));
    }

    /// Puts a file back that was not stored. Returns the pause before the next try.
    pub fn again(&mut self, path: &Path) -> Duration {
        let Some(waiting) = self.0.get_mut(&by_name(path)) else { return Duration::ZERO };
        let pause = waiting.pause;
        *waiting =
            Waiting { not_before: Instant::now() + pause, pause: (pause * 2).min(LONGEST_PAUSE), at_work: false };
        pause
    }

    /// Those that go when no more than `most` may wait in `dir`: neither the first one nor the newest, and none that is
    /// at work, whose turn comes with the next look.
    pub fn surplus(&mut self, dir: &Path, most: usize) -> Vec<PathBuf> {
        let here = || self.0.iter().filter(|((_, path), _)| path.parent() == Some(dir));
        let count = here().count();
        let (surplus, between) = (count.saturating_sub(most.max(2)), count.saturating_sub(2));
        let idle =
            here().skip(1).take(between).filter(|(_, waiting)| !waiting.at_work).map(|((_, path), _)| path.clone());
        let surplus: Vec<PathBuf> = idle.take(surplus).collect();
        for path in &surplus {
            self.0.remove(&by_name(path));
        }
        surplus
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(|(_, path)| path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(names: &[&str]) -> Queue {
        let mut queue = Queue::default();
        names.iter().for_each(|name| assert!(queue.add(name.into())));
        queue
    }

    #[test]
    fn the_oldest_goes_first_and_one_that_failed_waits() {
        let mut queue = queue(&["b", "a"]);
        assert!(!queue.add("a".into()));
        assert_eq!(queue.take_due(), Some("a".into()));
        assert_eq!(queue.again(Path::new("a")), FIRST_PAUSE);
        assert_eq!(queue.take_due(), Some("b".into()));
        assert_eq!(queue.take_due(), None);
        queue.done(Path::new("b"));
        assert_eq!(queue.again(Path::new("a")), 2 * FIRST_PAUSE);
        assert!(queue.len() > 0);
    }

    #[test]
    fn full_queue_keeps_the_first_the_newest_and_the_current() {
        assert_eq!(queue(&["a", "b", "c", "d"]).surplus(Path::new(""), 2), [PathBuf::from("b"), PathBuf::from("c")]);
        let mut queue = queue(&["a", "b", "c", "d"]);
        queue.take_due();
        queue.take_due();
        assert_eq!(queue.surplus(Path::new(""), 2), [PathBuf::from("c")]);
        assert_eq!(queue.surplus(Path::new(""), 2), Vec::<PathBuf>::new(), "the newest never goes");
    }
}
