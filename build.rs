//! Version, revision and target for `--version`; shell completions and the man page into `$OUT_DIR`.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;

#[allow(dead_code, unused_imports)]
#[path = "src/cli/mod.rs"]
mod cli;

/// cli.rs names it; the man page needs only the number.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Defaults, and the policy (`src/settings/policy.rs`).
const BUILT_IN: [&str; 8] =
    ["STORE", "ENDPOINT", "REGION", "PATH_STYLE", "ACCOUNT", "ALLOWED_STORES", "LEAST_REDACT", "POLICY_BY"];

fn main() -> std::io::Result<()> {
    println!("cargo::rustc-env=JMAP_DUMP_REVISION={}", revision());
    println!("cargo::rustc-env=JMAP_DUMP_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    println!("cargo::rerun-if-env-changed=JMAP_DUMP_REVISION");
    for key in BUILT_IN {
        println!("cargo::rerun-if-env-changed=JMAP_DUMP_BUILTIN_{key}");
    }
    for path in ["build.rs", "src/cli", ".git/HEAD", ".git/index"] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let Some(out) = std::env::var_os("OUT_DIR").map(PathBuf::from) else { return Ok(()) };
    let mut command = cli::Cli::command();
    clap_mangen::generate_to(command.clone(), &out)?;
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "jmap-dump-tool", &out)?;
    }
    Ok(())
}

/// The commit, marked when the tree differs from it; a source archive has none. A release build tells it, for cargo asks
/// again only when it sees that git's files have changed, and it does not see those of a worktree.
#[expect(clippy::disallowed_methods, reason = "a build may wait for git")]
fn revision() -> String {
    if let Ok(told) = std::env::var("JMAP_DUMP_REVISION") {
        return told;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "no revision".into() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    if changed { format!("{commit}+") } else { commit }
}
