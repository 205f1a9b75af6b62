//! Chooses the sections of `VM.info` that may be stored. No I/O. The JVM prints its command line, system properties,
//! environment, options of agents and messages of exceptions there as well (JDK: `vmError.cpp`, `VMError::report` and
//! `VMError::print_vm_info`), so only known sections are taken.

use std::collections::BTreeMap;

use super::section;

/// Starts of the first lines of sections without text of the application. A section ends at an empty line.
const ALLOWED: &[&str] = &[
    "Host: ",
    "Heap address: ",
    "Compressed class space ",
    "CDS archive",
    "GC Precious Log:",
    "Heap:",
    "Metaspace:",
    "Usage:",
    "Virtual space:",
    "Chunk freelists:",
    "MaxMetaspaceSize: ",
    "CodeHeap '",
    "CodeCache: ",
    "OutOfMemory and StackOverflow Exception counts:",
    "GC Heap History (",
    "GC Heap Usage History (",
    "Metaspace Usage History (",
    "VM Operations (",
    "OS:",
    "uname:",
    "OS uptime: ",
    "libc: ",
    "rlimit ",
    "load average: ",
    "/proc/meminfo:",
    "/sys/kernel/mm/transparent_hugepage/",
    "Process Memory:",
    "/proc/sys/kernel/threads-max",
    "container (cgroup) information:",
    "CPU: ",
    "CPU:total",
    "Memory: ",
    "vm_info: ",
];

/// Returns the sections that may be stored.
pub(super) fn allowed(report: &str) -> String {
    let blocks = || report.split("\n\n").map(|block| block.trim_matches('\n')).filter_map(|block| titled(block));
    // An argument may have line breaks and look like a section. The JVM prints each argument twice, so a title that
    // comes twice shows nothing.
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    blocks().for_each(|(title, _)| *seen.entry(title).or_default() += 1);
    let once = blocks().filter(|(title, _)| seen.get(title) == Some(&1));
    once.map(|(title, block)| section(title.trim_end_matches([' ', ':', '(', '\'']), block)).collect()
}

/// Returns the title of a section that may be stored, and the section. Blank lines may hold blanks.
fn titled(block: &str) -> Option<(&'static str, &str)> {
    let block = block.trim_start_matches([' ', '\n']);
    let title = ALLOWED.iter().find(|title| block.starts_with(**title))?;
    Some((title, block))
}

#[cfg(test)]
mod tests {
    use super::allowed;

    const REPORT: &str = "#\n# JRE version: OpenJDK\n\n---------------  S U M M A R Y ------------\n\n\
        Command Line: -Dsecret=hunter2 -Dpem=-----BEGIN\n\nHeap:\nhunter2\n\nMemory: hunter2\n x\n\n\
        Host: Xeon, 2 cores\nTime: now\n\nHeap:\n garbage-first heap total 1K\n\n\
        Internal exceptions (1 events):\nEvent: 1 Exception <hunter2>\n\n\
        JVMTI agents: agent.jar=hunter2\n\n\
        VM Arguments:\njvm_args: -Dsecret=hunter2 -Dpem=-----BEGIN\n\nHeap:\nhunter2\n\nMemory: hunter2\n x\njava_command: \
        Main hunter2\n\nEnvironment Variables:\nJAVA_TOOL_OPTIONS=hunter2\n\nOS:\nNAME=Debian\n\n\
        CPU: total 2\nflags: fpu\n\nEND.\n";

    #[test]
    fn only_known_sections_are_taken() {
        let text = allowed(REPORT);
        for taken in ["Host: Xeon", "Time: now", "NAME=Debian", "flags: fpu"] {
            assert!(text.contains(taken), "{taken}: {text}");
        }
        for left in ["Command Line", "JVMTI", "exceptions", "java_command", "Environment"] {
            assert!(!text.contains(left), "{left}: {text}");
        }
    }

    #[test]
    fn argument_that_looks_like_a_section_is_not_taken() {
        assert!(!allowed(REPORT).contains("hunter2"));
        assert!(allowed(&REPORT.replace("\n\nHeap:\nhunter2", "")).contains("garbage-first heap"));
    }
}
