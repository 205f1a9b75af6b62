//! Parses `/proc/PID/limits` (proc_pid_limits(5)). No I/O.

/// Returns the largest file in bytes that the process may write (RLIMIT_FSIZE, setrlimit(2)); `None` without a limit.
pub fn max_file_size(text: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(text);
    let values = text.lines().find_map(|line| line.strip_prefix("Max file size"))?;
    // The first column is the soft limit, which the kernel enforces.
    values.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::max_file_size;

    #[test]
    fn soft_limit_of_file_size_is_told() {
        let text = |soft: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max cpu time              unlimited            unlimited            seconds   \n\
                 Max file size             {soft:<20} 4194304              bytes     \n"
            )
        };
        assert_eq!(max_file_size(text("1048576").as_bytes()), Some(1 << 20));
        assert_eq!(max_file_size(text("unlimited").as_bytes()), None);
        assert_eq!(max_file_size(b""), None);
    }
}
