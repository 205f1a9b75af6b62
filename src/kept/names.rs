//! The names of the files that a run makes.

/// The dump's name in its directory.
pub const NAME: &str = "heap.hprof";

/// The compressed dump's name beside the raw one.
pub const SPOOL: &str = "spool.hprof.gz";

/// The same in the object's order, until it is complete.
pub const SORTED: &str = "sorted.new";

/// A journal until it is complete: nobody takes one of this name.
pub const NEW_JOURNAL: &str = "journal.new";
