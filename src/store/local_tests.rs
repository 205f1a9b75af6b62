use super::*;
use crate::files::entry::Entry;
use crate::kept::journal::tests::begin;
use crate::kept::journal::{self, Begun, Journal};
use crate::object::key::Place;

fn key() -> ObjectKey {
    let time = chrono::DateTime::from_timestamp(0, 0).unwrap();
    ObjectKey::new(&Place::new("p", "a", "e").unwrap(), time, "pod", 1, "abcdef")
}

#[test]
fn an_upload_that_is_not_finished_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut upload = LocalUpload::open(dir.path().to_str().unwrap(), &key(), Journal::default()).unwrap();
    upload.spool_file(true).unwrap().0.write_all(b"half").unwrap();
    drop(upload);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

fn spool_of(upload: &mut LocalUpload, content: &str) -> Spool {
    let (mut file, _) = upload.spool_file(true).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    Spool::adopt(file, &[]).unwrap()
}

#[test]
fn an_object_that_is_there_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_str().unwrap();
    for (content, works) in [("first", true), ("second", false)] {
        let mut upload = LocalUpload::open(base, &key(), Journal::default()).unwrap();
        let digest = Digest { bytes: content.len() as u64, sha256: None };
        let spool = spool_of(&mut upload, content);
        assert_eq!(upload.finish(&digest, &spool).is_ok(), works);
    }
    assert_eq!(std::fs::read(dir.path().join(key().dump())).unwrap(), b"first");
    // The second file may be the only copy of a whole dump.
    let left = std::fs::read_dir(dir.path().join("p/a/e")).unwrap();
    assert_eq!(left.filter(|entry| entry.as_ref().unwrap().path().extension() == Some("part".as_ref())).count(), 1);
}

/// With another gzip level or another build, the same file becomes another object.
#[test]
fn object_of_earlier_process_stays_with_any_gzip_level() {
    let dir = tempfile::tempdir().unwrap();
    let sent = Digest { bytes: 5, sha256: Some("first".into()) };
    std::fs::create_dir_all(dir.path().join("p/a/e")).unwrap();
    std::fs::write(dir.path().join(key().dump()), "12345").unwrap();
    for (whole, works) in [(Some(sent.clone()), true), (None, false)] {
        let raw = Entry::named(&dir.path().join("raw")).unwrap();
        let earlier = Journal::default();
        earlier.write_beside(&raw, &begin()).unwrap();
        whole.inspect(|whole| earlier.note_whole(whole));
        drop(earlier);
        let journal = Journal::reopen(&raw).unwrap().unwrap().journal;
        let mut upload = LocalUpload::open(dir.path().to_str().unwrap(), &key(), journal).unwrap();
        let spool = spool_of(&mut upload, "123");
        let finished = upload.finish(&Digest { bytes: 3, sha256: None }, &spool);
        let object = finished.ok().map(|finished| (finished.object.bytes, finished.object.sha256));
        assert_eq!(object, works.then(|| (sent.bytes, sent.sha256.clone())));
        let told = Journal::reopen(&raw).unwrap().unwrap().journal.sent_before();
        assert_eq!(
            told.as_ref() == Some(&sent),
            works,
            "the next one would look for what this one compresses: {told:?}"
        );
        std::fs::remove_file(journal::path_for(&dir.path().join("raw"))).unwrap();
    }
}

#[test]
fn text_beside_is_whole_and_only_a_resumed_run_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let receipt = || std::fs::read_to_string(dir.path().join(key().beside(".json"))).unwrap();
    for (begun, works) in [(Begun::Never, true), (Begun::Perhaps, false), (Begun::ByUs, true)] {
        let goes_on = begun == Begun::ByUs;
        let journal = Journal::new(begun, None);
        let upload = LocalUpload::open(dir.path().to_str().unwrap(), &key(), journal).unwrap();
        assert_eq!(upload.put_beside(".json", format!("{goes_on}").as_bytes()).is_ok(), works);
        assert_eq!(receipt(), format!("{goes_on}"));
    }
    assert_eq!(std::fs::read_dir(dir.path().join("p/a/e")).unwrap().count(), 1);
}

#[test]
fn an_object_of_another_size_than_sent_gets_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut upload = LocalUpload::open(dir.path().to_str().unwrap(), &key(), Journal::default()).unwrap();
    let digest = Digest { bytes: 1, sha256: None };
    let spool = spool_of(&mut upload, "");
    assert!(matches!(upload.finish(&digest, &spool), Err(StoreError::SizeDiffers { .. })));
    assert!(!dir.path().join(key().dump()).exists());
}
