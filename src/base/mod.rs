//! Tools of every layer: deadline, waits, units, printable text, identity.

pub mod deadline;
pub mod faults;
pub mod groups;
pub mod identity;
pub mod panics;
pub mod printable;
pub mod private_memory;
pub mod run_id;
pub mod sys;
pub mod units;
pub mod waiting;
