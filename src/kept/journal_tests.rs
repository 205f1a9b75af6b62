use std::os::unix::fs::MetadataExt;

use super::*;
use crate::kept::journal_file::make_nameless;
use crate::object::key::{ObjectKey, Place};

pub fn begin() -> Begin {
    let time = chrono::DateTime::from_timestamp(0, 0).unwrap();
    let key = ObjectKey::new(&Place::new("p", "a", "e").unwrap(), time, "pod", 1, "abcdef");
    Begin {
        format: FORMAT,
        key,
        file: FileState { bytes: 10, changed: 7 },
        part_size: 5 << 20,
        order: vec![(7, 3), (0, 7)],
        truncated: false,
        delete: true,
        receipt: Receipt::default(),
        redact: None,
        context: Some("threads".into()),
        dump_of: None,
    }
}

fn part(byte: u8) -> SentPart {
    SentPart { id: format!("etag{byte}"), md5: [byte; 16] }
}

#[test]
fn journal_is_read_up_to_a_cut_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heap.hprof");
    let entry = Entry::named(&path).unwrap();
    let journal = Journal::default();
    journal.write_beside(&entry, &begin()).unwrap();
    journal.opened("s3://b", "first");
    journal.sent(0, &part(1));
    journal.opened("s3://b", "second");
    journal.sent(1, &part(2));
    journal.lock().files[0].write_all(b"{\"part\":{\"number\":2,\"id\":\"et").unwrap();
    assert!(matches!(Journal::reopen(&entry), Err(JournalError::Locked)));
    drop(journal);
    let Past { begin: told, own, journal } = Journal::reopen(&entry).unwrap().unwrap();
    let parts = BTreeMap::from([(1, part(2))]);
    let open = SoFar { store: "s3://b".into(), id: "second".into(), parts };
    assert_eq!((told, own, journal.so_far(), journal.sent_before()), (begin(), true, Some(open), None));
    journal.sent(3, &part(3));
    drop(journal);
    let open = Journal::reopen(&entry).unwrap().unwrap().journal.so_far();
    assert_eq!(open.unwrap().parts.into_keys().collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_journal_that_leads_out_of_its_place_or_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heap.hprof");
    let entry = Entry::named(&path).unwrap();
    assert!(Journal::reopen(&entry).unwrap().is_none());
    let evil = serde_json::to_string(&Event::Begin(Box::new(begin()))).unwrap().replace("p/a/e", "p/../e");
    let line = |change: fn(&mut Begin)| {
        let mut begin = begin();
        change(&mut begin);
        serde_json::to_string(&Event::Begin(Box::new(begin))).unwrap()
    };
    let (endless, huge) = (line(|begin| begin.part_size = 0), line(|begin| begin.part_size = 1 << 40));
    let twice = line(|begin| begin.order = vec![(0, 7), (3, 3)]);
    let beyond = line(|begin| begin.order = vec![(0, u64::MAX), (u64::MAX, 1)]);
    let later = line(|begin| begin.format = FORMAT + 1);
    for text in [&evil, &endless, &huge, &twice, &beyond, "{}", "hello\n", &later] {
        std::fs::write(path_for(&path), text).unwrap();
        assert!(matches!(Journal::reopen(&entry), Err(JournalError::Foreign)), "{text}");
    }
    std::fs::write(path_for(&path), "").unwrap();
    assert!(Journal::reopen(&entry).unwrap().is_none() && !path_for(&path).exists());
    Journal::default().write_beside(&entry, &begin()).unwrap();
    let second = [journal_file::create(&entry, b""), make_nameless(&entry, b"")];
    let exists = |outcome: &io::Result<File>| outcome.as_ref().unwrap_err().kind() == io::ErrorKind::AlreadyExists;
    assert!(second.iter().all(exists), "{second:?}");
    Journal::default().write_over(&entry, &begin()).unwrap();
    std::fs::set_permissions(path_for(&path), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let untrusted = Journal::reopen(&entry).unwrap_err();
    assert!(matches!(untrusted, JournalError::Untrusted { .. }), "anybody may have written it");
    assert!(untrusted.to_string().contains("mode 666") && untrusted.hint().contains("chmod 600"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// A process that is killed before the journal has its name leaves nothing, where the file system allows it.
#[test]
fn a_journal_has_one_name_or_none() {
    for make in [journal_file::create, make_nameless] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let entry = Entry::named(&path).unwrap();
        let journal = make(&entry, b"{}").unwrap();
        let (there, ours) = (std::fs::metadata(path_for(&path)).unwrap(), journal.metadata().unwrap());
        assert_eq!((there.ino(), there.nlink(), there.mode() & 0o7777), (ours.ino(), 1, 0o600));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(matches!(Journal::reopen(&entry), Err(JournalError::Locked)));
    }
}

#[test]
fn journal_of_0_1_0_is_read() {
    let begin = begin();
    let mut line = serde_json::to_value(Event::Begin(Box::new(begin.clone()))).unwrap();
    line["begin"].as_object_mut().unwrap().remove("format").unwrap();
    assert_eq!(parse(line.to_string().as_bytes()).unwrap().begin, begin);
}

#[test]
fn journal_names_a_lost_upload_until_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let [file, kept] = ["file", "kept"].map(|name| Entry::named(&dir.path().join(name)).unwrap());
    let open = |id: &str| SoFar { store: "s3://b".into(), id: id.into(), parts: BTreeMap::new() };
    let journal = Journal::new(Begun::ByUs, None);
    journal.write_beside(&file, &begin()).unwrap();
    journal.opened("s3://b", "first");
    assert!(journal.lose() && journal.open_in("s3://b").is_none());
    drop(journal);
    let journal = Journal::reopen(&file).unwrap().unwrap().journal;
    assert_eq!(journal.so_far(), Some(open("first")));
    journal.opened("s3://b", "second");
    // The new file of a kept dump tells everything that the old one told, and both are locked.
    let whole = Digest { bytes: 7, sha256: Some("abc".into()) };
    journal.note_whole(&whole);
    journal.write_beside(&kept, &begin()).unwrap();
    for file in [&file, &kept] {
        assert!(matches!(Journal::reopen(file), Err(JournalError::Locked)));
    }
    drop(journal);
    for file in [&file, &kept] {
        let told = Journal::reopen(file).unwrap().unwrap().journal;
        assert_eq!((told.so_far(), told.sent_before()), (Some(open("second")), Some(whole.clone())));
    }
}
