//! On what it was measured.

use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use crate::common::bed;

pub fn today() -> String {
    chrono::Utc::now().format("%Y-%m-%d").to_string()
}

pub fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal");
    let kernel = rustix::system::uname();
    let release = kernel.release().to_string_lossy();
    let release = release.split('-').next().unwrap_or_default();
    format!("{}, {cores} cores, {memory} of memory, Linux {release}", field("/proc/cpuinfo", "model name"))
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()));
    value.unwrap_or_else(|| format!("unknown {name}"))
}

/// Type of the file system that holds `dir`; proc(5), mountinfo.
pub fn file_system(dir: &Path) -> String {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = mounts.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        dir.starts_with(point).then(|| (point.len(), kind.split(' ').next().unwrap_or(kind).to_owned()))
    });
    // The later of two mounts at one place hides the other.
    mount.max_by_key(|(len, _)| *len).map_or("an unknown file system".to_owned(), |(_, kind)| kind)
}

pub fn java(jdk: &str) -> String {
    let program = bed::home(jdk).join("bin/java");
    let said = Command::new(program).arg("-version").env_clear().output().map(|ended| ended.stderr).unwrap_or_default();
    String::from_utf8_lossy(&said).lines().take(2).collect::<Vec<_>>().join(", ")
}
