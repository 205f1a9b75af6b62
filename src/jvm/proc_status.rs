//! Parses `/proc/PID/status` (proc_pid_status(5)). No I/O. A field that a kernel does not have is `None`.

/// Number of the signal, the same on all architectures that we build for (signal(7)).
pub const SIGQUIT: u32 = 3;

/// The fields that an attach needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcStatus {
    pub name: String,
    /// The effective uid.
    pub euid: Option<u32>,
    pub egid: Option<u32>,
    /// The supplementary ones.
    pub groups: Vec<u32>,
    /// The process id in the innermost pid namespace (since Linux 4.1).
    pub ns_pid: Option<i32>,
    pub threads: Option<u32>,
    /// Mask of the signals that a handler catches.
    pub sig_cgt: Option<u64>,
    pub state: Option<char>,
    /// False early when a process ends (Linux: `fs/proc/array.c` writes the fields of memory only where there is some).
    pub has_memory: bool,
}

impl ProcStatus {
    /// Parses the text of the file.
    pub fn parse(text: &[u8]) -> Self {
        let mut status = Self::default();
        for line in String::from_utf8_lossy(text).lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            status.set(key, value.trim());
        }
        status
    }

    fn set(&mut self, key: &str, value: &str) {
        match key {
            "Name" => value.clone_into(&mut self.name),
            "State" => self.state = value.chars().next(),
            "Uid" => self.euid = column(value, 1),
            "Gid" => self.egid = column(value, 1),
            "Groups" => self.groups = value.split_whitespace().filter_map(|group| group.parse().ok()).collect(),
            "NSpid" => self.ns_pid = value.split_whitespace().last().and_then(|v| v.parse().ok()),
            "VmSize" => self.has_memory = true,
            "Threads" => self.threads = value.parse().ok(),
            "SigCgt" => self.sig_cgt = u64::from_str_radix(value, 16).ok(),
            _ => {}
        }
    }

    /// Returns whether a handler catches the signal; `None` if the kernel does not say.
    pub fn catches(&self, signal: u32) -> Option<bool> {
        self.sig_cgt.map(|mask| mask & (1 << (signal - 1)) != 0)
    }

    /// Returns whether a signal or a debugger has stopped the process. It handles nothing until it goes on.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, Some('T' | 't'))
    }

    /// Returns whether the process runs or could run. A process that ends gives up its memory first, then its sockets
    /// (Linux: `kernel/exit.c`, `do_exit`).
    pub fn is_alive(&self) -> bool {
        !self.is_zombie() && self.has_memory
    }

    /// Returns whether the process is dead but not yet reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, Some('Z' | 'X'))
    }
}

fn column(value: &str, index: usize) -> Option<u32> {
    value.split_whitespace().nth(index)?.parse().ok()
}

/// Returns field 22 of `/proc/PID/stat`: the start time in clock ticks since boot (proc_pid_stat(5)). The name in field
/// 2 may contain blanks and parentheses, so counting starts after the last parenthesis.
pub fn start_ticks(stat: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(stat);
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JVM: &str = "Name:\tjava\nState:\tS (sleeping)\nTgid:\t4711\nNSpid:\t4711\t1\nUid:\t1000\t1001\t1000\t1000\n\
                       Gid:\t0\t2000\t0\t0\nGroups:\t4 2000 \nThreads:\t23\nSigCgt:\t2000000181005ccf\n";

    #[test]
    fn the_effective_ids_and_the_innermost_pid_are_read() {
        let status = ProcStatus::parse(JVM.as_bytes());
        assert_eq!(
            (status.euid, status.egid, status.ns_pid, status.threads),
            (Some(1001), Some(2000), Some(1), Some(23))
        );
        assert_eq!(status.groups, [4, 2000]);
        assert_eq!(status.catches(SIGQUIT), Some(true));
        assert!(!status.is_zombie());
    }

    #[test]
    fn process_that_ends_has_no_memory() {
        let lives = ProcStatus::parse(b"State:\tS (sleeping)\nVmSize:\t  8864028 kB\nThreads:\t21\n");
        let ends = ProcStatus::parse(b"State:\tS (sleeping)\nThreads:\t3\n");
        assert!(lives.has_memory && !ends.has_memory);
        assert!(ProcStatus::parse(b"State:\tT (stopped)\n").is_stopped() && !lives.is_stopped());
    }

    #[test]
    fn a_jvm_with_xrs_does_not_catch_sigquit() {
        let status = ProcStatus::parse(b"SigCgt:\t2000000000001cc8\n");
        assert_eq!(status.catches(SIGQUIT), Some(false));
    }

    #[test]
    fn field_missing_in_old_kernels_is_unknown_not_zero() {
        let status = ProcStatus::parse(b"Name:\tjava\n");
        assert_eq!((status.ns_pid, status.catches(SIGQUIT), status.euid), (None, None, None));
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_start_time() {
        let stat = b"7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0";
        assert_eq!(start_ticks(stat), Some(123_456));
        assert_eq!(start_ticks(b"7 (a"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = ProcStatus::parse(&bytes);
            let _ = start_ticks(&bytes);
        }
    }
}
