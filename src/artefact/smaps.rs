//! Adds up `/proc/PID/smaps` (proc_pid_smaps(5)) by category. No I/O. No path is shown.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Longest line in bytes: a path of 4,096 bytes (PATH_MAX), in which the kernel may escape each byte by four.
const LINE_MAX: usize = 32 << 10;

/// Number of single mappings that are shown.
const LARGEST: usize = 20;

/// Amounts in KiB.
#[derive(Debug, Clone, Copy, Default)]
struct Amounts {
    mappings: u64,
    size: u64,
    rss: u64,
    pss: u64,
    anonymous: u64,
    swap: u64,
}

impl Amounts {
    fn add(&mut self, other: &Self) {
        self.mappings += other.mappings;
        self.size += other.size;
        self.rss += other.rss;
        self.pss += other.pss;
        self.anonymous += other.anonymous;
        self.swap += other.swap;
    }
}

/// A mapping whose fields are still being read.
#[derive(Debug, Default)]
struct Mapping {
    range: String,
    perms: String,
    category: &'static str,
    amounts: Amounts,
}

/// Reads the file in pieces of any length.
#[derive(Debug, Default)]
pub(super) struct Smaps {
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
    mapping: Option<Mapping>,
    categories: BTreeMap<&'static str, Amounts>,
    largest: Vec<Mapping>,
}

impl Smaps {
    pub fn push(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                self.line(line.trim_end());
            }
        }
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { return };
        let Some(field) = first.strip_suffix(':') else {
            self.end_mapping();
            let path = line.splitn(6, ' ').nth(5).unwrap_or_default().trim_start();
            let category = category(path, second);
            let amounts = Amounts { mappings: 1, ..Amounts::default() };
            self.mapping = Some(Mapping { range: first.to_owned(), perms: second.to_owned(), category, amounts });
            return;
        };
        let (Some(mapping), Ok(kib)) = (&mut self.mapping, second.parse()) else { return };
        match field {
            "Size" => mapping.amounts.size = kib,
            "Rss" => mapping.amounts.rss = kib,
            "Pss" => mapping.amounts.pss = kib,
            "Anonymous" => mapping.amounts.anonymous = kib,
            "Swap" => mapping.amounts.swap = kib,
            _ => {}
        }
    }

    fn end_mapping(&mut self) {
        let Some(mapping) = self.mapping.take() else { return };
        self.categories.entry(mapping.category).or_default().add(&mapping.amounts);
        self.largest.push(mapping);
        if self.largest.len() > 2 * LARGEST {
            self.keep_largest();
        }
    }

    fn keep_largest(&mut self) {
        self.largest.sort_by_key(|mapping| std::cmp::Reverse(mapping.amounts.rss));
        self.largest.truncate(LARGEST);
    }

    /// Returns the sums as text, in KiB.
    pub fn finish(mut self) -> String {
        self.end_mapping();
        self.keep_largest();
        let mut all = Amounts::default();
        let mut rows: Vec<_> = self.categories.iter().collect();
        rows.sort_by_key(|(_, amounts)| std::cmp::Reverse(amounts.rss));
        let mut text = String::from("  resident       PSS anonymous   swapped       mapped count  category (KiB)\n");
        let mut row = |name: &str, a: &Amounts| {
            let Amounts { mappings, size, rss, pss, anonymous, swap } = a;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{rss:>10} {pss:>9} {anonymous:>9} {swap:>9} {size:>12} {mappings:>5}  {name}");
        };
        for (name, amounts) in rows {
            row(name, amounts);
            all.add(amounts);
        }
        row("all", &all);
        text += "\nthe largest mappings by resident KiB\n";
        for Mapping { range, perms, category, amounts } in &self.largest {
            let _ = writeln!(text, "{:>10} {range} {perms} {category}", amounts.rss);
        }
        text
    }
}

fn category(path: &str, perms: &str) -> &'static str {
    let path = path.trim_end_matches(" (deleted)");
    let is_in_memory = ["/dev/shm/", "/memfd:", "/dev/zero", "/SYSV"].iter().any(|start| path.starts_with(start));
    let ends = |tails: &[&str]| tails.iter().any(|tail| path.ends_with(tail));
    match path {
        "[heap]" => "malloc: [heap]",
        "" if perms.starts_with("---") => "reserved",
        path if path.is_empty() || path.starts_with("[anon") => match perms.contains('x') {
            true => "anonymous, executable: compiled code",
            false => "anonymous: Java heap, metaspace, stacks, malloc",
        },
        path if path.starts_with("[stack") => "stack of the first thread",
        path if path.starts_with('[') => "of the kernel",
        path if path.contains("/hsperfdata_") => "performance counters (hsperfdata)",
        // ZGC has its heap there (JDK: `zPhysicalMemoryBacking_linux.cpp`).
        _ if is_in_memory => "shared memory: heap of ZGC, /dev/shm",
        path if path.contains(".so") => "shared libraries",
        _ if ends(&["/modules", ".jar", ".jsa", ".jmod", ".war"]) => "classes: jars, modules, archives",
        _ => "other files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_added_up_by_category() {
        let text = "f3800000-100000000 rw-p 00000000 00:00 0 \nSize:  204800 kB\nRss:  1000 kB\nPss: 900 kB\n\
                    Anonymous: 1000 kB\nSwap: 5 kB\nVmFlags: rd wr\n\
                    100000000-140000000 ---p 00000000 00:00 0 \nSize: 1048576 kB\nRss: 0 kB\n\
                    7f0000000000-7f0000100000 r-xp 00000000 fe:00 7    /opt/secret dir/libjvm.so\nSize: 1024 kB\nRss: 24 kB\n\
                    7f0000200000-7f0000300000 rwxp 00000000 00:00 0 \nSize: 1024 kB\nRss: 12 kB\n";
        // Pieces of any length.
        for length in [1, 7, 4096] {
            let mut smaps = Smaps::default();
            text.as_bytes().chunks(length).for_each(|piece| smaps.push(piece));
            let sums = smaps.finish();
            let row = |name: &str| {
                let line = sums.lines().find(|line| line.ends_with(name)).unwrap_or_else(|| panic!("{name}: {sums}"));
                line.split_ascii_whitespace().take(6).map(|n| n.parse::<u64>().unwrap()).collect::<Vec<_>>()
            };
            assert_eq!(row("stacks, malloc"), [1000, 900, 1000, 5, 204_800, 1]);
            assert_eq!(row("shared libraries"), [24, 0, 0, 0, 1024, 1]);
            assert_eq!(row("all"), [1036, 900, 1000, 5, 1_255_424, 4]);
            assert!(!sums.contains("secret"), "{sums}");
        }
    }

    #[test]
    fn categories_are_those_of_a_jvm() {
        for (path, perms, what) in [
            ("[heap]", "rw-p", "malloc"),
            ("", "---p", "reserved"),
            ("[anon:java stack]", "rw-p", "anonymous:"),
            ("/memfd:java_heap (deleted)", "rw-s", "shared memory"),
            ("/tmp/hsperfdata_root/7", "rw-s", "performance"),
            ("/opt/java/lib/modules", "r--s", "classes"),
            ("/usr/lib/libc.so.6", "r-xp", "shared libraries"),
            ("[vdso]", "r-xp", "of the kernel"),
            ("/opt/java/bin/java", "r-xp", "other files"),
        ] {
            assert!(category(path, perms).starts_with(what), "{path}: {}", category(path, perms));
        }
    }
}
