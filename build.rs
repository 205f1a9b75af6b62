//! Version, revision and target for `--version`; shell completions and the man page into `$OUT_DIR`.

#![allow(clippy::disallowed_methods, reason = "a build may wait for git, and writes files of its own")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use clap_complete::{Generator, Shell};
use clap_mangen::Man;

#[allow(dead_code, unused_imports)]
#[path = "src/cli/mod.rs"]
mod cli;

/// cli.rs names it; the man page needs only the number.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Defaults, and the policy (`src/settings/policy.rs`).
const BUILT_IN: [&str; 8] =
    ["STORE", "ENDPOINT", "REGION", "PATH_STYLE", "ACCOUNT", "ALLOWED_STORES", "LEAST_REDACT", "POLICY_BY"];

/// A position-independent binary relocates some 9,000 addresses when it starts. Packed, they take 5 KiB instead of
/// 200 KiB. musl unpacks them since 1.2.4 (`ldso/dlstart.c`, DT_RELR). GNU ld packs them for x86_64 since 2.38.
const PACKED_RELOCATIONS: &str = "-Wl,-z,pack-relative-relocs";

fn main() -> std::io::Result<()> {
    let target_is =
        |key: &str, value: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).is_ok_and(|is| is == value);
    if target_is("ARCH", "x86_64") && target_is("ENV", "musl") {
        println!("cargo::rustc-link-arg-bins={PACKED_RELOCATIONS}");
    }
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
    write_man_pages(&command, &out)?;
    // The word 'dump' may be left out, so its flags also complete without it.
    let dump = command.find_subcommand("dump").cloned().unwrap_or_default();
    command = command.args(dump.get_arguments().filter(|arg| !arg.is_positional()).cloned());
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "jmap-dump-tool", &mut text);
        std::fs::write(out.join(shell.file_name("jmap-dump-tool")), mended(shell, &String::from_utf8_lossy(&text)))?;
    }
    Ok(())
}

/// Mends what clap_complete 4.6 gets wrong. `tests/suite/completions.rs` types into the shells, and would tell a change.
fn mended(shell: Shell, text: &str) -> String {
    match shell {
        // The hyphens of our name become another word in the label of a verb than in the variable that is compared.
        // bash makes '=' a word of its own (bash(1), `COMP_WORDBREAKS`).
        Shell::Bash => {
            let prev = "    prev=\"$3\"\n";
            let value = "    [[ \"$prev\" != \"=\" ]] || prev=\"${COMP_WORDS[COMP_CWORD-2]}\"\n    [[ \"$cur\" != \"=\" ]] || cur=\"\"\n";
            let text = text.replace("jmap__subcmd__dump__subcmd__tool", "jmap__dump__tool");
            text.replacen(prev, &format!("{prev}{value}"), 1)
        }
        // A verb's own flags count behind the verb, not those of a dump with the same names.
        Shell::Zsh => text.replacen("_arguments \"${", "_arguments -A \"-*\" \"${", 1),
        // A flag that has no value yet is no reason to offer nothing.
        Shell::Fish => {
            let parse = "argparse -s (__fish_jmap_dump_tool_global_optspecs) --";
            let (whole, but_last) =
                (format!("{parse} $cmd 2>/dev/null\n"), format!("{parse} $cmd[1..-2] 2>/dev/null\n"));
            text.replacen(&whole, &format!("{whole}    or {but_last}"), 1)
        }
        _ => text.to_owned(),
    }
}

/// Writes a page for the program and one for each verb.
fn write_man_pages(program: &clap::Command, out: &Path) -> std::io::Result<()> {
    let mut program = program.clone().disable_help_subcommand(true);
    program.build();
    let verbs = program.get_subcommands().cloned().collect::<Vec<_>>();
    for mut command in verbs.into_iter().chain([program]) {
        // Without it the synopsis lists all flags.
        let usage = command.render_usage().to_string().replace("Usage: ", "");
        let is_verb = !command.has_subcommands();
        let page_of = command.clone().override_usage(usage).mut_args(with_values_in_its_help);
        let man = Man::new(page_of).manual("jmap-dump-tool");
        let man = man.source(format!("jmap-dump-tool {VERSION}"));
        let mut page = std::fs::File::create(out.join(man.get_filename()))?;
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        if let Some(text) = command.get_before_help() {
            write_as_it_is(&mut page, &text.to_string())?;
        }
        man.render_options_section(&mut page)?;
        if !is_verb {
            man.render_subcommands_section(&mut page)?;
        }
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for block in text.split("\n\n") {
            let (heading, lines) = block.split_once(":\n").unwrap_or(("NOTES", block));
            writeln!(page, ".SH \"{}\"", heading.to_uppercase())?;
            write_as_it_is(&mut page, &format!("\n{lines}").replace("\n  ", "\n")[1..])?;
        }
        if is_verb {
            writeln!(page, ".SH \"SEE ALSO\"\njmap\\-dump\\-tool(1)")?;
        }
    }
    Ok(())
}

/// Names the possible values of a flag as `--help` does: in a man page they would be a list of many lines.
fn with_values_in_its_help(flag: clap::Arg) -> clap::Arg {
    let values = flag.get_possible_values();
    let values = values.iter().map(|value| value.get_name()).collect::<Vec<_>>().join(", ");
    if values.is_empty() || !flag.get_action().takes_values() {
        return flag;
    }
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    flag.help(format!("{help} [possible values: {values}]")).hide_possible_values(true)
}

/// Writes lines that keep their ends (groff_man(7), `.EX`).
fn write_as_it_is(page: &mut impl Write, text: &str) -> std::io::Result<()> {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace("\n", "\n\\&");
    writeln!(page, ".PP\n.EX\n\\&{text}\n.EE")
}

/// The commit, marked when the tree differs from it; a source archive has none. A release build tells it, for cargo asks
/// again only when it sees that git's files have changed, and it does not see those of a worktree.
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
