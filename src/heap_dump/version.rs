//! Parses the answer to `VM.version`. No I/O.

/// Updates that repeat a write if it took only part of a buffer (JDK-8303937). 11.0.20, 17.0.8 and 20.0.2 have
/// backports, 21 has it from the start. A file takes all bytes at once, a pipe need not.
const REPAIRED: [(u32, u32); 3] = [(11, 20), (17, 8), (20, 2)];

/// Returns the version, as the JDK names itself.
pub fn jdk(answer: &str) -> &str {
    answer.lines().find(|line| line.starts_with("JDK ")).unwrap_or("a JDK without a version")
}

/// From this version on, `%p` in HeapDumpPath is the process number (JDK-8353727).
const PID_IN_PATH: u32 = 25;

/// Returns whether the JVM puts its process number into the path of its dump.
pub fn expands_pid(answer: &str) -> bool {
    feature_and_update(answer).0 >= PID_IN_PATH
}

/// Returns the two numbers, or 0 for one that is missing.
fn feature_and_update(answer: &str) -> (u32, u32) {
    let number = jdk(answer).trim_start_matches("JDK ");
    let mut numbers = number.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.nth(1).unwrap_or(0))
}

/// Returns whether a pipe may lose bytes. True also if the version cannot be read.
pub fn loses_short_writes(answer: &str) -> bool {
    let (feature, update) = feature_and_update(answer);
    let repaired = REPAIRED.iter().any(|(train, since)| feature == *train && update >= *since);
    feature < 21 && !repaired
}

#[cfg(test)]
mod tests {
    use super::{expands_pid, loses_short_writes};

    #[test]
    fn version_without_the_repair_is_not_trusted() {
        let answer = |version: &str| format!("OpenJDK 64-Bit Server VM version x\nJDK {version}\n");
        for bad in ["11.0.13", "11.0.19.0", "17.0.7", "18.0.2", "20.0.1", "", "17"] {
            assert!(loses_short_writes(&answer(bad)), "{bad}");
        }
        for good in ["11.0.20", "17.0.9", "17.0.18+8-LTS", "20.0.2", "21", "21.0.8", "25.0.2"] {
            assert!(!loses_short_writes(&answer(good)), "{good}");
        }
        assert!(loses_short_writes("no such command"));
    }

    #[test]
    fn a_jvm_without_a_version_takes_its_path_as_it_is() {
        for (version, expands) in [("8.0_482", false), ("24.0.2", false), ("25", true), ("26.0.1+8", true), ("", false)]
        {
            assert_eq!(
                expands_pid(&format!("OpenJDK 64-Bit Server VM version x\nJDK {version}\n")),
                expands,
                "{version}"
            );
        }
    }
}
