//! A fetch whose receipt cannot be read: it may tell of damage, so it is not as if there were none.

use std::path::{Path, PathBuf};

use super::hprof::{Dump, LARGE, SMALL};
use super::stores::{self, Store};
use crate::common::relay::Fault;
use crate::common::tool::Ended;

/// Something stored, and where it is fetched to.
pub struct Fetch {
    pub store: Store,
    pub key: String,
    to: tempfile::TempDir,
}

impl Fetch {
    pub fn of(dump: &Dump, flags: &[&str]) -> Self {
        let store = stores::s3_path().unwrap();
        let receipt = store.upload(dump).args(flags).run().expect(0).receipt();
        let key = receipt["object"]["key"].as_str().unwrap().to_owned();
        Self { store, key, to: tempfile::tempdir().unwrap() }
    }

    fn run(&self) -> Ended {
        let to = self.to.path().to_str().unwrap();
        self.store.tool(&["fetch", &self.key, "--to", to, "--output", "json", "--retry-for", "1s"]).run()
    }

    fn file(&self) -> PathBuf {
        self.to.path().join(Path::new(&self.key).file_name().unwrap())
    }

    /// Nothing is lost, and nothing is taken for good.
    #[track_caller]
    fn assert_refused(&self) {
        let ended = self.run().expect(9);
        assert!(ended.stderr.contains(".json"), "{}", ended.stderr);
        assert!(self.file().with_added_extension("part").exists() && !self.file().exists(), "{}", ended.stderr);
    }

    fn receipt_key(&self) -> String {
        self.key.replace(".hprof.gz", ".json")
    }

    /// How often a piece of the dump was asked for.
    pub fn pieces_asked_for(&self) -> usize {
        self.store.relay().seen().iter().filter(|seen| seen.is_piece()).count()
    }
}

#[test]
fn a_receipt_that_is_refused_is_no_missing_receipt() {
    let fetch = Fetch::of(&Dump::of(LARGE), &[]);
    for status in [403, 503] {
        fetch.store.relay().fail(Fault::answer(status, "").on(&["GET"]).at(".json"));
        fetch.assert_refused();
        fetch.store.relay().heal();
    }
    let before = fetch.pieces_asked_for();
    let told = fetch.run().expect(0).receipt();
    assert_eq!(
        (&told["verified"], fetch.pieces_asked_for()),
        (&"the receipt's checksum is that of the file".into(), before)
    );
}

#[test]
fn a_receipt_that_is_none_is_no_missing_receipt() {
    let fetch = Fetch::of(&Dump::of(SMALL), &[]);
    fetch.store.write(&fetch.receipt_key(), b"{\"object\": ");
    fetch.assert_refused();
}

/// Only its receipt tells that it was stored so on purpose.
#[test]
fn truncated_dump_stays_while_its_receipt_is_unreadable() {
    let dump = Dump::of(LARGE);
    let whole = std::fs::read(dump.path()).unwrap();
    std::fs::write(dump.path(), &whole[..LARGE / 2]).unwrap();
    let fetch = Fetch::of(&dump, &["--allow-truncated"]);
    fetch.store.relay().fail(Fault::answer(503, "").on(&["GET"]).at(".json"));
    fetch.assert_refused();
    fetch.store.relay().heal();
    fetch.run().expect(0);
}

#[test]
fn a_dump_without_a_receipt_is_fetched_all_the_same() {
    let fetch = Fetch::of(&Dump::of(SMALL), &[]);
    fetch.store.remove(&fetch.receipt_key());
    assert_eq!(fetch.run().expect(0).receipt()["verified"], "there is no checksum to compare");
}
