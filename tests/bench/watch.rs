//! Peak memory and disk of a run: /proc is looked at every few milliseconds, nobody is asked.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};

const POLL_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, Default)]
pub struct Peaks {
    /// RssAnon of all processes of the run together, in bytes.
    pub anon: u64,
    /// Of all files below the directory, with and without names, in bytes.
    pub disk: u64,
}

pub struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Watcher>,
}

impl Watch {
    /// Every process counts that appears from now on below this one; the JVM is older.
    pub fn start(jvm: u32, dir: &Path) -> Watch {
        // What outlives its parent comes to us, and so stays in the family.
        set_child_subreaper(Some(Pid::INIT)).expect("any process may take orphans");
        let over = Arc::new(AtomicBool::new(false));
        let (mut watcher, end) = (Watcher::new(jvm, dir), Arc::clone(&over));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                watcher.look();
                thread::sleep(POLL_EVERY);
            }
            watcher.look_at_disk();
            watcher
        });
        Watch { over, thread }
    }

    pub fn end(self) -> Peaks {
        self.over.store(true, Ordering::Relaxed);
        let watcher = self.thread.join().expect("the watcher does not panic");
        watcher.reap();
        watcher.peaks
    }
}

struct Watcher {
    exe: PathBuf,
    jvm: u32,
    dir: PathBuf,
    family: Vec<u32>,
    strangers: HashSet<u32>,
    looks: u64,
    peaks: Peaks,
}

impl Watcher {
    fn new(jvm: u32, dir: &Path) -> Self {
        Self {
            exe: fs::read_link("/proc/self/exe").expect("/proc is mounted"),
            jvm,
            dir: fs::canonicalize(dir).expect("the directory was made"),
            family: Vec::new(),
            strangers: pids().collect(),
            looks: 0,
            peaks: Peaks::default(),
        }
    }

    fn look(&mut self) {
        // A look at all processes costs more than one at a few; a new one has little memory at first.
        if self.looks.is_multiple_of(4) {
            self.look_for_relatives();
        }
        let anon = self.family.iter().map(|&pid| self.anon(pid)).sum();
        self.peaks.anon = self.peaks.anon.max(anon);
        if self.looks.is_multiple_of(2) {
            self.look_at_disk();
        }
        self.looks += 1;
    }

    /// Each process is asked for its parent only once: not every kernel lists children.
    fn look_for_relatives(&mut self) {
        for pid in pids() {
            if self.family.contains(&pid) || self.strangers.contains(&pid) {
                continue;
            }
            let Some(parent) = parent(pid) else { continue };
            if parent == process::id() || self.family.contains(&parent) {
                self.family.push(pid);
            } else {
                self.strangers.insert(pid);
            }
        }
    }

    fn anon(&self, pid: u32) -> u64 {
        // Between fork and exec a child has our memory.
        if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.exe) {
            return 0;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    }

    fn look_at_disk(&mut self) {
        let mut files = HashMap::new();
        add_named(&self.dir, &mut files);
        for &pid in self.family.iter().chain([&self.jvm]) {
            self.add_held(pid, &mut files);
        }
        self.peaks.disk = self.peaks.disk.max(files.values().sum());
    }

    /// Files that a process holds open, whether they still have a name or not.
    fn add_held(&self, pid: u32, files: &mut HashMap<(u64, u64), u64>) {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
        for entry in entries.flatten() {
            let is_ours = fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&self.dir));
            if is_ours && let Ok(metadata) = fs::metadata(entry.path()) {
                add(&metadata, files);
            }
        }
    }

    /// A process is in our CPU time only when it was waited for; std has waited for those that it started.
    fn reap(&self) {
        let end = Instant::now() + Duration::from_secs(5);
        for pid in self.family.iter().filter_map(|&pid| Pid::from_raw(pid as i32)) {
            while matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)) && Instant::now() < end {
                thread::sleep(POLL_EVERY);
            }
        }
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn add_named(dir: &Path, files: &mut HashMap<(u64, u64), u64>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            add_named(&entry.path(), files);
        } else {
            add(&metadata, files);
        }
    }
}

fn add(metadata: &Metadata, files: &mut HashMap<(u64, u64), u64>) {
    if metadata.is_file() {
        files.insert((metadata.dev(), metadata.ino()), metadata.blocks() * 512);
    }
}
