//! The names of all files that runs and watchers make: each stands here, and nowhere else.
//!
//! The name of an object says that the dump is whole: `upload --resume` stores it even without a journal, for which there
//! may have been no room. So half a dump has another name, and a dump changes its name when it is kept.
//!
//! | name | state of the dump | meaning |
//! |---|---|---|
//! | `jmap-dump-tool-XXXXXX` | | the private directory of one run; the six digits are the run's id |
//! | `jmap-dump-tool-XXXXXX.gone` | | the same while it is being removed: a JVM that comes late finds no path into it |
//! | `heap.hprof`, `heap.hprof.pN` | raw | the dump, and its parts from JDK 22 on |
//! | `empty.N` | raw | an empty file that takes the place of a part which was read |
//! | `spool.hprof.gz` | sealed, with its journal | the compressed dump |
//! | `sorted.new` | sealed | a copy in the object's order, until it is complete |
//! | `sealed-by-root.json` | sealed | root's proof of a dump in another user's directory |
//! | `FILE.upload` | raw, sealed, kept | the journal of FILE |
//! | `….new` | | a file until it is complete: nobody takes one of this name |
//! | `OBJECT.hprof.gz` | kept, with its journal | a dump that waits for the store, under the name of its object |
//! | `kept-FILE` | kept, without a journal | a dump that only a person may remove |
//! | `.OBJECT.part` | | an object of a local store until it is complete; a download until it is checked |
//! | `.OBJECT.sorted` | | a copy of the `.part` in the object's order, until it is complete |
//! | `FILE.part.pieces` | | which pieces of a download are there |
//! | `DIR/jmap-dump-tool/` | kept | dumps that a watcher has taken and not yet stored |
//! | `DIR/jmap-dump-tool/stored/` | stored | dumps that are stored and stay (`--keep`) |
//! | `unverified-FILE` | stored | below `stored/`: the store has acknowledged the object, and nobody could verify it |
//! | `status.json` | | how the watcher is, for probes |

use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;

/// Begins the name of a private directory. The run's id follows.
pub const PRIVATE_DIR: &str = "jmap-dump-tool-";

/// Ends the name of a private directory that is being removed.
pub const GONE: &str = ".gone";

/// The raw dump.
pub const RAW: &str = "heap.hprof";

/// Begins what the JVM adds to the name of a part: `.p0` (JDK: `heapDumper.cpp`, `.p<number>`).
const RAW_PART: &str = ".p";

/// Begins the name of an empty file in the place of a part.
pub const EMPTY: &str = "empty.";

/// The compressed dump.
pub const SPOOL: &str = "spool.hprof.gz";

/// The compressed dump in the object's order, until it is complete.
pub const SORTED: &str = "sorted.new";

/// Root's proof of a sealed dump.
pub const PROOF: &str = "sealed-by-root.json";

/// Ends the name of a journal, which begins with that of its file.
pub const JOURNAL: &str = ".upload";

/// Ends the name of a small file until it is complete: a journal, a text beside an object, the watcher's status.
pub const NEW: &str = ".new";

/// Begins the name of a file that no run removes.
pub const KEPT: &str = "kept-";

/// Ends the name of a file that is not complete.
pub const PART: &str = ".part";

/// The extension of a copy of [`PART`] in the object's order.
pub const SORTED_PART: &str = "sorted";

/// Ends the name of the list of a download's pieces.
pub const PIECES: &str = ".pieces";

/// The directory of a watcher, in the one that is watched.
pub const WAITING: &str = "jmap-dump-tool";

/// Below [`WAITING`]: dumps that are stored, and stay.
pub const STORED: &str = "stored";

/// Begins the name of a stored file whose object nobody could verify.
pub const UNVERIFIED: &str = "unverified-";

/// The watcher's status.
pub const STATUS: &str = "status.json";

/// Returns the name of a part of the dump `file`.
pub fn part_name(file: &str, number: impl Display) -> String {
    format!("{file}{RAW_PART}{number}")
}

/// Returns how the names of all parts of the dump `file` begin.
pub fn part_prefix(file: &str) -> String {
    format!("{file}{RAW_PART}")
}

/// Returns the dump that a file of this name is a part of, and the number of the part.
pub fn part_of(name: &OsStr) -> Option<(&OsStr, u16)> {
    let bytes = name.as_bytes();
    let at = bytes.windows(RAW_PART.len()).rposition(|window| window == RAW_PART.as_bytes())?;
    let number = std::str::from_utf8(&bytes[at + RAW_PART.len()..]).ok()?.parse().ok()?;
    Some((OsStr::from_bytes(&bytes[..at]), number))
}

/// Returns whether a run makes directories of this name.
pub fn is_private_dir(name: &OsStr) -> bool {
    let id = name.as_bytes().strip_prefix(PRIVATE_DIR.as_bytes());
    let id = id.map(|id| id.strip_suffix(GONE.as_bytes()).unwrap_or(id));
    id.is_some_and(|id| id.len() == 6 && id.iter().all(u8::is_ascii_hexdigit))
}

/// Returns whether a file of this name in a private directory is worth nothing without a journal.
pub fn is_temporary(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    [SPOOL, RAW, PROOF].iter().any(|own| name == *own)
        || bytes.ends_with(NEW.as_bytes())
        || bytes.strip_prefix(RAW.as_bytes()).is_some_and(|part| part.starts_with(RAW_PART.as_bytes()))
        || bytes.starts_with(EMPTY.as_bytes())
}

/// Returns the name of the journal of a file.
pub fn journal_name(file: &str) -> String {
    format!("{file}{JOURNAL}")
}

/// Returns whether a file of this name is a journal.
pub fn is_journal(name: &OsStr) -> bool {
    file_of(name).is_some()
}

/// Returns the name of the file that a journal of this name lies beside.
pub fn file_of(journal: &OsStr) -> Option<&OsStr> {
    journal.as_bytes().strip_suffix(JOURNAL.as_bytes()).map(OsStr::from_bytes)
}
