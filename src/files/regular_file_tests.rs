use super::*;
use rustix::fs::mknodat;

#[test]
fn special_files_are_refused_by_their_kind() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    mknodat(CWD, at("fifo"), FileType::Fifo, PRIVATE, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    std::fs::create_dir(at("dir")).unwrap();
    std::fs::write(at("file"), "text").unwrap();
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    let kinds = [("fifo", "a FIFO"), ("socket", "a socket"), ("dir", "a directory"), ("dangling", "a symbolic link")];
    for (name, kind) in kinds {
        for access in [Access::Read, Access::Write, Access::ReadWrite, Access::ReadAppend] {
            let found = open_in(CWD, at(name), access).unwrap_err();
            let made = open_or_create_in(CWD, at(name), access).unwrap_err();
            for error in [found, made] {
                assert!(NotRegular::of(&error).is_some() && is_refused(&error), "{name}: {error}");
                assert_eq!(error.to_string(), format!("it is {kind}, no regular file"));
            }
        }
        let made = create_in(CWD, at(name), Access::ReadWrite, PRIVATE);
        assert_eq!(made.unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{name}");
    }
    assert!(NotRegular::of(&open_in(CWD, at("link"), Access::Read).unwrap_err()).is_some());
    assert_eq!(read_named(at("link"), 4).unwrap(), b"text");
    assert_eq!(open_named(&at("dangling")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(NotRegular::of(&open_named(Path::new("/dev/null")).unwrap_err()).is_some());
}

#[test]
fn file_beyond_its_bound_is_refused_and_not_cut() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 40).unwrap();
    let read = || read_named(file.path(), TEXT_MAX);
    let error = read().unwrap_err();
    assert!(is_refused(&error) && error.to_string().contains("longer than 1.0 MiB"), "{error}");
    file.as_file().set_len(TEXT_MAX).unwrap();
    assert_eq!(read().unwrap().len() as u64, TEXT_MAX);
}

#[test]
fn kernel_file_without_a_length_is_read() {
    assert!(!read_named("/proc/self/status", TEXT_MAX).unwrap().is_empty());
}
