//! A library that is loaded before the JVM starts and changes the process, as a launcher like jsvc does.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::bed;

/// Acts in the process that becomes a JVM, not in those before it. Whoever changes its user is not dumpable any more
/// (prctl(2), PR_SET_DUMPABLE).
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

__attribute__((constructor)) static void change(void) {
    const char *user = getenv("BECOMES_USER"), *name = getenv("IS_CALLED");
    if (strcmp(program_invocation_short_name, "java") && strcmp(program_invocation_short_name, "embed")
        && strcmp(program_invocation_short_name, "sleep"))
        return;
    if (user && (setgid(atoi(user)) || setuid(atoi(user))))
        _exit(99);
    prctl(PR_SET_DUMPABLE, 0);
    if (name)
        prctl(PR_SET_NAME, name);
}
"#;

/// Where it lies; gone when the value is dropped.
pub struct Preload(TempDir);

impl Preload {
    /// None, said on stderr, where there is no compiler.
    pub fn build() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory for the library");
        // Another user loads it.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
        let source = dir.path().join("closed.c");
        std::fs::write(&source, SOURCE).expect("the source is written");
        let library = dir.path().join("libclosed.so");
        let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        if !built.is_ok_and(|status| status.success()) {
            bed::cannot_run("gcc cannot build a library; run tests/bed/install.sh");
            return None;
        }
        Some(Self(dir))
    }

    pub fn path(&self) -> PathBuf {
        Path::join(self.0.path(), "libclosed.so")
    }
}
