//! The memory of a process that may hold the keys of a store: it goes into no core file, and other processes of the
//! same user cannot read it.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Closes the memory of this process, and its environment, to all but root (proc(5), PR_SET_DUMPABLE(2const)). SIGQUIT
/// and a crash leave no core file, not even by a program that the kernel pipes it to (core(5)).
///
/// # Errors
/// When the kernel refuses.
pub fn close() -> io::Result<()> {
    close_again().and(without_core())
}

/// The same after a change of identity, for which the kernel takes what `fs.suid_dumpable` says (Linux: `kernel/cred.c`,
/// `commit_creds`).
///
/// # Errors
/// When the kernel refuses.
pub fn close_again() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// No core file, for this process and those that it starts.
///
/// # Errors
/// When the kernel refuses.
pub fn without_core() -> io::Result<()> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// Lets the user of this process look into it (ptrace(2), "Ptrace access mode checking").
///
/// # Errors
/// When the kernel refuses.
pub fn open() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}
