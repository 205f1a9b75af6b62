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

/// Removes these files in the order of their ranks. If one of a rank stays, those of the later ranks stay as well.
///
/// # Errors
/// Why the first one stays.
pub fn remove(files: impl IntoIterator<Item = Entry>) -> io::Result<()> {
    let files: Vec<Entry> = files.into_iter().collect();
    for rank in Rank::ALL {
        let of_rank = files.iter().filter(|file| Rank::of(file.name()) == rank);
        let removed: Vec<io::Result<()>> = of_rank.map(Entry::remove).collect();
        let stays = |error: &io::Error| error.kind() != io::ErrorKind::NotFound;
        removed.into_iter().filter_map(|removed| removed.err().filter(stays)).next().map_or(Ok(()), Err)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::names::journal_name;

    #[test]
    fn journal_stays_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let [file, part] = ["a.hprof", "a.hprof.p0"].map(|name| Entry::named(&dir.path().join(name)).unwrap());
        // A directory is not removed as a file is.
        std::fs::create_dir(file.path()).unwrap();
        for file in [&part, &file.journal()] {
            std::fs::write(file.path(), "").unwrap();
        }
        remove([file.journal(), file.clone(), part.clone()]).unwrap_err();
        assert!(!part.exists() && file.journal().exists());
        std::fs::remove_dir(file.path()).unwrap();
        remove([file.journal(), file.clone()]).unwrap();
        assert!(!file.journal().exists());
    }

    #[test]
    fn parts_go_first_and_journals_last() {
        let journal = journal_name("a.hprof");
        let mut names = [&journal, "a.hprof", "a.hprof.p1", "spool.hprof.gz"].map(OsStr::new);
        names.sort_by_key(|name| Rank::of(name));
        assert_eq!(names, ["a.hprof.p1", "a.hprof", "spool.hprof.gz", &journal].map(OsStr::new));
    }
}
