//! The tool as a child process, in an environment of its own.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::s3::{KEY, S3Server, SECRET};
use super::{schema, secrets};

/// Longer than any run here takes; a run that hangs fails its test.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_jmap-dump-tool"))
}

/// Copies a program, by another process: had this one the file open for writing while a parallel test forks, running it
/// could fail with ETXTBSY.
#[track_caller]
pub fn install(from: &Path, to: &Path) {
    let output = Command::new("install").args(["-m", "0755"]).args([from, to]).output().expect("cannot start install");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cannot copy: {said}");
}

/// How long it takes: the shorter of two times, for other tests run beside.
pub fn time_of(run: impl Fn()) -> Duration {
    let time = || {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    time().min(time())
}

/// The name of the lock of a turn on a JVM (`commands/dump/turn.rs`). The JVM by its number here and in its own
/// namespace.
pub fn lock_name_of(pid: u32, inner: u32) -> String {
    let pid_ns = std::fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap_or_default();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let start = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)).unwrap_or_default();
    format!("jmap-dump-tool/{}/{inner}/{start}", pid_ns.display())
}

/// Whether a run has its turn on a JVM.
pub fn has_run(pid: u32, inner: u32) -> bool {
    let end = format!(" @{}", lock_name_of(pid, inner));
    let sockets = std::fs::read("/proc/net/unix").unwrap_or_default();
    let sockets = String::from_utf8_lossy(&sockets);
    sockets.lines().any(|line| line.ends_with(&end))
}

/// What the tool warns of when a JVM has merged the parts of its dump before they were taken over.
const FASTER: &str = "the JVM was faster than this tool";

/// A dump, and one more when its only warning is that the JVM was faster: that may happen once, and not twice in a row.
#[track_caller]
pub fn again_if_faster(dump: impl Fn() -> Ended) -> Ended {
    let first = dump();
    let is_faster = match first.receipt()["warnings"].as_array().map(Vec::as_slice) {
        Some([only]) => only.as_str().is_some_and(|warning| warning.starts_with(FASTER)),
        _ => false,
    };
    if is_faster { dump() } else { first }
}

/// Seconds that a stage took, by a receipt.
pub fn seconds_of(receipt: &serde_json::Value, stage: &str) -> f64 {
    let times = receipt["seconds"].as_array().into_iter().flatten().filter(|time| time["stage"] == stage);
    times.filter_map(|time| time["seconds"].as_f64()).sum()
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// 128 + n after signal n.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ended {
    /// The receipt that was asked for as JSON.
    #[track_caller]
    pub fn receipt(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("no JSON receipt ({e}): {self:?}"))
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stderr: {}\nstdout: {}", self.stderr, String::from_utf8_lossy(&self.stdout));
        self
    }

    /// Where the dump was stored, by the receipt.
    #[track_caller]
    pub fn stored(&self) -> PathBuf {
        let url = self.receipt()["object"]["url"].as_str().map(PathBuf::from);
        let stored = url.unwrap_or_else(|| panic!("nothing stored: {self:?}"));
        // The receipt beside it is one like that which was printed.
        let beside = stored.to_string_lossy().replace(".hprof.gz", ".json");
        let beside = std::fs::read(beside).ok().and_then(|json| serde_json::from_slice(&json).ok());
        beside.into_iter().for_each(schema::assert_known);
        stored
    }
}

/// A run to be.
pub struct Tool(Command);

impl Tool {
    pub fn new(args: &[&str]) -> Self {
        Self::of(binary(), args)
    }

    pub fn of(binary: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(binary);
        command
            .args(args)
            .env_clear()
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command)
    }

    /// A dump of `pid` under shop/cart/prod, with a JSON receipt.
    pub fn dump(pid: u32, store: &str) -> Self {
        let pid = pid.to_string();
        Self::new(&["shop", "cart", "prod", "--output", "json", "--pid", &pid, "--store", store])
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.0.args(args);
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.0.env(key, value);
        self
    }

    /// Sets the key that the S3 server knows.
    pub fn with_key(self) -> Self {
        self.env("JMAP_DUMP_ACCESS_KEY_ID", KEY).env("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET)
    }

    /// Sets what reaches this S3 server, but for the store.
    pub fn with_s3(self, server: &S3Server) -> Self {
        self.args(&server.flags().iter().map(String::as_str).collect::<Vec<_>>()).with_key()
    }

    pub fn command(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.0);
        self
    }

    #[track_caller]
    pub fn run(self) -> Ended {
        self.spawn().wait()
    }

    #[track_caller]
    pub fn spawn(mut self) -> Run {
        let said = self.0.get_args().filter_map(|word| word.to_str()).filter(|word| word.starts_with("-v"));
        let verbosity = said.map(|word| word.len() - 1).sum();
        Run { child: self.0.spawn().expect("the tool can be started"), verbosity, heard: None }
    }
}

/// A run that is at it.
pub struct Run {
    pub child: Child,
    pub verbosity: usize,
    /// Its standard error, where that is read all the time.
    pub heard: Option<std::thread::JoinHandle<Vec<u8>>>,
}

impl Run {
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // A run that has just ended is no failure of the test.
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// At trace level, a run of minutes says more than a pipe holds, and would wait for its reader.
    pub fn hear(mut self) -> Self {
        let mut stderr = self.child.stderr.take().expect("it is a pipe");
        self.heard = Some(std::thread::spawn(move || {
            let mut heard = Vec::new();
            stderr.read_to_end(&mut heard).expect("a pipe can be read");
            heard
        }));
        self
    }

    #[track_caller]
    pub fn wait(self) -> Ended {
        let pid = rustix::process::Pid::from_child(&self.child);
        let (done, ended) = mpsc::channel();
        let (verbosity, heard) = (self.verbosity, self.heard);
        std::thread::spawn(move || done.send(self.child.wait_with_output()));
        let output = ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            panic!("the tool did not end within {PATIENCE:?}")
        });
        let mut output = output.expect("the tool's output can be read");
        output.stderr.extend(heard.into_iter().flat_map(|heard| heard.join().expect("what it says is heard")));
        let code = output
            .status
            .code()
            .unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or_default());
        let (stderr, stdout) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        secrets::assert_told_in_none(&[&stderr, &stdout]);
        schema::assert_described(&output.stdout, &stderr);
        Ended { code, stderr: secrets::as_asked_for(&stderr, verbosity), stdout: output.stdout }
    }
}
