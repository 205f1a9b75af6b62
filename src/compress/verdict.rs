//! The word without which no object is completed.

use crate::hprof::Summary;

/// A dump that may become an object: the JVM called it whole, and the walk saw its end.
#[derive(Debug)]
pub struct Verdict(());

impl Verdict {
    /// `None` when the walk did not see the end. The JVM's words have been judged where they were read: without
    /// a good word there is no dump to walk.
    pub fn of(walk: &Summary) -> Option<Self> {
        walk.complete.then_some(Self(()))
    }

    /// Its user wants it however it is; it is marked.
    pub fn of_remains() -> Self {
        Self(())
    }
}
