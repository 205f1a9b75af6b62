//! Version 1 of the attach protocol. No I/O. All versions of HotSpot speak it, also 24 and later (JDK:
//! `attachListener_posix.cpp`, `read_request`; `HotSpotVirtualMachine.java`, `processCompletionStatus`).

/// The longest argument that the JVM takes (JDK: `AttachOperation::arg_length_max`).
pub const ARG_MAX: usize = 1024;

/// An operation that the JVM executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachOperation<'a> {
    name: &'a str,
    args: [&'a str; 2],
}

impl<'a> AttachOperation<'a> {
    /// Runs a diagnostic command, as `jcmd` does.
    pub fn jcmd(command: &'a str) -> Self {
        Self { name: "jcmd", args: [command, ""] }
    }

    /// Runs a diagnostic command, and has the JVM send its answer at the end. JDK 24 and later would else write each line
    /// into the socket, many of them while the application stands still: 2,000 threads took 400 to 900 ms instead of
    /// 130 to 190. Earlier versions know no such option, refuse the operation, and always send the answer at the end
    /// (JDK: `attachListener.cpp`, `parse_options`). The name has 16 bytes, the most of version 1.
    pub fn jcmd_at_once(command: &'a str) -> Self {
        Self { name: "jcmd streaming=0", args: [command, ""] }
    }

    /// Prints all threads with their stacks.
    pub fn threaddump() -> Self {
        Self { name: "threaddump", args: ["", ""] }
    }

    /// Counts instances and bytes of each class, with unreachable objects. Without an argument, or for live objects,
    /// the JVM would make a full collection first (JDK: `attachListener.cpp`, `heap_inspection`, all versions).
    pub fn inspectheap() -> Self {
        Self { name: "inspectheap", args: ["-all", ""] }
    }

    /// Writes a heap dump into `path`, a file that must not exist. A dump of live objects needs a full collection
    /// first. An empty second argument would mean live objects, so the argument is always sent.
    pub fn dumpheap(path: &'a str, live: bool) -> Self {
        Self { name: "dumpheap", args: [path, if live { "-live" } else { "-all" }] }
    }

    /// Returns the value of a flag of the JVM.
    pub fn printflag(flag: &'a str) -> Self {
        Self { name: "printflag", args: [flag, ""] }
    }

    /// Sets a manageable flag of the JVM. A boolean flag takes 1 or 0.
    pub fn setflag(flag: &'a str, value: &'a str) -> Self {
        Self { name: "setflag", args: [flag, value] }
    }

    /// Returns the diagnostic command for a heap dump: native images know no other way. The caller ensures that `path`
    /// contains no character of the command's syntax: blanks, quotes, `=`, `%`.
    pub fn heap_dump_command(path: &str, live: bool) -> String {
        if live { format!("GC.heap_dump {path}") } else { format!("GC.heap_dump -all {path}") }
    }

    /// Returns the diagnostic command for a dump into an existing pipe. One thread writes it, because each further
    /// thread would write a file of its own. The caller checks the path, as in [`AttachOperation::heap_dump_command`].
    pub fn stream_command(path: &str, in_parts: bool, live: bool) -> String {
        let parallel = if in_parts { " -parallel=1" } else { "" };
        let all = if live { "" } else { " -all" };
        format!("GC.heap_dump -overwrite{parallel}{all} {path}")
    }

    pub fn name(&self) -> &str {
        self.name
    }

    /// Returns the request: version, name and always three arguments, each with a NUL. `None` if an argument is too
    /// long or contains NUL: the JVM would close the connection without an answer.
    pub fn request(&self) -> Option<Vec<u8>> {
        let fields = ["1", self.name, self.args[0], self.args[1], ""];
        if fields.iter().any(|field| field.len() > ARG_MAX || field.contains('\0')) {
            return None;
        }
        Some(fields.iter().flat_map(|field| field.bytes().chain([0])).collect())
    }
}

/// The answer of the JVM, up to the end of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub completion_status: i32,
    pub message: String,
}

impl Reply {
    /// Parses a decimal status, a newline and text. `None` without a status: the JVM refused us after it accepted the
    /// connection.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (status, message) = text.split_once('\n').unwrap_or((&text, ""));
        Some(Self { completion_status: status.trim().parse().ok()?, message: message.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_three_arguments_each_with_its_nul() {
        let request = AttachOperation::dumpheap("/tmp/x", false).request().unwrap();
        assert_eq!(request, b"1\0dumpheap\0/tmp/x\0-all\0\0");
        assert_eq!(AttachOperation::jcmd("GC.heap_info").request().unwrap(), b"1\0jcmd\0GC.heap_info\0\0\0");
    }

    #[test]
    fn an_argument_that_the_jvm_would_drop_silently_is_not_sent() {
        assert_eq!(AttachOperation::dumpheap(&"x".repeat(ARG_MAX + 1), true).request(), None);
        assert_eq!(AttachOperation::jcmd("a\0b").request(), None);
    }

    #[test]
    fn a_reply_is_a_status_and_text() {
        let reply = Reply::parse(b"-1\nOperation xyz not recognized!\n").unwrap();
        assert_eq!((reply.completion_status, reply.message.as_str()), (-1, "Operation xyz not recognized!\n"));
        assert_eq!(Reply::parse(b"101").unwrap().completion_status, 101);
        assert_eq!(Reply::parse(b""), None);
        assert_eq!(Reply::parse(b"what\nnot"), None);
    }
}
