use std::collections::BTreeMap;

use super::*;
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
    let journal = Journal::create(&entry, &begin()).unwrap();
    journal.opened("s3://b", "first").unwrap();
    journal.sent(0, &part(1)).unwrap();
    journal.opened("s3://b", "second").unwrap();
    journal.sent(1, &part(2)).unwrap();
    (&journal.0).write_all(b"{\"part\":{\"number\":2,\"id\":\"et").unwrap();
    assert!(matches!(Journal::reopen(&entry), Err(JournalError::Locked)));
    drop(journal);
    let (journal, past) = Journal::reopen(&entry).unwrap().unwrap();
    journal.sent(3, &part(3)).unwrap();
    let parts = BTreeMap::from([(1, part(2))]);
    let open = SoFar { store: "s3://b".into(), id: "second".into(), parts };
    assert_eq!(past, Past { begin: begin(), open: Some(open), whole: None, own: true });
    drop(journal);
    let (_, past) = Journal::reopen(&entry).unwrap().unwrap();
    assert_eq!(past.open.unwrap().parts.into_keys().collect::<Vec<_>>(), [1, 3]);
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
    drop(Journal::create(&entry, &begin()).unwrap());
    let second = [Journal::create(&entry, &begin()), Journal::make_nameless(&entry, &begin())];
    let exists = |outcome: &io::Result<Journal>| outcome.as_ref().unwrap_err().kind() == io::ErrorKind::AlreadyExists;
    assert!(second.iter().all(exists), "{second:?}");
    drop(Journal::replace(&entry, &begin()).unwrap());
    std::fs::set_permissions(path_for(&path), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let untrusted = Journal::reopen(&entry).unwrap_err();
    assert!(matches!(untrusted, JournalError::Untrusted { .. }), "anybody may have written it");
    assert!(untrusted.to_string().contains("mode 666") && untrusted.hint().contains("chmod 600"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// A process that is killed before the journal has its name leaves nothing, where the file system allows it.
#[test]
fn a_journal_has_one_name_or_none() {
    for make in [Journal::create, Journal::make_nameless] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let entry = Entry::named(&path).unwrap();
        let journal = make(&entry, &begin()).unwrap();
        let (there, ours) = (std::fs::metadata(path_for(&path)).unwrap(), journal.0.metadata().unwrap());
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
