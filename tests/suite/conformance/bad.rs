//! What a run makes of a store that refuses, fails, or does not answer.

use std::time::{Duration, Instant};

use super::good::{assert_stored, key_of, stored};
use super::hprof::{Dump, LARGE, SMALL};
use super::stores::Store;
use crate::common::relay::Fault;
use crate::common::tool::Ended;

/// What S3 says when there is too much to do (AWS: "Error responses"); the others send the same status.
const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
/// What S3 says when the clocks are more than 15 minutes apart.
const SKEWED: &str = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the \
                      current time is too large.</Message></Error>";

/// Longer than any run here takes.
const FOR_EVER: Duration = Duration::from_secs(1000);

impl Store {
    /// With the second part of several, or with the only one.
    fn fail_in_the_middle(&self, fault: Fault) {
        self.relay().fail(fault.on_parts().skip(usize::from(self.takes_parts)));
    }
}

/// The file is the only copy of the dump: it stays, and is named.
#[track_caller]
fn assert_kept(dump: &Dump, ended: &Ended) {
    assert!(dump.path().exists(), "{ended:?}");
    assert_eq!(ended.receipt()["kept"]["path"], dump.word(), "{ended:?}");
}

#[track_caller]
fn assert_secret(store: &Store, ended: &Ended) {
    let told = format!("{}{}", ended.stderr, String::from_utf8_lossy(&ended.stdout));
    assert!(!store.secrets().any(|secret| told.contains(secret)), "a secret is told: {told}");
}

/// The same file again, after whatever has happened before.
#[track_caller]
fn goes_on(store: &Store, dump: &Dump) {
    store.relay().heal();
    stored(store, dump);
}

pub fn wrong_credentials_are_told_and_nothing_is_stored(store: &Store) {
    let dump = Dump::of(SMALL);
    let file = dump.word();
    let words = ["upload", "--output", "json", "--retry-for", "5s", "shop", "cart", "prod", file.as_str()];
    let ended = store.tool_of_a_stranger(&words).run().expect(9);
    assert!(ended.stderr.contains(store.hints.0), "{}", ended.stderr);
    assert_secret(store, &ended);
    assert_kept(&dump, &ended);
    assert_eq!(store.keys(), Vec::<String>::new());
}

pub fn a_missing_bucket_is_told(store: &Store) {
    let dump = Dump::of(SMALL);
    let ended = store.upload(&dump).args(&["--store", &store.elsewhere]).run().expect(9);
    assert!(ended.stderr.contains(store.hints.1), "{}", ended.stderr);
    assert_secret(store, &ended);
    assert_kept(&dump, &ended);
    assert_eq!(store.keys(), Vec::<String>::new());
}

/// Who may put objects and not look at them stores a dump all the same; the receipt says that nobody has looked.
pub fn rights_to_put_alone_suffice(store: &Store) {
    let dump = Dump::of(LARGE);
    store.relay().fail(Fault::answer(403, "").on(&["HEAD", "GET", "PROPFIND"]));
    let receipt = store.upload(&dump).run().expect(0).receipt();
    assert_eq!(receipt["object"]["verified"], "acknowledged");
    assert_stored(store, &dump, &receipt);
}

pub fn throttling_is_waited_out(store: &Store) {
    let dump = Dump::of(LARGE);
    store.relay().fail(Fault::answer(503, SLOW_DOWN).on_parts().times(3));
    stored(store, &dump);
}

/// Before there is anything to send, and when all is sent.
pub fn throttling_of_the_opening_and_of_the_end_is_waited_out(store: &Store) {
    let slow = |methods, at| Fault::answer(503, SLOW_DOWN).on(methods).at(at).times(2);
    for (methods, at) in store.around_the_parts {
        store.relay().fail(slow(methods, at));
        let seen = store.relay().seen().len();
        store.upload(&Dump::of(SMALL)).run().expect(0);
        let struck =
            store.relay().seen().split_off(seen).iter().filter(|seen| slow(methods, at).concerns(seen)).count();
        assert!(struck > 2, "{methods:?} {at}: {struck}");
        store.relay().heal();
    }
}

pub fn throttling_without_end_leaves_the_dump_and_says_why(store: &Store) {
    let dump = Dump::of(LARGE);
    store.relay().fail(Fault::answer(503, SLOW_DOWN).on_parts());
    let ended = store.upload(&dump).args(&["--retry-for", "2s"]).run().expect(7);
    assert!(ended.stderr.contains("503"), "{}", ended.stderr);
    assert_kept(&dump, &ended);
    goes_on(store, &dump);
}

pub fn a_stalled_request_is_waited_for(store: &Store) {
    let dump = Dump::of(LARGE);
    store.fail_in_the_middle(Fault::stall(Duration::from_secs(2)).times(1));
    stored(store, &dump);
}

pub fn a_stall_does_not_outlast_the_deadline(store: &Store) {
    let dump = Dump::of(LARGE);
    store.fail_in_the_middle(Fault::stall(FOR_EVER));
    let begun = Instant::now();
    let ended = store.upload(&dump).args(&["--deadline", "6s"]).run().expect(8);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_kept(&dump, &ended);
    goes_on(store, &dump);
}

/// The store's first answer is waited for no longer than its opening may take.
pub fn a_store_that_never_answers_is_given_up(store: &Store) {
    let dump = Dump::of(SMALL);
    store.relay().fail(Fault::stall(FOR_EVER));
    let begun = Instant::now();
    let ended = store.upload(&dump).args(&["--retry-for", "5s"]).run().expect(9);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_kept(&dump, &ended);
}

/// A login page answers everything with good words.
pub fn a_redirect_is_no_success(store: &Store) {
    let dump = Dump::of(SMALL);
    for status in [302, 303, 307] {
        store.relay().fail(Fault::answer(status, "elsewhere").on(&["PUT", "POST"]));
        let ended = store.upload(&dump).args(&["--retry-for", "1s"]).run();
        assert!(matches!(ended.code, 7 | 9), "{status}: {ended:?}");
        assert_kept(&dump, &ended);
        store.relay().heal();
    }
    goes_on(store, &dump);
}

pub fn a_broken_connection_is_tried_again(store: &Store) {
    let dump = Dump::of(LARGE);
    store.fail_in_the_middle(Fault::reset(1 << 20).times(1));
    stored(store, &dump);
}

/// At the first request, and in the answers to what only reads.
pub fn a_broken_connection_anywhere_is_no_failure(store: &Store) {
    let dump = Dump::of(SMALL);
    store.relay().fail(Fault::reset(0).times(1));
    store.relay().fail(Fault::reset(0).on(&["HEAD", "GET", "PROPFIND"]).times(1));
    let receipt = stored(store, &dump);
    store.relay().fail(Fault::reset(0).on(&["GET", "PROPFIND"]).times(1));
    let listed = store.tool(&["list", "shop", "--retry-for", "5s"]).run().expect(0);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(key_of(&receipt)), "{listed:?}");
}

pub fn a_wrong_clock_is_named(store: &Store) {
    let dump = Dump::of(SMALL);
    store.relay().fail(Fault::answer(403, SKEWED));
    let ended = store.upload(&dump).run().expect(9);
    assert!(ended.stderr.contains("clock"), "{}", ended.stderr);
    assert_kept(&dump, &ended);
}

/// With new credentials the upload goes on.
pub fn a_token_that_ends_in_the_middle_leaves_the_dump(store: &Store) {
    let dump = Dump::of(LARGE);
    let (status, words) = store.expired;
    store.fail_in_the_middle(Fault::answer(status, words));
    let ended = store.upload(&dump).args(&["--retry-for", "2s"]).run().expect(7);
    assert_secret(store, &ended);
    assert_kept(&dump, &ended);
    goes_on(store, &dump);
}

/// What the store has of it is not sent again.
pub fn after_a_token_that_ended_only_the_missing_parts_are_sent(store: &Store) {
    let dump = Dump::of(LARGE);
    let (status, words) = store.expired;
    store.fail_in_the_middle(Fault::answer(status, words));
    store.upload(&dump).args(&["--retry-for", "2s"]).run().expect(7);
    let before = store.relay().parts();
    goes_on(store, &dump);
    assert_eq!(store.relay().parts() - before, 2);
}

/// A store that says yes and has nothing has nothing: the file stays, whatever was asked for.
pub fn object_that_vanishes_is_not_stored(store: &Store) {
    let dump = Dump::of(SMALL);
    store.relay().fail(Fault::answer(404, "").on(&["HEAD"]));
    let ended = store.upload(&dump).args(&["--delete"]).run().expect(7);
    assert_kept(&dump, &ended);
}
