//! The memory of a process that may hold the keys of a store. No core file contains it, and other processes of the same
//! user cannot read it.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Closes the memory and the environment of this process to all users but root (proc(5), PR_SET_DUMPABLE(2const)).
/// SIGQUIT and a crash leave no core file, not even through a program to which the kernel pipes it (core(5)).
///
/// # Errors
/// When the kernel refuses.
pub fn close() -> io::Result<()> {
    close_again().and(without_core())
}

/// Closes the memory again after a change of identity. The kernel then resets it to `fs.suid_dumpable` (Linux:
/// `kernel/cred.c`, `commit_creds`).
///
/// # Errors
/// When the kernel refuses.
pub fn close_again() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Forbids core files of this process and of the processes that it starts.
///
/// # Errors
/// When the kernel refuses.
pub fn without_core() -> io::Result<()> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// Lets other processes of this user read the memory of this process (ptrace(2), "Ptrace access mode checking").
///
/// # Errors
/// When the kernel refuses.
pub fn open() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}
