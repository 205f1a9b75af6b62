//! What a store does while all goes well.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::hprof::{Dump, LARGE, SMALL};
use super::stores::Store;
use crate::common::relay::Fault;
use crate::common::tool::{Ended, Tool};

/// Stores it, and looks at what is in the store: the dump and its receipt, nothing else.
#[track_caller]
pub fn stored(store: &Store, dump: &Dump) -> Value {
    let receipt = store.upload(dump).run().expect(0).receipt();
    assert_stored(store, dump, &receipt);
    receipt
}

#[track_caller]
pub fn assert_stored(store: &Store, dump: &Dump, receipt: &Value) {
    let key = key_of(receipt);
    assert_eq!(store.keys(), [key.to_owned(), key.replace(".hprof.gz", ".json")]);
    let bytes = store.read(key);
    assert_eq!(receipt["object"]["bytes"], bytes.len());
    dump.assert_is(&bytes);
}

#[track_caller]
pub fn key_of(receipt: &Value) -> &str {
    receipt["object"]["key"].as_str().unwrap_or_else(|| panic!("nothing stored: {receipt}"))
}

#[track_caller]
fn listed(store: &Store, flags: &[&str]) -> (Value, String) {
    let ended = store.tool(&["list", "shop", "--output", "json"]).args(flags).run().expect(0);
    (serde_json::from_slice(&ended.stdout).unwrap(), ended.stderr)
}

#[track_caller]
fn fetch(store: &Store, key: &str, dir: &Path) -> Ended {
    let dir = dir.to_str().unwrap();
    store.tool(&["fetch", key, "--to", dir, "--output", "json", "--retry-for", "5s"]).run()
}

pub fn a_small_dump_is_stored_whole(store: &Store) {
    let receipt = stored(store, &Dump::of(SMALL));
    let beside = key_of(&receipt).replace(".hprof.gz", ".json");
    let beside: Value = serde_json::from_slice(&store.read(&beside)).unwrap();
    assert_eq!(beside["object"], receipt["object"]);
}

pub fn a_large_dump_goes_up_in_parts(store: &Store) {
    stored(store, &Dump::of(LARGE));
    assert!(store.relay().parts() > 2, "{} parts", store.relay().parts());
}

pub fn a_large_dump_is_stored_whole(store: &Store) {
    stored(store, &Dump::of(LARGE));
}

pub fn what_is_stored_is_listed(store: &Store) {
    let receipt = stored(store, &Dump::of(SMALL));
    let (rows, _) = listed(store, &[]);
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    let row = &rows[0];
    assert_eq!((&row["key"], &row["bytes"]), (&receipt["object"]["key"], &receipt["object"]["bytes"]));
    assert_eq!((&row["sha256"], &row["complete"]), (&receipt["object"]["sha256"], &Value::Bool(true)));
}

/// Without the signature the link leads nowhere.
pub fn a_link_works_without_credentials(store: &Store) {
    let dump = Dump::of(SMALL);
    let receipt = stored(store, &dump);
    let (rows, stderr) = listed(store, &["--links", "1h"]);
    let link = rows[0]["link"].as_str().unwrap_or_else(|| panic!("no link: {rows} {stderr}"));
    assert!(!store.secrets().any(|secret| link.contains(secret)), "{link}");
    assert!(follow(store, link) == Some(store.read(key_of(&receipt))), "{link}");
    assert_eq!(follow(store, link.split('?').next().unwrap()), None, "{link}");
}

/// `None` for what is no success.
fn follow(store: &Store, link: &str) -> Option<Vec<u8>> {
    let ended = Command::new("curl").args(["-sS", "--fail"]).args(&store.curl).arg(link).output().unwrap();
    ended.status.success().then_some(ended.stdout)
}

/// What the application's container gets is the URL, and nothing of it is told again.
pub fn a_signed_url_takes_one_dump_without_any_key(store: &Store) {
    let dump = Dump::of(SMALL);
    let signed = store.tool(&["presign", "shop", "cart", "prod", "--valid", "5m", "--output", "json"]).run().expect(0);
    let signed: Value = serde_json::from_slice(&signed.stdout).unwrap();
    let (url, key) = (signed["url"].as_str().unwrap(), signed["key"].as_str().unwrap());
    let (file, query) = (dump.word(), url.split_once('?').unwrap().1);
    let upload = |url: &str| {
        let words = ["upload", "shop", "cart", "prod", &file, "--output", "json", "--retry-for", "2s", "-vvv"];
        store.proxied(Tool::new(&words)).env("JMAP_DUMP_STORE", url).run()
    };
    let ended = upload(url).expect(0);
    dump.assert_is(&store.read(key));
    let receipt = ended.receipt();
    assert!(key_of(&receipt).ends_with(key), "{receipt}");
    let told = format!("{}{}", String::from_utf8_lossy(&ended.stdout), ended.stderr);
    let signature =
        query.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Signature=").or(pair.strip_prefix("sig=")));
    assert!(!told.contains(signature.unwrap()) && !told.contains(query), "{told}");
    let other = Dump::of(SMALL / 2);
    let words = ["upload", "shop", "cart", "prod", &other.word(), "--output", "json", "--retry-for", "2s"];
    store.proxied(Tool::new(&words)).env("JMAP_DUMP_STORE", url).run().expect(7);
    dump.assert_is(&store.read(key));
    let forged = upload(&url.replace(signature.unwrap(), &"0".repeat(signature.unwrap().len()))).expect(7);
    assert!(forged.stderr.contains("403") && forged.stderr.contains("signed anew"), "{}", forged.stderr);
}

pub fn that_no_url_is_signed_is_said(store: &Store) {
    let ended = store.tool(&["presign", "shop", "cart", "prod"]).run().expect(2);
    assert!(ended.stderr.contains("signs no URLs"), "{}", ended.stderr);
}

pub fn that_there_are_no_links_is_said(store: &Store) {
    stored(store, &Dump::of(SMALL));
    let (rows, stderr) = listed(store, &["--links", "1h"]);
    assert_eq!(rows[0]["link"], Value::Null, "{rows}");
    assert!(stderr.contains("no links"), "{stderr}");
}

pub fn a_fetch_gets_the_bytes_that_were_stored(store: &Store) {
    let (dump, dir) = (Dump::of(LARGE), tempfile::tempdir().unwrap());
    let receipt = stored(store, &dump);
    let fetched = fetch(store, key_of(&receipt), dir.path()).expect(0).receipt();
    assert_eq!(fetched["sha256"], receipt["object"]["sha256"]);
    let file = std::fs::read(fetched["file"].as_str().unwrap()).unwrap();
    assert!(file == store.read(key_of(&receipt)), "{fetched}");
}

/// In pieces, so that one that is cut goes on with what is missing.
pub fn a_fetch_reads_ranges(store: &Store) {
    a_fetch_gets_the_bytes_that_were_stored(store);
    let ranges = store.relay().seen().into_iter().filter(|seen| seen.is_piece()).count();
    assert!(ranges > 1, "{ranges} ranges");
}

pub fn the_receipt_says_how_it_was_verified(store: &Store) {
    let receipt = stored(store, &Dump::of(SMALL));
    assert_eq!(receipt["object"]["verified"], store.verified);
}

pub fn damage_in_the_store_is_noticed(store: &Store) {
    let (dump, dir) = (Dump::of(SMALL), tempfile::tempdir().unwrap());
    let receipt = stored(store, &dump);
    let mut bytes = store.read(key_of(&receipt));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    store.write(key_of(&receipt), &bytes);
    let ended = fetch(store, key_of(&receipt), dir.path()).expect(5);
    assert!(ended.stderr.contains("is damaged"), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Whether a JVM is there or not: nothing is done to one.
pub fn a_check_says_whether_the_store_takes_uploads(store: &Store) {
    let words = ["check", "--no-attach", "--output", "json", "--retry-for", "5s", "shop", "cart", "prod"];
    let state_of = |tool: Tool| {
        let lines = tool.run().receipt();
        let line = lines.as_array().and_then(|lines| lines.iter().find(|line| line["what"] == "store")).cloned();
        line.unwrap_or_else(|| panic!("the store is not told: {lines}"))["state"].clone()
    };
    assert_eq!(state_of(store.tool(&words)), "ok");
    assert_eq!(state_of(store.tool(&words).args(&["--store", &store.elsewhere])), "obstacle");
    assert_eq!(store.keys(), Vec::<String>::new());
}

/// Each part of the way encodes a key by itself: whoever encodes it before stores another one.
pub fn odd_prefix_is_the_one_in_the_store(store: &Store) {
    let (dump, dir) = (Dump::of(SMALL), tempfile::tempdir().unwrap());
    let (url, prefix) = store.with_odd_prefix();
    let there = ["--store", url.as_str()];
    let receipt = store.upload(&dump).args(&there).run().expect(0).receipt();
    let key = key_of(&receipt);
    let stored = format!("{prefix}{key}");
    assert_eq!(store.keys(), [stored.clone(), stored.replace(".hprof.gz", ".json")]);
    let (rows, stderr) = listed(store, &[&there[..], &["--links", "1h"]].concat());
    assert_eq!((rows.as_array().map(Vec::len), &rows[0]["key"]), (Some(1), &receipt["object"]["key"]), "{rows}");
    assert_eq!((&rows[0]["url"], &rows[0]["complete"]), (&receipt["object"]["url"], &Value::Bool(true)));
    if let Some(link) = rows[0]["link"].as_str() {
        assert!(follow(store, link).is_some_and(|bytes| !bytes.is_empty()), "{link} {stderr}");
    }
    let words = ["fetch", key, "--to", dir.path().to_str().unwrap(), "--output", "json"];
    let fetched = store.tool(&words).args(&there).run().expect(0).receipt();
    assert_eq!(fetched["sha256"], receipt["object"]["sha256"]);
    dump.assert_is(&std::fs::read(fetched["file"].as_str().unwrap()).unwrap());
}

pub fn odd_keys_do_not_hide_the_others(store: &Store) {
    let (status, page, methods, target) = store.odd_page();
    store.relay().fail(Fault::answer(status, &page).on(methods).at(target).times(1));
    let (rows, _) = listed(store, &[]);
    assert_eq!((rows.as_array().map(Vec::len), &rows[0]["key"]), (Some(1), &"shop/a/e/right.gz".into()), "{rows}");
}
