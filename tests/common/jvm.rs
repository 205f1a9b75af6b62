//! A real JVM as a child: it is ready when `start` returns and dead when the value is dropped.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bed;
use super::console::Console;

pub struct TestJvm {
    child: Mutex<Child>,
    console: Console,
    pid: u32,
}

pub struct Builder {
    version: String,
    java: PathBuf,
    embedded: bool,
    /// Another program than `Heap`, and where its classes are.
    program: Option<(String, PathBuf)>,
    jvm_args: Vec<OsString>,
    args: Vec<OsString>,
    uid: Option<u32>,
    gid: Option<u32>,
    groups: Option<Vec<u32>>,
    /// What starts the launcher.
    behind: Vec<OsString>,
    cwd: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
    clean_env: bool,
}

impl Deref for TestJvm {
    type Target = Console;

    fn deref(&self) -> &Console {
        &self.console
    }
}

impl TestJvm {
    /// None, said on stderr, where this JVM is not installed.
    pub fn builder(version: &str) -> Option<Builder> {
        let java = bed::jvm(version)?;
        Some(Builder {
            version: version.to_owned(),
            java,
            embedded: false,
            program: None,
            jvm_args: Vec::new(),
            args: Vec::new(),
            uid: None,
            gid: None,
            groups: None,
            behind: Vec::new(),
            cwd: None,
            env: Vec::new(),
            clean_env: false,
        })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn is_alive(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TestJvm {
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
        // A killed JVM leaves its socket; a later one with the same PID must not find it.
        let _ = fs::remove_file(format!("/tmp/.java_pid{}", self.pid));
    }
}

impl Builder {
    pub fn jvm_arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.jvm_args.push(arg.as_ref().to_owned());
        self
    }

    /// An argument of `Heap`, such as `markers=1000`.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    pub fn gid(mut self, gid: u32) -> Self {
        self.gid = Some(gid);
        self
    }

    /// Supplementary groups, such as a pod's fsGroup, and none of the test's.
    pub fn groups(mut self, groups: &[u32]) -> Self {
        self.groups = Some(groups.to_vec());
        self
    }

    /// The launcher becomes the last arguments of these words, which replace themselves by it.
    pub fn behind(mut self, words: Vec<OsString>) -> Self {
        self.behind = words;
        self
    }

    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn clean_env(mut self) -> Self {
        self.clean_env = true;
        self
    }

    /// Another launcher, for example a renamed copy.
    pub fn java(mut self, launcher: impl AsRef<Path>) -> Self {
        self.java = launcher.as_ref().to_owned();
        self
    }

    /// Another main class than `Heap`, which may go on with that one.
    pub fn program(mut self, class: &str, classes: impl AsRef<Path>) -> Self {
        self.program = Some((class.to_owned(), classes.as_ref().to_owned()));
        self
    }

    /// The JVM inside a program called `embed`, without JVM arguments.
    pub fn embedded(mut self) -> Self {
        self.embedded = true;
        self
    }

    #[track_caller]
    pub fn start(self) -> TestJvm {
        let mut child = self.command().spawn().unwrap_or_else(|e| panic!("cannot start {}: {e}", self.java.display()));
        let pid = child.id();
        let console = Console::of(&mut child);
        let mut jvm = TestJvm { child: Mutex::new(child), console, pid };
        // A launcher may fork; then the JVM is another process than the child.
        jvm.pid = jvm.console.ready();
        jvm
    }

    fn command(&self) -> Command {
        let mut command = default_sigquit();
        if let Some(groups) = &self.groups {
            // The standard library sets no groups but those of the caller, or none.
            let [uid, gid] = [self.uid.unwrap_or(0), self.gid.or(self.uid).unwrap_or(0)].map(|id| id.to_string());
            let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
            command.args(["setpriv", "--reuid", &uid, "--regid", &gid, "--groups", &groups.join(",")]);
        }
        command.args(&self.behind).args(self.line()).args(&self.args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.clean_env {
            command.env_clear();
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        if let Some(gid) = self.gid.or(self.uid).filter(|_| self.groups.is_none()) {
            command.gid(gid);
        }
        if let Some(uid) = self.uid.filter(|_| self.groups.is_none()) {
            command.uid(uid);
        }
        command
    }

    fn line(&self) -> Vec<OsString> {
        if self.embedded {
            let program = bed::bed().join("embed");
            return vec![program.into(), bed::libjvm(&self.version).into(), bed::classes().into()];
        }
        let mut line = vec![self.java.clone().into()];
        line.extend(self.jvm_args.iter().cloned());
        let mut class_path = bed::classes().into_os_string();
        if let Some((_, classes)) = &self.program {
            class_path.push(":");
            class_path.push(classes);
        }
        let main = self.program.as_ref().map_or("Heap", |(class, _)| class);
        line.extend(["-cp".into(), class_path, main.into()]);
        line
    }
}

/// A runner in the background of a shell ignores SIGQUIT and hands that down; a JVM that ignores it survives a blind
/// signal that would kill it elsewhere.
pub fn default_sigquit() -> Command {
    let mut command = Command::new("/usr/bin/env");
    command.arg("--default-signal=QUIT");
    command
}
