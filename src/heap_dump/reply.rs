//! Parses the JVM's answer about a dump. No I/O. The completion status does not help: it is 0 even if the dump failed
//! (JDK: `attachListener.cpp`, `dump_heap`; `heapDumper.cpp`, `HeapDumper::dump`).

/// The JVM's own judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// The JVM says that the dump is whole.
    Created,
    /// The JVM says something else: these words.
    Failed(String),
}

/// Judges the text of the answer.
pub fn judge(message: &str) -> Judgement {
    let last = message.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no words at all");
    // The second form is that of a native image.
    if last.starts_with("Heap dump file created") || last.starts_with("Dumped to:") {
        Judgement::Created
    } else {
        Judgement::Failed(last.to_owned())
    }
}

/// Returns the seconds in "[N bytes in S secs]": the time from the first byte to the last, for which the application
/// waits.
pub fn seconds(message: &str) -> Option<f64> {
    let (before, _) = message.split_once(" secs]")?;
    before.rsplit(' ').next()?.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_for_a_whole_dump_count() {
        assert_eq!(
            judge("Dumping heap to /d/h ...\nHeap dump file created [12 bytes in 0.034 secs]\n"),
            Judgement::Created
        );
        assert_eq!(judge("Heap dump file created\n"), Judgement::Created);
        for failure in
            ["File exists", "Dump file is incomplete: No space left on device", "Unable to create /d/h: File exists"]
        {
            assert_eq!(judge(&format!("Dumping heap to /d/h ...\n{failure}\n")), Judgement::Failed(failure.into()));
        }
        assert!(matches!(judge(""), Judgement::Failed(_)));
    }

    #[test]
    fn the_pause_is_read_where_the_jvm_tells_it() {
        assert_eq!(seconds("Heap dump file created [12 bytes in 0.034 secs]\n"), Some(0.034));
        assert_eq!(seconds("Heap dump file created\n"), None);
    }
}
