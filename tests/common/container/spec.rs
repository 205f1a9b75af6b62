//! The OCI configuration of a container.

use serde_json::{Value, json};

use super::builder::{Builder, Mount, USER_NAMESPACE_BASE};
use super::{JAVA_HOME, seccomp};

const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

impl Builder {
    pub(super) fn config(&self, id: &str) -> Value {
        json!({
            "ociVersion": "1.0.2",
            "hostname": self.hostname,
            "root": { "path": "../merged", "readonly": self.read_only_root },
            "process": self.process(),
            "mounts": self.mount_list(),
            "linux": self.linux(id),
        })
    }

    fn process(&self) -> Value {
        let mut env = vec![format!("PATH={JAVA_HOME}/bin:/usr/sbin:/usr/bin:/sbin:/bin")];
        env.push(format!("HOSTNAME={}", self.hostname));
        env.extend(self.env.iter().cloned());
        json!({
            "terminal": false,
            "user": { "uid": self.uid, "gid": self.gid, "additionalGids": self.groups },
            "args": self.command(),
            "env": env,
            "cwd": "/",
            "capabilities": capabilities(&self.caps),
            "noNewPrivileges": self.no_new_privs,
        })
    }

    fn linux(&self, id: &str) -> Value {
        let mut linux = json!({
            "cgroupsPath": format!("/jmap-bed/{id}"),
            "resources": self.resources(),
            "namespaces": self.namespaces(),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        });
        if self.seccomp {
            linux["seccomp"] = seccomp::default_profile(&self.caps);
        }
        if self.user_namespace {
            let mapping = json!([{ "containerID": 0, "hostID": USER_NAMESPACE_BASE, "size": 65536 }]);
            linux["uidMappings"] = mapping.clone();
            linux["gidMappings"] = mapping;
        }
        linux
    }

    fn resources(&self) -> Value {
        let mut resources = json!({});
        if let Some(bytes) = self.memory {
            resources["memory"] = json!({ "limit": bytes });
        }
        if let Some(cpus) = self.cpus {
            let period = 100_000;
            resources["cpu"] = json!({ "period": period, "quota": (cpus * f64::from(period)) as i64 });
        }
        resources
    }

    fn namespaces(&self) -> Value {
        let mut list: Vec<Value> = ["mount", "ipc", "uts"].map(|kind| json!({ "type": kind })).to_vec();
        list.push(match &self.pid_namespace {
            Some(path) => json!({ "type": "pid", "path": path }),
            None => json!({ "type": "pid" }),
        });
        if self.user_namespace {
            list.push(json!({ "type": "user" }));
        }
        list.into()
    }

    fn mount_list(&self) -> Value {
        let mut list = vec![
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        ];
        // The host's network namespace is not owned by a new user namespace, which may not mount sysfs then.
        if !self.user_namespace {
            let options = ["nosuid", "noexec", "nodev", "ro"];
            list.push(mount("/sys", "sysfs", "sysfs", &options));
            list.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &options));
        }
        list.extend(self.mounts.iter().map(Mount::json));
        list.into()
    }
}

impl Mount {
    fn json(&self) -> Value {
        match self {
            Mount::Tmpfs { inside, size } => {
                let size = format!("size={size}");
                mount(inside, "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=1777", &size])
            }
            Mount::Bind { host, inside, read_only } => {
                let access = if *read_only { "ro" } else { "rw" };
                let host = host.to_str().expect("a UTF-8 path");
                mount(inside, "bind", host, &["rbind", "rprivate", access])
            }
        }
    }
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

/// Neither inheritable nor ambient: a uid other than 0 ends up with none, as in Docker.
pub(super) fn capabilities(caps: &[String]) -> Value {
    json!({ "bounding": caps, "effective": caps, "permitted": caps })
}
