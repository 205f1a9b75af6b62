//! A run that a test kills, and the processes of that run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::container::Container;
use super::tool::{Ended, Run, Tool};

/// Moments at which a run is killed; `JMAP_DUMP_TEST_MOMENTS` makes them more.
pub fn moments() -> u32 {
    std::env::var("JMAP_DUMP_TEST_MOMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// How long the guard may need after the JVM is done.
pub const SOON: Duration = Duration::from_secs(30);

/// A mark in the environment of a run, which its guard inherits.
const MARK: &str = "JMAP_DUMP_TEST_RUN";

/// Starts a run that can be killed.
pub fn start(tool: Tool) -> (Run, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mark = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    // Nobody reads what it says before it is killed, and at trace level that may be more than a pipe holds.
    (tool.env(MARK, &mark).spawn().hear(), mark)
}

/// Kills a run and waits for the end of its guard: gone, and no zombie either. How the run ended.
#[track_caller]
pub fn kill(run: Run, mark: &str, what: &str) -> Ended {
    let mut guards = marked(mark);
    guards.retain(|pid| *pid != run.child.id());
    run.signal(Signal::KILL);
    let ended = run.wait();
    let begun = Instant::now();
    loop {
        // One that was not there before is found by its mark, one that is a zombie by its number.
        let left = marked(mark);
        guards.retain(|pid| Path::new(&format!("/proc/{pid}")).exists());
        if left.is_empty() && guards.is_empty() {
            return ended;
        }
        assert!(begun.elapsed() < SOON, "{what}: the guard is still there: {left:?}, {guards:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn marked(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_mark = |pid: &u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    pids.filter(has_mark).collect()
}

/// Files without a name that some process still holds.
pub fn deleted_files_in_use(dir: &Path) -> Vec<PathBuf> {
    let fds = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        std::fs::read_dir(format!("/proc/{pid}/fd")).ok()
    });
    let links = fds.flatten().flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    links.filter(|link| link.starts_with(dir)).collect()
}

/// Of the container's processes, those of this program, zombies too: by the container's own /proc.
pub fn of_this_program(container: &Container) -> Vec<String> {
    let proc_root = format!("/proc/{}/root/proc", container.init_pid());
    let entries = std::fs::read_dir(proc_root).unwrap().flatten();
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.contains("(jmap-dump") || stat.contains("(exe)")).collect()
}
