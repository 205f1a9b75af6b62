//! Where `tests/bed/install.sh` has put things.

use std::path::{Path, PathBuf};
use std::{env, thread};

/// The JVMs without which CI fails.
pub const VERSIONS: [&str; 5] = ["8", "11", "17", "21", "25"];

/// Early access, or new: from a suite that moves daily, and may not be reached.
pub const NEWEST: [&str; 3] = ["26", "27", "28"];

pub fn bed() -> PathBuf {
    match env::var_os("JMAP_BED") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bed"),
    }
}

/// The launcher of a JVM: one of [`VERSIONS`] or [`NEWEST`], or `17-musl`.
pub fn jvm(version: &str) -> Option<PathBuf> {
    let java = home(version).join("bin/java");
    if java.exists() {
        return Some(java);
    }
    let reason = format!("JVM {version} is not there; run tests/bed/install.sh");
    if VERSIONS.contains(&version) {
        cannot_run(&reason);
    } else {
        skip(&reason);
    }
    None
}

pub fn home(version: &str) -> PathBuf {
    bed().join(format!("jvm-{version}"))
}

pub fn classes() -> PathBuf {
    bed().join("classes")
}

pub fn libjvm(version: &str) -> PathBuf {
    let lib = home(version).join("lib");
    let flat = lib.join("server/libjvm.so");
    if flat.exists() { flat } else { lib.join("amd64/server/libjvm.so") }
}

/// Says on stderr that the running test is skipped, and why.
pub fn skip(reason: &str) {
    let thread = thread::current();
    eprintln!("SKIP {}: {reason}", thread.name().unwrap_or("?"));
}

/// A skip that CI does not accept.
#[track_caller]
pub fn cannot_run(reason: &str) {
    assert!(!is_ci(), "CI must be able to run this: {reason}");
    skip(reason);
}

pub fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true")
}
