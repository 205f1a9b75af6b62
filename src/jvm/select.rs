//! Selects one of several JVMs.

use std::io;
use std::path::{Path, PathBuf};

use super::{Jvm, closed_to_us, discover, only};

/// There is no JVM, or not the one that the user named.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("cannot list the processes in {}", .proc_root.display())]
    ProcessList { proc_root: PathBuf, source: io::Error },
    #[error("no JVM found among the processes that can be seen here{}", closed_ones(.closed))]
    NoJvm { closed: Vec<String> },
    #[error("no JVM matches '{text}'; found: {found}")]
    NoMatch { text: String, found: String },
    #[error("pid {pid}: no such process")]
    NoSuchProcess { pid: i32, source: io::Error },
    #[error("pid {pid} ({name}) is not a JVM: it does not map libjvm.so")]
    NotAJvm { pid: i32, name: String },
    #[error(
        "pid {pid} ({name}) may be a JVM or not: /proc/{pid}/maps is closed to this tool, for the process is not dumpable (it \
         has changed its user since it began, for example), has capabilities that this tool has not, or is another user's"
    )]
    Closed { pid: i32, name: String, source: io::Error },
    #[error("pid {pid} ({name}) is a GraalVM native image without attach support: SIGQUIT would end it")]
    NativeImage { pid: i32, name: String },
    #[error("pid {pid} is this tool itself")]
    Ourselves { pid: i32 },
}

const CLOSED: &str = "run the tool as the process's user, or as root with the capability SYS_PTRACE \
                      (securityContext.capabilities.add: [SYS_PTRACE])";

fn closed_ones(closed: &[String]) -> String {
    if closed.is_empty() {
        return String::new();
    }
    format!("; closed to this tool, so that nobody can tell what they are: {}", closed.join(", "))
}

impl DiscoveryError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::ProcessList { .. } => "mount /proc in this container, or run the tool in one that has it",
            Self::Closed { .. } => CLOSED,
            Self::NoJvm { closed } if !closed.is_empty() => CLOSED,
            Self::NoJvm { .. } => {
                "run the tool in the container of the JVM, or share the process namespace (shareProcessNamespace: true)"
            }
            Self::NativeImage { .. } => {
                "build it with --enable-monitoring=jcmd,heapdump; with heapdump alone, SIGUSR1 writes a dump to its directory"
            }
            Self::NoMatch { .. } => "give a part of the main class or of the command line, or use --pid",
            Self::NoSuchProcess { .. } | Self::NotAJvm { .. } | Self::Ourselves { .. } => {
                "leave --pid out to take the JVM with the lowest pid, or give the pid of a JVM"
            }
        }
    }
}

/// The choice when several JVMs match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preference {
    #[default]
    Lowest,
    Newest,
    Largest,
}

/// The user's choice of the JVM.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub pid: Option<i32>,
    /// A part of the main class or of the command line.
    pub matching: Option<String>,
    pub preference: Preference,
}

/// Finds the JVMs and selects one. If there are several, the log has all of them and the choice.
///
/// # Errors
/// When there is no JVM, or not the one that the user named.
pub fn select(proc_root: &Path, selection: &Selection) -> Result<Jvm, DiscoveryError> {
    if let Some(pid) = selection.pid {
        return only(proc_root, pid);
    }
    let mut jvms = discover(proc_root)?;
    if jvms.is_empty() {
        return Err(DiscoveryError::NoJvm { closed: closed_to_us(proc_root)? });
    }
    let several = jvms.len() > 1;
    let found = jvms.iter().map(Jvm::describe).collect::<Vec<_>>().join("; ");
    if let Some(text) = &selection.matching {
        jvms.retain(|jvm| matches(jvm, text));
    }
    let chosen = prefer(jvms, selection.preference).ok_or_else(|| DiscoveryError::NoMatch {
        text: selection.matching.clone().unwrap_or_default(),
        found: found.clone(),
    })?;
    if several {
        log::warn!("several JVMs are here: {found}");
        log::warn!("taking {}; --pid, --match and --select choose another", chosen.describe());
    }
    Ok(chosen)
}

fn matches(jvm: &Jvm, text: &str) -> bool {
    let cmdline = jvm.target.read("cmdline").unwrap_or_default();
    let cmdline = String::from_utf8_lossy(&cmdline).replace('\0', " ");
    cmdline.contains(text) || jvm.main_class.as_deref().is_some_and(|class| class.contains(text))
}

/// Selects by preference. `jvms` is ordered by pid, so the lowest pid wins among equals.
fn prefer(jvms: Vec<Jvm>, preference: Preference) -> Option<Jvm> {
    let mut jvms = jvms.into_iter();
    let first = jvms.next()?;
    Some(jvms.fold(first, |best, jvm| {
        let better = match preference {
            Preference::Lowest => false,
            Preference::Newest => jvm.target.start_ticks() > best.target.start_ticks(),
            Preference::Largest => jvm.resident_bytes > best.resident_bytes,
        };
        if better { jvm } else { best }
    }))
}
