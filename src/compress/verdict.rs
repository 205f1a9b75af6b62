//! The verdict, without which no object is completed.

use crate::hprof::Summary;

/// A dump that may become an object: the JVM called it whole, and the walk saw its end.
#[derive(Debug)]
pub struct Verdict(());

impl Verdict {
    /// Returns a verdict if the walk saw the end. The JVM's answer was judged where it was read: without a good one
    /// there is no dump to walk.
    pub fn of(walk: &Summary) -> Option<Self> {
        walk.complete.then_some(Self(()))
    }

    /// Returns the verdict of a dump that its user wants even if it is not whole. The object is marked as such.
    pub fn of_remains() -> Self {
        Self(())
    }
}
