//! Commands in a running container, by `runc exec`.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::s3::{KEY, SECRET};
use super::super::schema::assert_described;
use super::spec::capabilities;
use super::{Container, poll, runc};

pub struct Exec<'a> {
    container: &'a Container,
    process: Value,
    stdin: Option<Vec<u8>>,
    bound: Duration,
}

/// What a command has left when it ended.
pub struct Output {
    /// 128 + N after signal N.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
}

/// A command that runs; killed when dropped.
pub struct Running {
    child: Option<Child>,
    files: TempDir,
    bound: Duration,
    started: Instant,
}

impl<'a> Exec<'a> {
    pub(super) fn new(container: &'a Container, command: &[&str]) -> Exec<'a> {
        let mut process = container.process.clone();
        process["args"] = json!(command);
        Exec { container, process, stdin: None, bound: Duration::from_secs(120) }
    }

    pub fn uid(mut self, uid: u32) -> Self {
        self.process["user"]["uid"] = json!(uid);
        self
    }

    pub fn gid(mut self, gid: u32) -> Self {
        self.process["user"]["gid"] = json!(gid);
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        let env = self.process["env"].as_array_mut().expect("env");
        env.push(format!("{key}={value}").into());
        self
    }

    /// Sets the key that the S3 server knows.
    pub fn with_key(self) -> Self {
        self.env("JMAP_DUMP_ACCESS_KEY_ID", KEY).env("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET)
    }

    pub fn cwd(mut self, dir: &str) -> Self {
        self.process["cwd"] = json!(dir);
        self
    }

    pub fn caps(mut self, caps: &[&str]) -> Self {
        let caps: Vec<String> = caps.iter().map(ToString::to_string).collect();
        self.process["capabilities"] = capabilities(&caps);
        self
    }

    pub fn drop_caps(self) -> Self {
        self.caps(&[])
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The test fails when the command takes longer; two minutes unless said otherwise.
    pub fn time_limit(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    #[track_caller]
    pub fn output(self) -> Output {
        self.spawn().wait()
    }

    /// Starts the command and does not wait for it.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let started = Instant::now();
        let files = tempfile::tempdir().expect("a directory for runc exec");
        let process = files.path().join("process.json");
        fs::write(&process, self.process.to_string()).expect("process.json");
        let input = self.stdin.as_ref().map_or_else(Stdio::null, |_| Stdio::piped());
        let mut child = runc(&self.container.root)
            .arg("exec")
            .arg("--process")
            .arg(&process)
            .arg("--pid-file")
            .arg(files.path().join("pid"))
            .arg(&self.container.id)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot start runc");
        feed(&mut child, self.stdin);
        Running { child: Some(child), files, bound: self.bound, started }
    }
}

impl Running {
    /// The command's PID on the host.
    #[track_caller]
    pub fn pid(&mut self) -> u32 {
        self.pid_if_running().expect("runc exec has started no command")
    }

    fn pid_if_running(&mut self) -> Option<u32> {
        let file = self.files.path().join("pid");
        let child = self.child.as_mut().expect("it runs");
        poll(|| {
            let ended = !matches!(child.try_wait(), Ok(None));
            match started(&file) {
                Some(pid) => Some(Ok(pid)),
                None => ended.then_some(Err(())),
            }
        })
        .and_then(Result::ok)
    }

    /// Kills the command itself, not runc, if it has not ended.
    pub fn kill(&mut self) {
        if let Some(pid) = self.pid_if_running().and_then(|pid| Pid::from_raw(pid as i32)) {
            // It may end just now.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Signals the command itself, not runc.
    #[track_caller]
    pub fn signal(&mut self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).expect("a PID");
        kill_process(pid, signal).expect("cannot signal the command");
    }

    /// The command's standard output, for a reader that goes away early.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.as_mut().and_then(|child| child.stdout.take())
    }

    pub fn is_alive(&mut self) -> bool {
        let child = self.child.as_mut().expect("it runs");
        matches!(child.try_wait(), Ok(None))
    }

    #[track_caller]
    pub fn wait(mut self) -> Output {
        let child = self.child.take().expect("it runs");
        let runc = Pid::from_child(&child);
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait_with_output()));
        let left = self.bound.saturating_sub(self.started.elapsed());
        let Ok(output) = receiver.recv_timeout(left) else {
            let _ = kill_process(runc, Signal::KILL);
            panic!("the command did not end within {:?}", self.bound);
        };
        Output::of(output.expect("cannot wait for runc exec"), self.started)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, text, stderr) = (self.code, self.text(), &self.stderr);
        write!(f, "status {code} after {:?}\nstdout: {text}\nstderr: {stderr}", self.took)
    }
}

impl Output {
    pub(super) fn of(ended: std::process::Output, started: Instant) -> Output {
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_described(&ended.stdout, &stderr);
        Output { code: ended.status.code().unwrap_or(-1), stdout: ended.stdout, stderr, took: started.elapsed() }
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// The PID, once the process is no longer runc preparing itself. In the middle of exec the command line is empty.
fn started(pid_file: &Path) -> Option<u32> {
    let pid = fs::read_to_string(pid_file).ok()?.parse().ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let preparing = line.is_empty() || line.starts_with(b"runc\0init\0");
    (!preparing).then_some(pid)
}

/// From a thread: the command may print before it reads.
fn feed(child: &mut Child, bytes: Option<Vec<u8>>) {
    if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), bytes) {
        thread::spawn(move || pipe.write_all(&bytes));
    }
}
