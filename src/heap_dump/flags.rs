//! Parses flags in the answers of a JVM. No I/O. Only some flags of the answer to `VM.flags` may be shown, because
//! commands and free text may hold secrets.

/// Returns the flags whose value is a switch, a number or a path, one in a line.
pub fn safe_flags(text: &str) -> String {
    let flags = text.split(" -XX:").map(|flag| flag.trim().trim_start_matches("-XX:").trim());
    flags.filter(|flag| is_safe(flag)).map(|flag| format!("-XX:{flag}\n")).collect()
}

/// Returns the value of one flag from the answer to `printflag` (JDK: `JVMFlag::print_as_flag`).
pub fn value_of<'a>(answer: &'a str, flag: &str) -> Option<&'a str> {
    let value = answer.trim_end_matches('\n').strip_prefix("-XX:")?.strip_prefix(flag)?.strip_prefix('=')?;
    // The JVM prints a text of several lines as several flags.
    (!value.contains('\n')).then_some(value)
}

/// Returns whether a switch is on, from the answer to `printflag`; `None` if there is no switch of this name. The
/// answer has a sign, not a value (JDK: `JVMFlag::print_as_flag`).
pub fn is_on(answer: &str, flag: &str) -> Option<bool> {
    let switch = answer.trim_end_matches('\n').strip_prefix("-XX:")?;
    match switch.split_at_checked(1)? {
        (sign @ ("+" | "-"), name) if name == flag => Some(sign == "+"),
        _ => None,
    }
}

/// Returns whether a switch is on, from the answer to `VM.flags -all`: type, name, `=`, value, kind (JDK:
/// `JVMFlag::print_on`).
pub fn is_on_in_list(list: &str, flag: &str) -> bool {
    let mut words = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.any(|words| matches!(words[..], ["bool", name, "=" | ":=", "true", ..] if name == flag))
}

/// Replaces `%p` in a path by the process number (JDK: `Arguments::copy_expand_pid`).
pub fn with_pid(path: &str, pid: i32) -> String {
    let pieces = path.split("%%").map(|piece| piece.replace("%p", &pid.to_string()));
    pieces.collect::<Vec<_>>().join("%")
}

fn is_safe(flag: &str) -> bool {
    if let Some(name) = flag.strip_prefix(['+', '-']) {
        return is_word(name);
    }
    let Some((name, value)) = flag.split_once('=') else { return false };
    let is_place =
        ["Path", "File", "Dir"].iter().any(|end| name.ends_with(end)) && !value.contains(char::is_whitespace);
    is_word(name) && (is_number(value) || is_place)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::{is_on, is_on_in_list, safe_flags, value_of, with_pid};

    #[test]
    fn only_switches_numbers_and_paths_are_shown() {
        let text = "-XX:CICompilerCount=2 -XX:HeapDumpPath=/dumps -XX:MaxHeapSize=209715200 \
                    -XX:OnOutOfMemoryError=curl -H token:hunter2 http://x -XX:+UseSerialGC \
                    -XX:StartFlightRecording=password=hunter2 -XX:GCLockerRetryAllocationCount=2 \n";
        let safe = "-XX:CICompilerCount=2\n-XX:HeapDumpPath=/dumps\n-XX:MaxHeapSize=209715200\n-XX:+UseSerialGC\n\
                    -XX:GCLockerRetryAllocationCount=2\n";
        assert_eq!(safe_flags(text), safe);
        assert_eq!(safe_flags("Unknown diagnostic command"), "");
    }

    #[test]
    fn the_process_number_is_put_where_the_jvm_puts_it() {
        assert_eq!(with_pid("/d-%p/%%p-%t.hprof", 7), "/d-7/%p-%t.hprof");
    }

    /// The answers are those of JDK 28.
    #[test]
    fn switch_has_a_sign_and_in_the_list_a_value() {
        assert_eq!(is_on("-XX:+UseCompactObjectHeaders\n", "UseCompactObjectHeaders"), Some(true));
        assert_eq!(is_on("-XX:-UseCompactObjectHeaders\n", "UseCompactObjectHeaders"), Some(false));
        assert_eq!(is_on("no such flag 'UseCompactObjectHeaders'\n", "UseCompactObjectHeaders"), None);
        let list = |value: &str| {
            let line = format!("     bool UseArrayFlattening        = {value}         {{diagnostic}} {{default}}\n");
            format!("[Global flags]\n{line}     bool UseG1GC = true {{product}} {{ergonomic}}\n")
        };
        assert!(is_on_in_list(&list("true"), "UseArrayFlattening"));
        assert!(!is_on_in_list(&list("false"), "UseArrayFlattening"));
        assert!(!is_on_in_list(&list("true"), "UseFieldFlattening"));
    }

    #[test]
    fn value_of_several_lines_is_not_returned() {
        assert_eq!(value_of("-XX:MaxHeapSize=209715200\n", "MaxHeapSize"), Some("209715200"));
        assert_eq!(value_of("-XX:HeapDumpPath=/a b.hprof\n", "HeapDumpPath"), Some("/a b.hprof"));
        assert_eq!(value_of("-XX:HeapDumpPath=\n", "HeapDumpPath"), Some(""));
        for other in ["no such flag 'HeapDumpPath'\n", "", "-XX:HeapDumpPath=/a\n-XX:HeapDumpPath+=/b\n"] {
            assert_eq!(value_of(other, "HeapDumpPath"), None, "{other}");
        }
    }
}
