//! Containers as a runtime of Kubernetes makes them: runc over overlayfs, the root an image that holds a JVM only.
//! The network is the host's, so that a store on 127.0.0.1 is in reach.

pub mod builder;
pub mod exec;
pub mod gvisor;
mod root;
mod seccomp;
mod spec;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use super::bed;
use super::console::{Console, PATIENCE};
use super::jvm::default_sigquit;
use builder::Builder;
use exec::{Exec, Output};
use root::Root;

/// Where the JVM is inside.
pub const JAVA_HOME: &str = "/opt/java/openjdk";

pub struct Container {
    id: String,
    /// Of PID 1, or of what joined the other container's namespace.
    init: u32,
    jvm: Option<u32>,
    runc: Mutex<Child>,
    console: Console,
    process: Value,
    // Dropped last: the directory holds all of the above.
    root: Root,
}

impl Deref for Container {
    type Target = Console;

    fn deref(&self) -> &Console {
        &self.console
    }
}

impl Container {
    /// A container whose process is `Heap`. None, said on stderr, where the JVM or runc cannot be had.
    pub fn builder(version: &str) -> Option<Builder> {
        bed::jvm(version)?;
        let usable = root::image(version).and_then(|image| {
            Self::probe(&image)?;
            Ok(Builder::over(image))
        });
        usable.map_err(|reason| bed::cannot_run(&reason)).ok()
    }

    #[track_caller]
    fn start(builder: &Builder) -> Container {
        let id = next_id();
        let root = Root::make(builder).unwrap_or_else(|e| panic!("{e}"));
        let config = builder.config(&id);
        let pid_file = root.bundle().join("pid");
        let mut child = run(&root, &config)
            .arg("--pid-file")
            .arg(&pid_file)
            .arg(&id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot start runc");
        let console = Console::of(&mut child);
        let mut container = Container {
            id,
            init: 0,
            jvm: None,
            runc: Mutex::new(child),
            console,
            process: config["process"].clone(),
            root,
        };
        container.wait(builder.is_heap(), &pid_file);
        container
    }

    #[track_caller]
    fn run_to_end(builder: &Builder) -> Output {
        let started = Instant::now();
        let root = Root::make(builder).unwrap_or_else(|e| panic!("{e}"));
        let id = next_id();
        let mut command = run(&root, &builder.config(&id));
        let ended = command.arg(&id).stdin(Stdio::null()).output().expect("cannot start runc");
        Output::of(ended, started)
    }

    #[track_caller]
    fn wait(&mut self, is_heap: bool, pid_file: &Path) {
        let inner = is_heap.then(|| self.console.ready());
        self.init = self.await_pid(pid_file);
        if let Some(inner) = inner {
            self.jvm = Some(host_pid(self.init, inner));
        } else {
            self.await_running();
        }
    }

    /// Waits for the READY line of a JVM that the entry command starts, and returns its PID on the host.
    #[track_caller]
    pub fn ready(&mut self) -> u32 {
        let pid = host_pid(self.init, self.console.ready());
        self.jvm = Some(pid);
        pid
    }

    /// The JVM's PID on the host; without a JVM that of the entry command.
    pub fn pid(&self) -> u32 {
        self.jvm.unwrap_or(self.init)
    }

    /// The JVM's PID as the container sees it.
    #[track_caller]
    pub fn inner_pid(&self) -> u32 {
        inner_pid(self.pid()).expect("the process is gone")
    }

    pub fn init_pid(&self) -> u32 {
        self.init
    }

    /// Whether the container's first process still runs.
    pub fn is_alive(&self) -> bool {
        let mut child = self.runc.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(child.try_wait(), Ok(None))
    }

    /// A file inside, as a path on the host; works for tmpfs and volumes too.
    pub fn path(&self, inside: &str) -> PathBuf {
        Path::new("/proc").join(self.init.to_string()).join("root").join(inside.trim_start_matches('/'))
    }

    /// Copies an executable in, mode 0755, also below a root that is read-only inside.
    #[track_caller]
    pub fn copy_in(&self, host_file: impl AsRef<Path>, inside: &str) {
        self.root.copy_in(host_file.as_ref(), inside, self.init);
    }

    /// Everything in the writable layer, in each tmpfs and in each writable volume: path and size, sorted.
    /// Directories end in `/`. Take it before and after to see what was left behind.
    pub fn files(&self) -> Vec<(String, u64)> {
        self.root.files(self.init)
    }

    /// What begins the command line of an exec on the host: `runc … exec ID`.
    pub fn exec_line(&self) -> String {
        format!("runc --root {} exec {}", self.root.state().display(), self.id)
    }

    /// The overlay's upper directory on the host.
    pub fn upper(&self) -> PathBuf {
        self.root.upper()
    }

    /// Runs a command as `kubectl exec` does: the container's user, environment and capabilities.
    #[track_caller]
    pub fn exec(&self, command: &[&str]) -> Output {
        self.command(command).output()
    }

    /// The same with options.
    pub fn command(&self, command: &[&str]) -> Exec<'_> {
        Exec::new(self, command)
    }

    fn await_pid(&self, pid_file: &Path) -> u32 {
        self.poll("no PID file", || fs::read_to_string(pid_file).ok()?.trim().parse().ok())
    }

    fn await_running(&self) {
        self.poll("it does not run", || {
            let state = runc(&self.root).args(["state", &self.id]).output().expect("cannot start runc");
            let state: Value = serde_json::from_slice(&state.stdout).ok()?;
            (state["status"] == "running").then_some(())
        });
    }

    #[track_caller]
    fn poll<T>(&self, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
        let found = poll(|| match probe() {
            Some(value) => Some(Some(value)),
            None => (!self.is_alive()).then_some(None),
        });
        match found.flatten() {
            Some(value) => value,
            None => panic!("{}: {what}; output:\n{}", self.id, self.log()),
        }
    }
}

/// Asks again until there is an answer or patience is over: runc has no event to wait for.
fn poll<T>(mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let answer = probe();
        if answer.is_some() {
            return answer;
        }
        thread::sleep(Duration::from_millis(2));
    }
    None
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = runc(&self.root).args(["delete", "--force", &self.id]).output();
        let child = self.runc.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Each container has a state directory of its own, so that parallel tests do not meet.
fn runc(root: &Root) -> Command {
    let mut command = default_sigquit();
    command.args(["runc", "--root"]).arg(root.state());
    command
}

fn next_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("jmap-bed-{}-{count}", std::process::id())
}

/// `runc run`, still without the container's id as its last argument.
fn run(root: &Root, config: &Value) -> Command {
    let bundle = root.bundle();
    fs::write(bundle.join("config.json"), config.to_string()).expect("config.json");
    let mut command = runc(root);
    command.arg("run").arg("--bundle").arg(bundle);
    command
}

impl Container {
    /// Whether containers can be had here: one is run, once per test program.
    fn probe(image: &Path) -> Result<(), String> {
        static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
        ANSWER.get_or_init(|| run_nothing(image)).clone()
    }
}

fn run_nothing(image: &Path) -> Result<(), String> {
    const HELP: &str = "run tests/bed/install.sh, as root";
    let builder = Builder::over(image.to_owned()).busybox().entry(&["/bin/busybox", "true"]);
    let root = Root::make(&builder).map_err(|e| format!("{e}; {HELP}"))?;
    let id = next_id();
    let output =
        run(&root, &builder.config(&id)).arg(&id).output().map_err(|e| format!("cannot start runc: {e}; {HELP}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("runc cannot run a container: {}; {HELP}", said.trim()))
}

/// The process that has the PID `inner` in the PID namespace of `member`.
#[track_caller]
fn host_pid(member: u32, inner: u32) -> u32 {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(member).expect("the container is gone");
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|&pid| namespace(pid).as_ref() == Some(&wanted) && inner_pid(pid) == Some(inner))
        .unwrap_or_else(|| panic!("no process {inner} in the container of {member}"))
}

fn inner_pid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}
