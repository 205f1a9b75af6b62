//! The one order in which the files of a dump are removed. A crash in the middle leaves nothing that would be taken for
//! another dump.

use std::ffi::OsStr;
use std::io;

use super::names::{is_journal, part_of};
use crate::files::entry::Entry;

/// When a file goes: the least rank first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Without its dump, a part would be stored by itself.
    Part,
    File,
    /// A journal without a file means nothing, but a file without a journal would be stored again.
    Journal,
}

impl Rank {
    pub const ALL: [Self; 3] = [Self::Part, Self::File, Self::Journal];

    pub fn of(name: &OsStr) -> Self {
        match name {
            name if is_journal(name) => Self::Journal,
            name if part_of(name).is_some() => Self::Part,
            _ => Self::File,
        }
    }
}

/// Removes these files, in this order. All are tried.
///
/// # Errors
/// The first of those that stay.
pub fn remove(files: impl IntoIterator<Item = Entry>) -> io::Result<()> {
    let mut files: Vec<Entry> = files.into_iter().collect();
    files.sort_by_key(|file| Rank::of(file.name()));
    let is_left = |error: &io::Error| error.kind() != io::ErrorKind::NotFound;
    let failed: Vec<io::Error> = files.iter().filter_map(|file| file.remove().err().filter(is_left)).collect();
    failed.into_iter().next().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::names::journal_name;

    #[test]
    fn parts_go_first_and_journals_last() {
        let journal = journal_name("a.hprof");
        let mut names = [&journal, "a.hprof", "a.hprof.p1", "spool.hprof.gz"].map(OsStr::new);
        names.sort_by_key(|name| Rank::of(name));
        assert_eq!(names, ["a.hprof.p1", "a.hprof", "spool.hprof.gz", &journal].map(OsStr::new));
    }
}
