//! The line of progress on real screens: tmux draws them, and says what stands in each row.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::bed::cannot_run;
use crate::common::jvm::TestJvm;
use crate::common::tool::{Tool, binary};

/// Longer than any run here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shell writes it behind the run.
const END: &str = "THE END";

/// A terminal of its own, with a server of its own.
struct Screen {
    socket: tempfile::TempDir,
}

impl Screen {
    /// Runs a line of sh on a terminal of so many columns. `None` without tmux, which is said on stderr.
    fn start(columns: u32, line: &str) -> Option<Self> {
        let screen = Self { socket: tempfile::tempdir().unwrap() };
        let line = format!("{line}; echo {END} $?; cat");
        let columns = columns.to_string();
        let run = screen.tmux(&["-u", "new-session", "-d", "-x", &columns, "-y", "30", "sh", "-c", &line]);
        let Some(said) = run else {
            cannot_run("tmux is not there; run tests/bed/install.sh");
            return None;
        };
        assert_eq!(said, "");
        Some(screen)
    }

    fn tmux(&self, words: &[&str]) -> Option<String> {
        let mut tmux = Command::new("tmux");
        tmux.arg("-f").arg("/dev/null").arg("-S").arg(self.socket.path().join("tmux")).args(words);
        // cargo passes variables of the build on, and the tool would warn of those that begin with its name.
        tmux.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").env("TERM", "xterm");
        tmux.env("JMAP_DUMP_STORE", self.socket.path());
        let output = tmux.output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }

    /// The rows that are not empty.
    fn rows(&self) -> Vec<String> {
        let said = self.tmux(&["capture-pane", "-p"]).unwrap_or_default();
        said.lines().filter(|row| !row.trim().is_empty()).map(str::to_owned).collect()
    }

    /// Calls `look` with all that the screen shows until the run has ended. Returns what it shows then, without the end.
    #[track_caller]
    fn watch(&self, mut look: impl FnMut(&[String])) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let mut rows = self.rows();
            if rows.last().is_some_and(|row| row.starts_with(END)) {
                assert_eq!(rows.pop().unwrap(), format!("{END} 0"), "{rows:#?}");
                return rows;
            }
            look(&rows);
            assert!(begun.elapsed() < PATIENCE, "{rows:#?}");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// Each row is a line of its own: it begins with a stage, and ends with what that has done.
#[track_caller]
fn assert_no_row_is_the_rest_of_another(rows: &[String]) {
    for row in rows {
        let is_whole = row.contains(": ") && [" %", " s", "/s"].iter().any(|end| row.ends_with(end));
        assert!(is_whole, "'{row}' is no whole line of progress: {rows:#?}");
    }
}

fn dump_line(jvm: &TestJvm, more: &str) -> String {
    format!("{} --pid {} --all {more} shop cart prod >/dev/null", binary().display(), jvm.pid())
}

#[test]
fn progress_of_a_dump_never_wraps_and_ends_at_100_percent() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.arg("mb=10").start();
    for columns in [40, 80, 200] {
        let Some(screen) = Screen::start(columns, &dump_line(&jvm, "--level 9")) else { return };
        let mut seen = Vec::new();
        let rows = screen.watch(|rows| {
            assert_no_row_is_the_rest_of_another(rows);
            seen.extend(rows.last().cloned());
        });
        assert_no_row_is_the_rest_of_another(&rows);
        let last = rows.last().expect("a line");
        assert!(last.contains("100 %") || last.contains("done"), "{columns}: {rows:#?}");
        assert!(rows.iter().any(|row| row.contains("100 %")), "{columns}: {rows:#?}");
        seen.dedup();
        assert!(seen.len() > 2, "{columns}: {seen:#?}");
        assert_eq!(
            seen.iter().any(|row| row.contains("#]") || row.contains("-]")),
            columns > 40,
            "{columns}: {seen:#?}"
        );
    }
}

#[test]
fn progress_survives_a_terminal_that_becomes_narrow_meanwhile() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.arg("mb=10").start();
    let Some(screen) = Screen::start(200, &dump_line(&jvm, "--level 9")) else { return };
    let mut resized = None;
    let rows = screen.watch(|rows| {
        if rows.iter().any(|row| row.contains('[')) && resized.is_none() {
            screen.tmux(&["resize-window", "-x", "40"]);
            resized = Some(Instant::now());
        }
        if resized.is_none() {
            assert_no_row_is_the_rest_of_another(rows);
        }
    });
    assert!(resized.is_some(), "no bar was seen: {rows:#?}");
    // The terminal itself wraps what stood there, and an ended stage stays so. The line of progress is drawn anew.
    let compressing: Vec<_> = rows.iter().filter(|row| row.starts_with("compressing")).collect();
    assert_eq!(compressing.len(), 1, "{rows:#?}");
}

/// A name takes more columns than it has characters.
#[test]
fn progress_with_a_chinese_name_fits_its_terminal() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.arg("mb=10").start();
    let dir = tempfile::tempdir().unwrap();
    let stored = Tool::dump(jvm.pid(), dir.path().to_str().unwrap()).args(&["--all"]).run().expect(0).stored();
    let named = dir.path().join("线上购物车服务的堆转储文件/内存溢出之前/第一个实例.hprof");
    std::fs::create_dir_all(named.parent().unwrap()).unwrap();
    let unpacked = Command::new("gunzip").arg("--stdout").arg(stored).output().expect("gunzip");
    std::fs::write(&named, unpacked.stdout).unwrap();
    let line = format!("{} upload --level 9 shop cart prod {} >/dev/null", binary().display(), named.display());
    for columns in [40, 80] {
        let Some(screen) = Screen::start(columns, &line) else { return };
        let mut seen = false;
        let rows = screen.watch(|rows| {
            assert_no_row_is_the_rest_of_another(rows);
            seen |= rows.iter().any(|row| row.contains("hprof: ") && row.contains(" %"));
        });
        assert!(seen && rows.iter().any(|row| row.contains("100 %")), "{columns}: {rows:#?}");
    }
}

/// A message that comes meanwhile has lines of its own.
#[test]
fn messages_stand_above_the_progress() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.arg("mb=10").start();
    let Some(screen) = Screen::start(200, &dump_line(&jvm, "--level 9 -vv")) else { return };
    let is_apart = |rows: &[String]| {
        // A message begins with its time.
        let behind = rows.iter().find(|row| row.find("[20").is_some_and(|at| at > 0));
        assert_eq!(behind, None, "{rows:#?}");
    };
    let rows = screen.watch(is_apart);
    is_apart(&rows);
    assert!(rows.iter().filter(|row| row.starts_with("[20")).count() > 2, "{rows:#?}");
}

#[test]
fn dumb_terminal_gets_lines_without_escapes() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, store) = (jvm.arg("mb=10").start(), tempfile::tempdir().unwrap());
    let run = Command::new("script")
        .args(["--quiet", "--return", "--command", &dump_line(&jvm, "--level 9"), "/dev/null"])
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh"), ("TERM", "dumb")])
        .env("JMAP_DUMP_STORE", store.path())
        .output();
    let Ok(run) = run else { return cannot_run("script(1) is not there") };
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && !said.contains('\x1b'), "{said:?}");
}
