use super::*;
use std::os::unix::fs::{chown, symlink};

#[test]
fn no_directory_on_the_way_is_a_link() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    std::fs::write(dir.path().join("a/b/file"), "text").unwrap();
    symlink("b", dir.path().join("a/link")).unwrap();
    let held = HeldDir::named(dir.path()).unwrap();
    assert!(held.entry_at(&dir.path().join("a/b/file")).unwrap().is_file());
    for path in ["a/link/file", "a/../a/b/file", ""] {
        assert!(held.entry_at(&dir.path().join(path)).is_err(), "{path}");
    }
    assert!(held.entry_at(Path::new("/etc/passwd")).is_err());
}

#[test]
fn held_directory_is_the_one_that_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let [seen, other] = ["seen", "other"].map(|name| dir.path().join(name));
    for dir in [&seen, &other] {
        std::fs::create_dir(dir).unwrap();
        std::fs::write(dir.join("file"), "text").unwrap();
    }
    let entry = HeldDir::named(dir.path()).unwrap().entry_at(&seen.join("file")).unwrap();
    std::fs::rename(&seen, dir.path().join("away")).unwrap();
    symlink(&other, &seen).unwrap();
    entry.remove().unwrap();
    assert!(other.join("file").exists() && !dir.path().join("away/file").exists());
}

#[test]
fn root_acts_as_the_owner_of_directory_or_shared_file() {
    if Identity::current().uid != 0 {
        return eprintln!("SKIP root_acts_as_the_owner: not root; run the tests as root");
    }
    let dir = tempfile::tempdir().unwrap();
    let held = HeldDir::named(dir.path()).unwrap();
    std::fs::write(dir.path().join("file"), "text").unwrap();
    chown(dir.path().join("file"), Some(1001), Some(1002)).unwrap();
    let acts = || held.identity_for(Some(&held.entry("file").metadata().unwrap())).unwrap();
    let set = |owner, mode: u32| {
        chown(dir.path(), Some(owner), Some(7)).unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    for (owner, mode, uid, gid) in
        [(1000, 0o755, 1000, 7), (0, 0o755, 0, 0), (0, 0o1777, 1001, 1002), (0, 0o2770, 1001, 7)]
    {
        set(owner, mode);
        assert_eq!(acts(), Identity::new(uid, gid), "{owner} {mode:o}");
    }
}
