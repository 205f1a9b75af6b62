//! FIFOs, sockets, devices and directories where a file is expected: nothing waits for them.

mod credentials;
mod jvm;
mod stored;
mod watched;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::tool::{Ended, Tool, binary};

/// Longer than any run here takes that does not hang.
const PROMPTLY: Duration = Duration::from_secs(20);

fn make(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).unwrap();
}

fn mkfifo(path: &Path) {
    make(path, FileType::Fifo, 0);
}

/// Bytes that never end: `/dev/zero`.
fn mkdevice(path: &Path) {
    make(path, FileType::CharacterDevice, makedev(1, 5));
}

/// The tool with 256 MiB of address space: what reads a huge file into memory fails.
fn small_tool(words: &[&str]) -> Tool {
    Tool::of("prlimit".as_ref(), &[&["--as=268435456", binary().to_str().unwrap()], words].concat())
}

/// How it ended; one that does not is asked by SIGTERM, and then killed.
#[track_caller]
fn prompt(what: &str, tool: Tool) -> Ended {
    let mut run = tool.spawn().hear();
    let begun = Instant::now();
    while run.child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PROMPTLY {
            run.signal(Signal::TERM);
            std::thread::sleep(Duration::from_secs(3));
            let heeds = run.child.try_wait().unwrap().is_some();
            run.signal(Signal::KILL);
            run.wait();
            panic!("{what}: it hangs, and {} SIGTERM", if heeds { "heeds" } else { "survives" });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    run.wait()
}

#[track_caller]
fn assert_says(ended: &Ended, code: i32, words: &str, what: &str) {
    assert_eq!(ended.code, code, "{what}: {}", ended.stderr);
    assert!(ended.stderr.contains(words), "{what}: '{words}' is missing in: {}", ended.stderr);
}

/// What of `dir` is named like this program's own files.
fn private_files(dir: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("jmap-dump-tool-")).collect()
}

/// Guards that are still there.
fn guards() -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let names = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    names.filter(|name| name.starts_with(b"jmap-dump-tool-guard")).count()
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}
