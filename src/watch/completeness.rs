//! Tells from the content of a file whether it is a dump, and whether its writer is done with it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use glob::Pattern;

use super::parts::{is_part, parts_of};
use crate::compress::gunzip::Gunzip;
use crate::files::entry::HeldDir;
use crate::files::leases::is_written;
use crate::files::regular_file::{Access, NotRegular};
use crate::hprof::records::{END_RECORD, MAGIC, tag};

/// A file that nobody writes, but that has no end, was left by a JVM that died: once it has been so for this long.
const STALE: Duration = Duration::from_secs(3);

/// Where nobody can tell whether a file is being written, it counts as written while it changes this often.
const QUIET: Duration = Duration::from_secs(10);

/// A dump without its end counts as written while it changes this often: a slow disk holds up its writer.
const LONG_QUIET: Duration = Duration::from_secs(300);

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Dump {
        gzipped: bool,
    },
    /// One that a pattern names.
    Other {
        gzipped: bool,
    },
}

/// The result of one look at a file.
#[derive(Debug)]
pub enum Seen {
    /// Nothing that is looked for.
    Foreign,
    /// Somebody still writes it, or may.
    Growing,
    Complete(Kind),
    Unreadable(io::Error),
}

/// Looks at the file of this name.
pub fn look(dir: &Arc<HeldDir>, name: &OsStr, patterns: &[Pattern]) -> Seen {
    let wanted = patterns.iter().any(|pattern| pattern.matches(&name.to_string_lossy()));
    let file = match dir.entry(name).open(Access::Read) {
        Ok(file) => file,
        Err(error) if NotRegular::of(&error).is_some() => return Seen::Foreign,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Seen::Foreign,
        Err(error) if wanted || may_be_a_dump(dir, name, &error) => return Seen::Unreadable(error),
        Err(_) => return Seen::Foreign,
    };
    match look_into(&file, dir, name, wanted) {
        Ok(seen) => seen,
        Err(error) => Seen::Unreadable(error),
    }
}

fn look_into(file: &File, dir: &Arc<HeldDir>, name: &OsStr, wanted: bool) -> io::Result<Seen> {
    let meta = file.metadata()?;
    if is_part(dir, name) {
        return Ok(Seen::Foreign);
    }
    let named = parts_of(&dir.entry(name));
    let parts: Vec<File> = named.iter().filter_map(|part| part.open(Access::Read).ok()).collect();
    let age = age_of(file, &parts)?;
    let (is_dump, gzipped) = magic(file)?;
    if !is_dump && !wanted {
        // An empty file may become a dump.
        let may_become = meta.len() < MAGIC.len() as u64 && age < STALE;
        return Ok(if may_become { Seen::Growing } else { Seen::Foreign });
    }
    let kind = if is_dump { Kind::Dump { gzipped } } else { Kind::Other { gzipped } };
    let ended = is_dump && !gzipped && has_end(file, meta.len())? && named.is_empty();
    let done = match any_is_written(file, &parts) {
        Ok(true) => false,
        Ok(false) if !is_dump || gzipped => true,
        Ok(false) => ended || age >= STALE,
        Err(error) => {
            log::debug!("{}: whether it is being written cannot be told: {error}", dir.entry(name).path().display());
            age >= if ended { QUIET } else { LONG_QUIET }
        }
    };
    Ok(if done { Seen::Complete(kind) } else { Seen::Growing })
}

/// Whether one of the files is being written; an error where nobody can tell.
fn any_is_written(file: &File, parts: &[File]) -> io::Result<bool> {
    std::iter::once(file).chain(parts).try_fold(false, |any, file| Ok(any | is_written(file)?))
}

/// Since the last change of any of them. The JVM writes the heap into the parts while the head stays as it is.
fn age_of(file: &File, parts: &[File]) -> io::Result<Duration> {
    let ages =
        std::iter::once(file).chain(parts).map(|file| Ok(file.metadata()?.modified()?.elapsed().unwrap_or_default()));
    ages.reduce(|one, other| Ok(one?.min(other?))).unwrap_or(Ok(Duration::ZERO))
}

/// A member's header may hold 64 KiB beside names and comments (RFC 1952, section 2.3.1), and members without content may
/// come first.
const HEAD_MAX: u64 = 256 << 10;

/// Whether it is a heap dump, and whether it is gzipped.
fn magic(file: &File) -> io::Result<(bool, bool)> {
    let mut head = [0; MAGIC.len()];
    let n = file.read_at(&mut head, 0)?;
    if !head[..n].starts_with(&crate::compress::gzip::MAGIC) {
        return Ok((head[..n].starts_with(MAGIC), false));
    }
    // A cut end is no matter: the first bytes are all that is wanted.
    let mut raw = Vec::new();
    let _ = Gunzip::new(FromStart { file, at: 0 }.take(HEAD_MAX)).take(MAGIC.len() as u64).read_to_end(&mut raw);
    Ok((raw.starts_with(MAGIC), true))
}

/// A file from its start, wherever its own position is.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

fn has_end(file: &File, len: u64) -> io::Result<bool> {
    let Some(at) = len.checked_sub(END_RECORD as u64) else { return Ok(false) };
    let mut end = [0; END_RECORD];
    file.read_exact_at(&mut end, at)?;
    Ok(end[0] == tag::HEAP_DUMP_END && end[5..] == [0; 4])
}

/// Returns whether a file that cannot be opened may be a dump. Its name and size are all that is known, and a JVM may
/// give its dump any name. A part is reported with its dump.
fn may_be_a_dump(dir: &Arc<HeldDir>, name: &OsStr, error: &io::Error) -> bool {
    let is_long = || dir.entry(name).metadata().is_ok_and(|meta| meta.len() >= MAGIC.len() as u64);
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
    name.to_string_lossy().contains(".hprof") || is_denied && is_long() && !is_part(dir, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(complete: bool) -> Vec<u8> {
        let mut dump = b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0".to_vec();
        if complete {
            dump.extend([0x2c, 1, 2, 3, 4, 0, 0, 0, 0]);
        }
        dump
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
        io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn seen(name: &str, bytes: &[u8], patterns: &[Pattern]) -> String {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), bytes).unwrap();
        format!("{:?}", look(&HeldDir::named(dir.path()).unwrap(), name.as_ref(), patterns))
    }

    #[test]
    fn a_dump_is_told_by_its_content_whatever_its_name() {
        for name in ["java_pid1.hprof", "oom.bin", "java_pid1.hprof.1", "x"] {
            assert_eq!(seen(name, &dump(true), &[]), "Complete(Dump { gzipped: false })", "{name}");
            assert_eq!(seen(name, &gz(&dump(true)), &[]), "Complete(Dump { gzipped: true })", "{name}");
            assert_eq!(seen(name, b"something else, and longer than that", &[]), "Foreign", "{name}");
        }
    }

    #[test]
    fn dump_without_an_end_or_with_a_part_is_growing() {
        assert_eq!(seen("a.hprof", &dump(false), &[]), "Growing");
        assert_eq!(seen("a.hprof", b"JAVA", &[]), "Growing");
        let dir = tempfile::tempdir().unwrap();
        let held = HeldDir::named(dir.path()).unwrap();
        std::fs::write(dir.path().join("a.hprof"), dump(true)).unwrap();
        std::fs::write(dir.path().join("a.hprof.p0"), [0x1c; 40]).unwrap();
        assert!(matches!(look(&held, "a.hprof".as_ref(), &[]), Seen::Growing));
        assert!(matches!(look(&held, "a.hprof.p0".as_ref(), &[]), Seen::Foreign));
        std::fs::remove_file(dir.path().join("a.hprof.p0")).unwrap();
        let writer = std::fs::OpenOptions::new().append(true).open(dir.path().join("a.hprof")).unwrap();
        assert!(matches!(look(&held, "a.hprof".as_ref(), &[]), Seen::Growing));
        drop(writer);
        assert!(matches!(look(&held, "a.hprof".as_ref(), &[]), Seen::Complete(_)));
    }

    #[test]
    fn any_other_file_is_taken_when_a_pattern_names_it() {
        let patterns = [Pattern::new("hs_err_pid*.log").unwrap()];
        let text = b"# A fatal error has been detected by the Java Runtime Environment";
        assert_eq!(seen("hs_err_pid1.log", text, &patterns), "Complete(Other { gzipped: false })");
        assert_eq!(seen("hs_err_pid1.txt", text, &patterns), "Foreign");
    }
}
