//! Parses the answer to `VM.info`: how often the JVM ran out of memory (JDK: `exceptions.cpp`,
//! `Exceptions::print_exception_counts_on_error`, from JDK 9 on). No I/O.

/// The error of a thread that could not be started. The JVM counts it with the others, but does not dump then (JDK:
/// `jvm.cpp`, `JVM_StartThread`).
const NO_THREAD: &str = "unable to create native thread";

/// Returns the number of errors at which the JVM dumps, if it is armed; `None` if the text is no answer to `VM.info`.
pub fn out_of_memory_errors(text: &str) -> Option<u64> {
    // An answer has the head of an error report.
    if !text.contains("S U M M A R Y") {
        return None;
    }
    let counts = text.lines().filter_map(|line| line.trim().strip_prefix("OutOfMemoryError ")?.split_once("_errors="));
    let thrown = counts.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).fold(0, u64::saturating_add);
    let events = text.lines().filter(|line| line.starts_with("Event: ") && line.contains("OutOfMemoryError"));
    let without_thread = events.filter(|line| line.contains(NO_THREAD)).count() as u64;
    Some(thrown.saturating_sub(without_thread))
}

#[cfg(test)]
mod tests {
    use super::out_of_memory_errors;

    /// The answer is that of JDK 17.
    #[test]
    fn errors_at_which_the_jvm_dumps_are_counted() {
        let head = "#\n# JRE version: OpenJDK\n---------------  S U M M A R Y ------------\n";
        let counts = "OutOfMemory and StackOverflow Exception counts:\nOutOfMemoryError java_heap_errors=2\n\
                      OutOfMemoryError class_metaspace_errors=1\nStackOverflowErrors=3\n";
        assert_eq!(out_of_memory_errors(head), Some(0));
        assert_eq!(out_of_memory_errors(&format!("{head}{counts}")), Some(3));
        let threads = "Event: 0.3 Thread 0x1 Exception <a 'java/lang/OutOfMemoryError'{0x2}: unable to create native \
                       thread: possibly out of memory or process/resource limits reached> (0x2)\n";
        assert_eq!(out_of_memory_errors(&format!("{head}OutOfMemoryError java_heap_errors=1\n{threads}")), Some(0));
        assert_eq!(out_of_memory_errors("Unknown diagnostic command"), None);
    }
}
