//! Parses `/proc/PID/maps` (proc_pid_maps(5)): the files that a process maps show whether it is a JVM. No I/O.

/// Start of the name of the hsperfdata directory (JDK: `perfMemory_posix.cpp`).
const PERF_DIR: &[u8] = b"/hsperfdata_";

/// The virtual machine in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vm {
    HotSpot,
    OpenJ9,
    /// A GraalVM native image with attach support. Its program file shows it, not its mappings.
    NativeImage,
}

impl std::fmt::Display for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::HotSpot => "HotSpot",
            Self::OpenJ9 => "OpenJ9",
            Self::NativeImage => "native image",
        })
    }
}

/// Longest line in bytes: a path of 4,096 bytes (PATH_MAX), in which the kernel may escape each byte by four.
const LINE_MAX: usize = 32 << 10;

/// Parses the text in pieces of any length.
#[derive(Debug, Default)]
pub struct MapsReader {
    mapped: Mapped,
    /// The process's pid in its own pid namespace: the name of its hsperfdata. It may map the file of another JVM, too.
    own: String,
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
}

impl MapsReader {
    /// Returns a reader for the process with this pid in its own pid namespace.
    pub fn of(ns_pid: i32) -> Self {
        Self { own: ns_pid.to_string(), ..Self::default() }
    }

    /// Parses the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// Returns the result of all pieces.
    pub fn finish(mut self) -> Mapped {
        self.end_line();
        self.mapped
    }

    fn end_line(&mut self) {
        self.mapped.see_line(self.line.strip_suffix(b"\n").unwrap_or(&self.line), &self.own);
        self.line.clear();
    }
}

/// The result of the mappings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapped {
    pub vm: Option<Vm>,
    /// The path of the hsperfdata file, as the process sees it.
    pub hsperfdata: Option<String>,
    /// The path of the VM's library, as the process sees it.
    pub library: Option<String>,
}

impl Mapped {
    /// Removes the path `root` from the paths, so that they are as a process with that root sees them.
    #[must_use]
    pub fn below(self, root: &str) -> Self {
        let root = root.trim_end_matches('/');
        let inside = |path: String| match path.strip_prefix(root) {
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            _ => path,
        };
        Self { vm: self.vm, hsperfdata: self.hsperfdata.map(inside), library: self.library.map(inside) }
    }

    fn see_line(&mut self, line: &[u8], own: &str) {
        // The path is the sixth column. It begins with the first slash of the line.
        if let Some(slash) = line.iter().position(|byte| *byte == b'/') {
            self.see(&line[slash..], own);
        }
    }

    fn see(&mut self, path: &[u8], own: &str) {
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if name == b"libjvm.so" && self.vm.is_none() {
            self.vm = Some(Vm::HotSpot);
            self.library = Some(as_text(path));
        } else if name.starts_with(b"libj9vm") {
            // OpenJ9 has a libjvm.so of its own in the same directory.
            self.vm = Some(Vm::OpenJ9);
        } else if (self.hsperfdata.is_none() || name == own.as_bytes())
            && path.windows(PERF_DIR.len()).any(|part| part == PERF_DIR)
        {
            self.hsperfdata = Some(as_text(path));
        }
    }
}

/// Decodes a path. The kernel writes a newline as three octal digits (proc_pid_maps(5)).
fn as_text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).replace("\\012", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Mapped {
        let mut reader = MapsReader::default();
        reader.push(text);
        reader.finish()
    }

    #[test]
    fn jvm_is_known_by_its_library_even_when_replaced() {
        let text = b"7f00-7f01 r-xp 00000000 08:01 9 /opt/jre/lib/server/libjvm.so (deleted)\n";
        assert_eq!(parse(text).vm, Some(Vm::HotSpot));
    }

    #[test]
    fn openj9_is_not_taken_for_hotspot() {
        let text = b"1-2 r-xp 0 08:01 9 /j9/lib/server/libjvm.so\n1-2 r-xp 0 08:01 9 /j9/lib/default/libj9vm29.so\n";
        assert_eq!(parse(text).vm, Some(Vm::OpenJ9));
    }

    #[test]
    fn the_perf_file_is_found_by_its_mapping() {
        let text = b"1-2 rw-s 0 08:01 9 /tmp/hsperfdata_u/12\n1-2 rw-p 0 0 0 [heap]\n";
        assert_eq!(parse(text).hsperfdata.as_deref(), Some("/tmp/hsperfdata_u/12"));
    }

    #[test]
    fn pieces_of_any_length_give_the_same_result() {
        let text = b"1-2 r-xp 0 08:01 9 /opt/jre/lib/server/libjvm.so\n1-2 rw-s 0 08:01 9 /tmp/hsperfdata_u/12\n";
        for length in 1..text.len() {
            let mut reader = MapsReader::default();
            text.chunks(length).for_each(|piece| reader.push(piece));
            assert_eq!(reader.finish(), parse(text), "{length}");
        }
        let endless = [b"1-2 r-xp 0 08:01 9 /".as_slice(), &vec![b'x'; 1 << 20], b"\n", text].concat();
        assert_eq!(parse(&endless), parse(text));
    }

    #[test]
    fn library_with_a_similar_name_is_no_jvm() {
        assert_eq!(parse(b"1-2 r-xp 0 08:01 9 /opt/libjvm.so.bak\n"), Mapped::default());
    }
}
