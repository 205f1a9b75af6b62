//! `kubectl` as far as the plugin needs it: a script that answers for some pods and really execs into their containers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::container::Container;
use super::tool::{Run, binary, install};

pub const POD: &str = "cart-7d9f";

/// The pods of `deploy/cart`, in their order.
pub const FLEET: [&str; 6] = ["cart-1", "cart-2", "cart-3", "cart-4", "cart-5", "cart-6"];

/// A pod with one container, which has a probe.
pub const PATIENT: &str = "shared \ndefault \ncontainer app 10 3 1\n";

const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubectl-jmap_dump");
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common");

/// A machine with kubectl on it, and a cluster with some pods.
pub struct Kubectl {
    dir: TempDir,
    /// How many seconds all pods of a fleet have to be Ready before the next dump.
    pub settle: u64,
}

impl Kubectl {
    /// One pod. `facts` are what the plugin asks the API server for, after the node.
    pub fn of(container: &Container, facts: &str) -> Kubectl {
        let kubectl = Kubectl::new();
        kubectl.pod(POD, &container.exec_line(), facts);
        kubectl
    }

    /// Six pods of `deploy/cart` by its `ReplicaSet`; the containers take turns.
    pub fn fleet(containers: &[&Container]) -> Kubectl {
        let kubectl = Kubectl::new();
        for (pod, container) in FLEET.iter().zip(containers.iter().cycle()) {
            kubectl.pod(pod, &container.exec_line(), PATIENT);
        }
        kubectl
    }

    /// The same pods, without a JVM: a dump prints the words that the tool was given.
    pub fn echoing(pods: &[&str]) -> Kubectl {
        let kubectl = Kubectl::new();
        for pod in pods {
            kubectl.pod(pod, &format!("sh {HERE}/echo_container.sh"), PATIENT);
        }
        kubectl
    }

    fn new() -> Kubectl {
        let dir = tempfile::tempdir().expect("a directory for kubectl");
        for name in ["bin", "binaries", "work", "tmp", "pods", "workloads"] {
            fs::create_dir_all(dir.path().join(name)).expect("a directory for kubectl");
        }
        install(&Path::new(HERE).join("kubectl.sh"), &dir.path().join("bin/kubectl"));
        symlink(binary(), dir.path().join("binaries/jmap-dump-tool-x86_64-linux-musl")).expect("the binary");
        let kubectl = Kubectl { dir, settle: 0 };
        for kind in ["deploy", "sts", "ds", "rs", "svc", "deployment", "Deployment.v1.apps"] {
            kubectl.write(&format!("workloads/{kind}/cart"), "app=cart,\n");
        }
        kubectl
            .write("workloads/ReplicaSet.v1.apps/cart-rs", "app=cart,pod-template-hash=1,\napps/v1 Deployment cart\n");
        kubectl
    }

    /// A pod that is Ready, of `deploy/cart`.
    pub fn pod(&self, name: &str, exec: &str, facts: &str) {
        let line = format!("{name}|uid-{name}|Running|True||uid-rs|apps/v1 ReplicaSet cart-rs|0 0 0\n");
        for (file, text) in
            [("exec", exec), ("facts", &format!("node n1\n{facts}")), ("line", &line), ("selectors", "app=cart\n")]
        {
            self.write(&format!("pods/{name}/{file}"), text);
        }
    }

    /// A file that the stand-in reads: `pods/NAME/line` and its like.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory for kubectl");
        fs::write(path, text).expect("a file of kubectl");
    }

    /// A file that a pod's script has made.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join(file)).expect("a file of kubectl")
    }

    pub fn remove(&self, file: &str) {
        fs::remove_file(self.dir.path().join(file)).expect("a file of kubectl");
    }

    /// What a shell does, among the pods, when this one has been dumped.
    pub fn then(&self, pod: &str, script: &str) {
        self.write(&format!("pods/{pod}/then"), script);
    }

    /// The plugin's `PROJECT APP ENV`, with options before them and flags of the tool after them, run by this shell.
    pub fn plugin(&self, shell: &[&str], options: &[&str], flags: &[&str]) -> Run {
        self.typed(shell, &[&[POD], options, &["shop", "cart", "prod", "--"], flags].concat())
    }

    /// The plugin with these words and no others, but for where its binaries are.
    pub fn typed(&self, shell: &[&str], words: &[&str]) -> Run {
        let binaries = self.binaries().display().to_string();
        self.installed(shell, Path::new(PLUGIN), &[&["--binary-dir", binaries.as_str()], words].concat())
    }

    /// The plugin where somebody has put it.
    pub fn installed(&self, shell: &[&str], plugin: &Path, words: &[&str]) -> Run {
        // A shell cannot trap a signal that was ignored when it was started, as in a background job (POSIX: "trap").
        let mut command = Command::new("/usr/bin/env");
        command.arg("--default-signal=INT").args(shell).arg(plugin).args(words);
        self.start(command)
    }

    fn start(&self, mut command: Command) -> Run {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.dir.path().join("bin").display());
        command.env_clear().env("PATH", path).env("DIR", self.dir.path());
        command.env("JMAP_DUMP_SETTLE_SECONDS", self.settle.to_string()).env("JMAP_DUMP_READY_SECONDS", "2");
        command.env("TMPDIR", self.dir.path().join("tmp")).current_dir(self.work());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Run { child: command.spawn().expect("the plugin can be started"), verbosity: 3, heard: None }
    }

    pub fn binaries(&self) -> PathBuf {
        self.dir.path().join("binaries")
    }

    /// Where the plugin is run.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// What the plugin keeps on the caller's machine while it runs.
    pub fn temporary(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("tmp")).expect("tmp").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// All command lines of kubectl so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The pods into which something was put or in which something was run, in the order of the first time.
    pub fn touched(&self) -> Vec<String> {
        let mut pods: Vec<String> = Vec::new();
        for line in self.log().lines().filter(|line| line.split(' ').any(|word| word == "exec")) {
            let words = line.split(' ').skip_while(|word| *word != "exec").skip(1);
            let pod = words.into_iter().find(|word| *word != "-i").expect("a pod").to_owned();
            if !pods.contains(&pod) {
                pods.push(pod);
            }
        }
        pods
    }

    /// When dumps began and ended: ("begin", pod, nanoseconds).
    pub fn dumps(&self) -> Vec<(String, String, u128)> {
        let text = fs::read_to_string(self.dir.path().join("dumps")).unwrap_or_default();
        let words = text.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        words.map(|w| (w[0].clone(), w[1].clone(), w[2].parse().expect("a time"))).collect()
    }

    /// From now on, of a dump that comes here by `--store -` no more than its first bytes pass.
    pub fn hold(&self) {
        self.write("hold", "");
    }

    /// The connection of the last exec breaks; what runs in the container is not told.
    #[track_caller]
    pub fn cut(&self) {
        self.end(Signal::KILL);
    }

    /// The same; kubectl ends with 0 and without a word, as the real one does (kubernetes/kubectl #1208).
    #[track_caller]
    pub fn cut_in_silence(&self) {
        self.end(Signal::USR1);
    }

    /// The streams of the last exec break, then kubectl gets this signal.
    #[track_caller]
    fn end(&self, signal: Signal) {
        let last = fs::read_to_string(self.dir.path().join("last")).expect("an exec");
        let pids: Vec<Pid> = last.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
        let (kubectl, streams) = pids.split_last().expect("an exec");
        // One may have ended with another.
        let _ = kill_process(*kubectl, signal);
        for stream in streams {
            let _ = kill_process(*stream, Signal::KILL);
        }
    }
}
