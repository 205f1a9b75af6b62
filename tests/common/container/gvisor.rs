//! The same bundles in gVisor (`runsc`), whose kernel is another program: what happens inside is seen from inside only.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::bed;
use super::super::console::{Console, PATIENCE};
use super::super::jvm::default_sigquit;
use super::builder::Builder;
use super::exec::Output;
use super::root::{self, Root};
use super::{Container, next_id};

/// A container in gVisor; killed when dropped.
pub struct Sandbox {
    id: String,
    runsc: Mutex<Child>,
    console: Console,
    process: Value,
    files: TempDir,
    // Dropped last: the directory holds all of the above.
    root: Root,
}

/// A command in a sandbox that has not ended.
pub struct Running {
    child: Child,
    pid: u32,
    started: Instant,
}

impl Sandbox {
    /// A sandbox whose first process is `Heap`. None, said on stderr, where the JVM or runsc cannot be had.
    pub fn builder(version: &str) -> Option<Builder> {
        bed::jvm(version)?;
        let image = root::image(version).and_then(|image| probe(&image).map(|()| image));
        let builder = image.map(|image| Builder::over(image).busybox());
        builder.map_err(|reason| bed::cannot_run(&reason)).ok()
    }

    /// Starts it and waits for READY.
    #[track_caller]
    pub fn start(builder: &Builder) -> Sandbox {
        let root = Root::make(builder).unwrap_or_else(|e| panic!("{e}"));
        let (id, config) = (next_id(), config(builder));
        let pipes = |command: &mut Command| {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        };
        let mut command = run(&root, &config, &id);
        pipes(&mut command);
        let mut child = command.spawn().expect("cannot start runsc");
        let console = Console::of(&mut child);
        let files = tempfile::tempdir().expect("a directory for runsc exec");
        let process = config["process"].clone();
        let sandbox = Sandbox { id, runsc: Mutex::new(child), console, process, files, root };
        sandbox.console.ready();
        sandbox
    }

    #[track_caller]
    pub fn say(&self, command: &str) -> String {
        self.console.say(command)
    }

    pub fn log(&self) -> String {
        self.console.log()
    }

    /// Runs a command as `kubectl exec` does, to its end.
    #[track_caller]
    pub fn exec(&self, command: &[&str]) -> Output {
        self.to_end(self.process.clone(), command)
    }

    /// The same as another user.
    #[track_caller]
    pub fn exec_as(&self, id: u32, command: &[&str]) -> Output {
        let mut process = self.process.clone();
        process["user"] = json!({ "uid": id, "gid": id });
        self.to_end(process, command)
    }

    #[track_caller]
    fn to_end(&self, process: Value, command: &[&str]) -> Output {
        let started = Instant::now();
        Output::of(self.command(process, command, &[]).output().expect("cannot start runsc"), started)
    }

    /// Starts a command, and waits until it has a number inside.
    #[track_caller]
    pub fn spawn(&self, command: &[&str]) -> Running {
        let pid_file = self.files.path().join("pid");
        let _ = fs::remove_file(&pid_file);
        let name = pid_file.to_str().expect("a UTF-8 path");
        let mut command = self.command(self.process.clone(), command, &["-internal-pid-file", name]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cannot start runsc");
        let started = Instant::now();
        let pid = super::poll(|| fs::read_to_string(&pid_file).ok()?.trim().parse().ok());
        Running { child, pid: pid.expect("runsc exec has started no command"), started }
    }

    fn command(&self, mut process: Value, words: &[&str], flags: &[&str]) -> Command {
        process["args"] = json!(words);
        let file = self.files.path().join(format!("process-{}.json", words.join("-").len()));
        fs::write(&file, process.to_string()).expect("process.json");
        let mut command = runsc(&self.root);
        command.arg("exec").args(flags).arg("-process").arg(file).arg(&self.id).stdin(Stdio::null());
        command
    }

    /// Kills a command by its number inside.
    #[track_caller]
    pub fn kill(&self, running: &Running) {
        self.exec(&["/bin/busybox", "kill", "-9", &running.pid.to_string()]);
    }

    /// What lies below `dirs` but the JVM's own socket and counters, and the directories themselves.
    #[track_caller]
    pub fn files(&self, dirs: &[&str]) -> Vec<String> {
        let listed = self.exec(&[&["/bin/busybox", "find"], dirs].concat()).text();
        let ours = |line: &&str| !line.contains(".java_pid") && !line.contains("hsperfdata") && !dirs.contains(line);
        listed.lines().filter(ours).map(str::to_owned).collect()
    }

    /// The processes inside but the JVM: number, state and name of each, zombies too.
    #[track_caller]
    pub fn others(&self) -> Vec<String> {
        let script = "for p in /proc/[0-9]*; do read -r line <$p/stat && echo \"$line\"; done 2>/dev/null; exit 0";
        let stats = self.exec(&["/bin/busybox", "sh", "-c", script]).text();
        let begin = |line: &str| line.split(' ').take(3).collect::<Vec<_>>().join(" ");
        stats
            .lines()
            .map(begin)
            .filter(|line| !["(java)", "(busybox)", "(sh)"].iter().any(|name| line.contains(name)))
            .collect()
    }
}

impl Running {
    #[track_caller]
    pub fn wait(self) -> Output {
        Output::of(self.child.wait_with_output().expect("cannot wait for runsc exec"), self.started)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = runsc(&self.root).args(["delete", "--force", &self.id]).output();
        let child = self.runsc.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// runsc takes part of what runc does: no cgroup of its own here, none of the masks.
fn config(builder: &Builder) -> Value {
    let mut config = builder.config("gvisor");
    config["linux"] = json!({ "namespaces": config["linux"]["namespaces"] });
    let mounts = config["mounts"].as_array().expect("mounts").iter().filter(|mount| mount["type"] != "cgroup");
    config["mounts"] = mounts.cloned().collect::<Vec<_>>().into();
    config
}

/// By ptrace, which needs no device; each sandbox has a state directory of its own.
fn runsc(root: &Root) -> Command {
    let mut command = default_sigquit();
    command.args(["runsc", "--platform=ptrace", "--network=none", "--ignore-cgroups", "--root"]).arg(root.state());
    command
}

fn run(root: &Root, config: &Value, id: &str) -> Command {
    let bundle = root.bundle();
    fs::write(bundle.join("config.json"), config.to_string()).expect("config.json");
    let mut command = runsc(root);
    command.arg("run").arg("-bundle").arg(bundle).arg(id);
    command
}

/// Whether sandboxes can be had here: one is run, once per test program.
fn probe(image: &Path) -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER.get_or_init(|| run_nothing(image)).clone()
}

fn run_nothing(image: &Path) -> Result<(), String> {
    const HELP: &str = "run tests/bed/install.sh, as root";
    // What runsc needs of the machine, runc needs as well.
    Container::probe(image)?;
    let builder = Builder::over(image.to_owned()).busybox().entry(&["/bin/busybox", "true"]);
    let root = Root::make(&builder).map_err(|e| format!("{e}; {HELP}"))?;
    let mut command = run(&root, &config(&builder), &next_id());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.as_mut().map_err(|e| format!("cannot start runsc: {e}; {HELP}"))?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(None) if begun.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(5)),
            ended => {
                let _ = child.kill();
                return Err(format!("runsc cannot run a container: {ended:?}; {HELP}"));
            }
        }
    }
}
