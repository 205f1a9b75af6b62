//! The dump as a regular file, which is read when the JVM is done with it.

use std::fs::File;
use std::time::Duration;

use super::answer::Answer;
use super::growing_files::take_over_files;
use super::{DumpError, is_plain};
use crate::attach::{ARG_MAX, AttachError, AttachOperation, VirtualMachine};
use crate::base::deadline::{Deadline, Stopped};
use crate::base::waiting::pause;
use crate::compress::source::SourceError;
use crate::guard;
use crate::jvm::layout::Layout;
use crate::jvm::maps::Vm;
use crate::kept::dump_dir::DumpDir;
use crate::kept::names::RAW;
use crate::kept::names::part_prefix;
use crate::terminal::progress::Progress;

/// A dump that the JVM calls whole.
#[derive(Debug)]
pub struct HeapDump {
    /// The path as this process sees it, for messages.
    pub path: String,
    /// The JVM's own words.
    pub words: String,
    /// The pause in the JVM's own words, if the JVM tells it.
    pub pause_seconds: Option<f64>,
    pub took: Duration,
}

/// Any reason why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpFailure {
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Dump(#[from] DumpError),
}

impl From<DumpFailure> for SourceError {
    fn from(failure: DumpFailure) -> Self {
        Self::Maker(Box::new(failure))
    }
}

impl From<Stopped> for DumpFailure {
    fn from(stopped: Stopped) -> Self {
        Self::Attach(stopped.into())
    }
}

/// Orders the JVM to dump into `dir`, and waits until the JVM says that the dump is whole.
///
/// # Errors
/// When the JVM refuses or dies, or the run is stopped. The written files are removed with `dir`.
pub fn dump(
    vm: &VirtualMachine<'_>,
    dir: &DumpDir,
    layout: Layout,
    live: bool,
    progress: &Progress,
    deadline: &Deadline,
) -> Result<(File, HeapDump), DumpFailure> {
    let inside = format!("{}/{RAW}", dir.inside);
    debug_assert!(inside.len() <= ARG_MAX);
    let command = AttachOperation::heap_dump_command(&inside, live);
    let operation = if vm.jvm().vm != Vm::NativeImage {
        AttachOperation::dumpheap(&inside, live)
    } else if is_plain(&inside) {
        AttachOperation::jcmd(&command)
    } else {
        let words = "its path holds characters that the command's parser does not take".to_owned();
        return Err(DumpError::Jvm { pid: vm.jvm().pid(), path: inside, words }.into());
    };
    let mut answer = Answer::order(vm, dir, &operation, layout, deadline)?;
    let mut seen = Seen::default();
    while !answer.is_there() {
        if let Err(error) = answer.wait(Duration::from_millis(200), deadline) {
            // The JVM goes on without this run: the guard holds its files, which then have no names.
            let _ = take_over_files(dir, layout, &mut Vec::new());
            return Err(error);
        }
        seen = seen.then(Seen::of(dir), progress);
    }
    let dump = answer.judge(deadline)?;
    let file = dir.open_file(RAW).map_err(|source| DumpError::unreadable(dump.path.clone(), source))?;
    Ok((file, dump))
}

/// Bytes of a dump that is being written.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    main: u64,
    parts: u64,
    merges: bool,
}

impl Seen {
    fn of(dir: &DumpDir) -> Self {
        // In this order: a part that grows meanwhile is taken for the main file once, and never the other way round.
        let parts = dir.size_of(&part_prefix(RAW));
        Self { main: dir.size_of(RAW).saturating_sub(parts), parts, merges: false }
    }

    /// Reports the progress to `progress`. From JDK 22 on, the application runs again while the JVM copies the parts of
    /// its heap into the main file (JDK: `heapDumper.cpp`, `HeapDumper::dump`). Then only the main file grows.
    fn then(self, now: Self, progress: &Progress) -> Self {
        let begins = self.parts > 0 && now.parts <= self.parts && now.main > self.main;
        progress.set(now.main.max(now.parts));
        if begins && !self.merges {
            progress.go_on("the JVM runs again, and joins the parts of its dump", None);
        }
        Self { merges: self.merges || begins, ..now }
    }
}

/// Returns the error for an answer that does not call the dump whole. JDK 24 and later send the first line at once. If
/// the answer ends there, the JVM has died.
pub(super) fn refused(vm: &VirtualMachine<'_>, path: String, words: String) -> DumpFailure {
    let pid = vm.jvm().pid();
    if words.starts_with("Dumping heap to")
        && let DumpFailure::Dump(died) = died_or(vm, AttachError::Gone { pid })
    {
        return died.into();
    }
    DumpError::Jvm { pid, path, words }.into()
}

/// Returns the error of a JVM that has died, if it has, instead of the attach error. The JVM's socket closes a moment
/// before the JVM is gone.
pub(super) fn died_or(vm: &VirtualMachine<'_>, error: AttachError) -> DumpFailure {
    if matches!(error, AttachError::Stopped(_)) {
        return error.into();
    }
    guard::let_go();
    for _ in 0..50 {
        if !vm.jvm().target.is_alive() {
            return DumpError::Died { pid: vm.jvm().pid(), source: error }.into();
        }
        pause(Duration::from_millis(10));
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_when_the_main_file_alone_grows() {
        let progress = Progress::silent();
        let seen = |main, parts| Seen { main, parts, merges: false };
        let mut last = Seen::default();
        // The head, then the heap, then the rest of the head; then the parts go into the main file, one by one.
        let steps = [(9, 0, false), (9, 50, false), (10, 80, false), (60, 80, true), (90, 30, true), (91, 0, true)];
        for (main, parts, merges) in steps {
            last = last.then(seen(main, parts), &progress);
            assert_eq!(last.merges, merges, "{main} {parts}");
        }
    }
}
