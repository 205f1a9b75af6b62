//! What a container is like: the options of a test.

use std::path::{Path, PathBuf};

use super::exec::Output;
use super::{Container, JAVA_HOME};

/// What Docker and containerd give a container that asks for nothing.
pub const DOCKER_CAPS: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The first host uid of a user namespace.
pub const USER_NAMESPACE_BASE: u32 = 100_000;

#[derive(Clone)]
pub(super) enum Mount {
    Tmpfs { inside: String, size: String },
    Bind { host: PathBuf, inside: String, read_only: bool },
}

impl Mount {
    pub(super) fn inside(&self) -> &str {
        match self {
            Mount::Tmpfs { inside, .. } | Mount::Bind { inside, .. } => inside,
        }
    }
}

#[derive(Clone)]
pub struct Builder {
    pub(super) image: PathBuf,
    pub(super) scratch: bool,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) tmp: bool,
    pub(super) applets: Vec<&'static str>,
    pub(super) passwd_entry: bool,
    pub(super) user_namespace: bool,
    pub(super) mounts: Vec<Mount>,
    pub(super) read_only_root: bool,
    pub(super) caps: Vec<String>,
    pub(super) no_new_privs: bool,
    pub(super) seccomp: bool,
    pub(super) pid_namespace: Option<PathBuf>,
    pub(super) memory: Option<u64>,
    pub(super) cpus: Option<f64>,
    jvm_args: Vec<String>,
    args: Vec<String>,
    entry: Option<Vec<String>>,
    shell: bool,
    pub(super) env: Vec<String>,
    pub(super) hostname: String,
}

impl Builder {
    pub(super) fn over(image: PathBuf) -> Builder {
        Builder {
            image,
            scratch: false,
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            tmp: true,
            applets: Vec::new(),
            passwd_entry: true,
            user_namespace: false,
            mounts: Vec::new(),
            read_only_root: false,
            caps: DOCKER_CAPS.map(String::from).to_vec(),
            no_new_privs: false,
            seccomp: false,
            pid_namespace: None,
            memory: None,
            cpus: None,
            jvm_args: Vec::new(),
            args: Vec::new(),
            entry: None,
            shell: false,
            env: Vec::new(),
            hostname: "jmap-bed".to_owned(),
        }
    }

    /// Starts it and waits for READY; with an entry of another kind, until it runs.
    #[track_caller]
    pub fn start(self) -> Container {
        Container::start(&self)
    }

    /// For an entry that ends by itself.
    #[track_caller]
    pub fn run_to_end(self) -> Output {
        Container::run_to_end(&self)
    }

    /// An image with nothing in it, as `FROM scratch` makes it.
    pub fn scratch(mut self) -> Self {
        self.scratch = true;
        self.tmp = false;
        self
    }

    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = uid;
        self
    }

    pub fn gid(mut self, gid: u32) -> Self {
        self.gid = gid;
        self
    }

    /// Supplementary groups, such as a pod's fsGroup.
    pub fn groups(mut self, groups: &[u32]) -> Self {
        self.groups = groups.to_vec();
        self
    }

    /// Whether the uid is in /etc/passwd; true unless said otherwise.
    pub fn passwd_entry(mut self, present: bool) -> Self {
        self.passwd_entry = present;
        self
    }

    pub fn read_only_root(mut self) -> Self {
        self.read_only_root = true;
        self
    }

    /// The image has no directory /tmp.
    pub fn no_tmp(mut self) -> Self {
        self.tmp = false;
        self
    }

    /// Writable for all, such as an emptyDir in memory.
    pub fn tmpfs(mut self, inside: &str, size: &str) -> Self {
        let (inside, size) = (inside.to_owned(), size.to_owned());
        self.mounts.push(Mount::Tmpfs { inside, size });
        self
    }

    pub fn bind(self, host: impl AsRef<Path>, inside: &str) -> Self {
        self.volume(host.as_ref(), inside, false)
    }

    pub fn bind_read_only(self, host: impl AsRef<Path>, inside: &str) -> Self {
        self.volume(host.as_ref(), inside, true)
    }

    fn volume(mut self, host: &Path, inside: &str, read_only: bool) -> Self {
        let (host, inside) = (host.to_owned(), inside.to_owned());
        self.mounts.push(Mount::Bind { host, inside, read_only });
        self
    }

    pub fn drop_caps(self) -> Self {
        self.caps(&[])
    }

    /// The default.
    pub fn docker_caps(self) -> Self {
        self.caps(&DOCKER_CAPS)
    }

    pub fn caps(mut self, caps: &[&str]) -> Self {
        self.caps = caps.iter().map(ToString::to_string).collect();
        self
    }

    pub fn no_new_privs(mut self) -> Self {
        self.no_new_privs = true;
        self
    }

    /// The default profile of the container tools; without this call there is none.
    pub fn seccomp_default(mut self) -> Self {
        self.seccomp = true;
        self
    }

    pub fn share_pid_ns_of(mut self, other: &Container) -> Self {
        self.pid_namespace = Some(format!("/proc/{}/ns/pid", other.init_pid()).into());
        self
    }

    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    pub fn cpu_quota(mut self, cpus: f64) -> Self {
        self.cpus = Some(cpus);
        self
    }

    /// Root inside is uid [`USER_NAMESPACE_BASE`] outside.
    pub fn user_namespace(mut self) -> Self {
        self.user_namespace = true;
        self
    }

    pub fn jvm_arg(mut self, arg: &str) -> Self {
        self.jvm_args.push(arg.to_owned());
        self
    }

    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push(format!("{key}={value}"));
        self
    }

    pub fn hostname(mut self, name: &str) -> Self {
        self.hostname = name.to_owned();
        self
    }

    /// A static busybox at /bin, with sh and the other applets.
    pub fn busybox(self) -> Self {
        self.applets(&["sh", "cat", "ls", "sleep", "tar", "chmod", "kill", "ps", "mkdir"])
    }

    /// The same with these applets only.
    pub fn applets(mut self, names: &[&'static str]) -> Self {
        self.applets = names.to_vec();
        self
    }

    /// A shell as PID 1 that starts the JVM and waits for it.
    pub fn under_shell(mut self) -> Self {
        self.shell = true;
        self.busybox()
    }

    /// Another command than the JVM; [`Container::ready`] waits for a JVM that it starts.
    pub fn entry(mut self, command: &[&str]) -> Self {
        self.entry = Some(command.iter().map(ToString::to_string).collect());
        self
    }

    /// A container that does nothing until it is dropped.
    pub fn idle(self) -> Self {
        self.busybox().entry(&["/bin/busybox", "cat"])
    }

    /// The command line that [`Builder::start`] runs without an entry.
    pub fn java_command(&self) -> Vec<String> {
        let mut line = vec![format!("{JAVA_HOME}/bin/java")];
        line.extend(self.jvm_args.iter().cloned());
        line.extend(["-cp", "/classes", "Heap"].map(String::from));
        line.extend(self.args.iter().cloned());
        line
    }

    pub(super) fn is_heap(&self) -> bool {
        self.entry.is_none()
    }

    pub(super) fn command(&self) -> Vec<String> {
        if let Some(entry) = &self.entry {
            return entry.clone();
        }
        let mut line = Vec::new();
        if self.shell {
            // What follows the command keeps the shell from replacing itself by it.
            line.extend(["/bin/sh", "-c", "\"$@\"; exit $?", "sh"].map(String::from));
        }
        line.extend(self.java_command());
        line
    }
}
