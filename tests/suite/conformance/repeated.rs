//! A store that repeats, in what it refuses, the request with its session token: nobody else gets to know that.

use super::hprof::{Dump, SMALL};
use super::stores::{self, Store};
use crate::common::relay::Fault;
use crate::common::tokens::SESSION;
use crate::common::tool::{Ended, Tool};

/// Status, code, and what to do next.
const REFUSALS: &[(u16, &str, &str)] =
    &[(400, "ExpiredToken", "get new credentials"), (403, "SignatureDoesNotMatch", "check the access key")];

fn refusal(status: u16, code: &str) -> Fault {
    Fault::answer(status, &format!("<Error><Code>{code}</Code><Message>It is refused.</Message></Error>"))
}

fn of_a_role(tool: Tool) -> Tool {
    tool.args(&["-vvv", "--retry-for", "1s"]).env("JMAP_DUMP_SESSION_TOKEN", SESSION)
}

/// Each run's output is searched for the token in any case.
#[track_caller]
fn assert_told_nowhere(store: &Store, dump: &Dump) {
    let kept = std::fs::read_dir(dump.dir.path()).unwrap().flatten().map(|entry| std::fs::read(entry.path()).unwrap());
    let stored = store.keys().into_iter().map(|key| store.read(&key));
    for bytes in kept.chain(stored) {
        assert!(!String::from_utf8_lossy(&bytes).contains(SESSION));
    }
}

#[track_caller]
fn assert_told(ended: &Ended, code: &str, next: &str) {
    let told = format!("{}{}", ended.stderr, String::from_utf8_lossy(&ended.stdout));
    assert!(told.contains(code) && (ended.code == 0 || told.contains(next)), "{told}");
}

#[test]
fn refused_request_shows_the_code_and_no_token() {
    let store = stores::s3_path().unwrap();
    for &(status, code, next) in REFUSALS {
        let steps = [
            (refusal(status, code).on(&["POST"]).at("uploads"), 9),
            (refusal(status, code).on(&["PUT"]).at("partNumber"), 7),
            (refusal(status, code).on(&["POST"]).at("uploadId"), 7),
            (refusal(status, code).on(&["PUT"]).at(".json"), 0),
        ];
        for (fault, expected) in steps {
            let dump = Dump::of(SMALL);
            store.relay().fail(fault);
            let ended = of_a_role(store.upload(&dump)).run();
            assert_eq!(ended.code, expected, "{}", ended.stderr);
            assert_told(&ended, code, next);
            assert_told_nowhere(&store, &dump);
            store.relay().heal();
        }
    }
}

#[test]
fn refused_reading_shows_the_code_and_no_token() {
    let (store, dump, to) = (stores::s3_path().unwrap(), Dump::of(SMALL), tempfile::tempdir().unwrap());
    let key = store.upload(&dump).run().expect(0).receipt()["object"]["key"].as_str().unwrap().to_owned();
    let fetch = ["fetch", key.as_str(), "--to", to.path().to_str().unwrap()];
    for &(status, code, next) in REFUSALS {
        store.relay().fail(refusal(status, code).on(&["GET"]));
        for words in [&["list", "shop"][..], &fetch] {
            let ended = of_a_role(store.tool(words)).run().expect(9);
            assert_told(&ended, code, next);
        }
        assert_told_nowhere(&store, &dump);
        store.relay().heal();
    }
}
