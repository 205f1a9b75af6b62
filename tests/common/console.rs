//! The stdio of a child that runs `Heap`: lines are collected by threads, commands are answered by one line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine: what hangs fails its test.
pub const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

#[derive(Default)]
struct Output {
    lines: Vec<(Stream, String)>,
    open: usize,
}

impl Output {
    fn add(&mut self, stream: Stream, line: &[u8]) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        self.lines.push((stream, text));
    }

    /// The first line on stdout at or after `from` that starts with one of `words`.
    fn find(&self, from: usize, words: &[&str]) -> Option<String> {
        self.lines[from..]
            .iter()
            .filter(|(stream, _)| *stream == Stream::Out)
            .map(|(_, line)| line)
            .find(|line| words.contains(&line.split(' ').next().unwrap_or_default()))
            .cloned()
    }

    fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }
}

#[derive(Default)]
struct Shared {
    output: Mutex<Output>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Console {
    stdin: Mutex<Option<ChildStdin>>,
    shared: Arc<Shared>,
}

impl Console {
    /// Takes the three pipes of `child`. The readers end when the last holder of the other end does; nobody joins them.
    pub fn of(child: &mut Child) -> Console {
        let shared = Arc::new(Shared::default());
        if let Some(out) = child.stdout.take() {
            collect(out, Stream::Out, &shared);
        }
        if let Some(err) = child.stderr.take() {
            collect(err, Stream::Err, &shared);
        }
        let stdin = Mutex::new(child.stdin.take());
        Console { stdin, shared }
    }

    /// Waits for the READY line and returns the PID in it, which is that of the child's own PID namespace.
    #[track_caller]
    pub fn ready(&self) -> u32 {
        let line = self.wait_for(0, &["READY"], PATIENCE);
        let pid = line.trim_start_matches("READY ");
        pid.parse().unwrap_or_else(|_| panic!("no PID in {line:?}"))
    }

    /// Sends a command without waiting for its answer.
    #[track_caller]
    pub fn send(&self, command: &str) {
        let mut stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = stdin.as_mut().expect("standard input is closed");
        writeln!(pipe, "{command}")
            .and_then(|()| pipe.flush())
            .unwrap_or_else(|e| panic!("cannot say {command}: {e}; output:\n{}", self.log()));
    }

    /// One line for one command: ping, gap, gc, oom, busy. See `Heap.java`.
    #[track_caller]
    pub fn say(&self, command: &str) -> String {
        self.say_within(command, PATIENCE)
    }

    /// The longest pause that the JVM has felt since it was last asked.
    #[track_caller]
    pub fn longest_gap(&self) -> Duration {
        gap(&self.say("gap"))
    }

    #[track_caller]
    pub fn say_within(&self, command: &str, bound: Duration) -> String {
        let from = self.shared.lock().lines.len();
        self.send(command);
        let word = command.split(' ').next().unwrap_or_default();
        let answer = if word == "ping" { "pong" } else { word };
        self.wait_for(from, &[answer, "unknown"], bound)
    }

    /// End of input: `Heap` exits.
    pub fn close(&self) {
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What it has printed so far, stdout and stderr.
    pub fn log(&self) -> String {
        self.shared.lock().text()
    }

    #[track_caller]
    fn wait_for(&self, from: usize, words: &[&str], bound: Duration) -> String {
        let deadline = Instant::now() + bound;
        let mut output = self.shared.lock();
        loop {
            if let Some(line) = output.find(from, words) {
                return line;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let over = output.open == 0;
            if over || left.is_zero() {
                let why = if over { "it ended" } else { "time is over" };
                panic!("no {words:?}, {why}; output:\n{}", output.text());
            }
            output = self.shared.changed.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn collect(pipe: impl Read + Send + 'static, stream: Stream, shared: &Arc<Shared>) {
    shared.lock().open += 1;
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            shared.lock().add(stream, &line);
            shared.changed.notify_all();
            line.clear();
        }
        shared.lock().open -= 1;
        shared.changed.notify_all();
    });
}

/// Reads the answer to `gap`.
#[track_caller]
fn gap(answer: &str) -> Duration {
    let millis = answer
        .strip_prefix("gap ")
        .and_then(|text| text.parse::<f64>().ok())
        .unwrap_or_else(|| panic!("not the answer to gap: {answer:?}"));
    Duration::from_secs_f64(millis / 1000.0)
}
