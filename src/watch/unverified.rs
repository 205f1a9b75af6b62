//! Files whose objects a store has acknowledged and nobody could verify: they stay, as many as `--max-local` allows.

use std::ffi::OsStr;
use std::sync::Arc;

use crate::files::entry::{Entry, HeldDir};
use crate::kept::names::{UNVERIFIED, part_of};

/// The oldest of these files in `dir` beyond `most` dumps. The parts of a dump count as one with it.
pub fn surplus_unverified(dir: &Arc<HeldDir>, most: usize) -> Vec<Entry> {
    let names = dir.names().into_iter().flatten().filter_map(|name| name.into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(UNVERIFIED)).collect();
    names.sort();
    let mut dumps: Vec<&str> = names.iter().map(|name| dump_of(name)).collect();
    dumps.sort_unstable();
    dumps.dedup();
    let first = dumps.len().saturating_sub(most);
    let goes = |name: &&String| dumps[..first].contains(&dump_of(name));
    names.iter().filter(goes).map(|name| dir.entry(name)).collect()
}

/// Returns the name without the number of a part.
fn dump_of(name: &str) -> &str {
    part_of(OsStr::new(name)).and_then(|(dump, _)| dump.to_str()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_unverified_dumps_go_with_their_parts() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["unverified-2", "unverified-1", "unverified-1.p0", "unverified-3", "0"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names = |most| {
            let surplus = surplus_unverified(&HeldDir::named(dir.path()).unwrap(), most);
            surplus.iter().map(|path| path.name().to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(2), ["unverified-1", "unverified-1.p0"]);
        assert_eq!(names(3), Vec::<String>::new());
    }
}
