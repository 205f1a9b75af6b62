//! What a tired person types wrong, and the exact words that come back.

mod hints;
mod rows;
mod verbs;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::bed::cannot_run;
use crate::common::jvm::TestJvm;
use crate::common::kubectl::{FLEET, Kubectl};
use crate::common::relay::{Fault, Relay};
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::shape::files_in;
use crate::common::tool::{Ended, Tool};
use crate::common::waiting::wait_until;
use crate::plugin::SHELLS;
use rows::{Row, TABLE, WRONG};

const OBJECT: &str = "shop/cart/prod/20261130T000000Z_pod_1_abcdef.hprof.gz";

/// A directory with a store, and files that are no dumps.
fn dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("store/shop/cart/prod")).unwrap();
    fs::write(at("store").join(OBJECT), gz(b"no dump")).unwrap();
    fs::write(at("receipt.json"), "{\"tool\": \"jmap-dump-tool 0.1.0\"}\n").unwrap();
    fs::write(at("text.gz"), gz(b"text")).unwrap();
    fs::write(at("empty.hprof"), "").unwrap();
    dir
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Standard error without times, and with DIR for the directory.
fn told(ended: &Ended, dir: &Path) -> String {
    let plain = |line: &str| match line.split_once("] ").filter(|_| line.starts_with("[20")) {
        Some((head, rest)) => format!("{} {rest}", head.split_whitespace().last().unwrap_or_default()),
        None => line.to_owned(),
    };
    let lines: Vec<_> = ended.stderr.lines().map(plain).collect();
    lines.join("\n").replace(dir.to_str().unwrap(), "DIR")
}

#[track_caller]
fn assert_rows(dir: &Path, rows: &[Row<'_>], change: impl Fn(Tool) -> Tool) {
    let mut wrong = Vec::new();
    for (words, code, expected) in rows {
        let words: Vec<_> = words.iter().map(|word| word.replace("DIR", dir.to_str().unwrap())).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let ended = change(Tool::new(&words)).run();
        let told = told(&ended, dir);
        if (ended.code, told.as_str()) != (*code, *expected) {
            wrong.push(format!("{words:?}\n  is [{}]\n{told}\n  not [{code}]\n{expected}\n", ended.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_wrong_input_has_its_exact_message() {
    let dir = dir();
    let before = files_in(dir.path());
    assert_rows(dir.path(), TABLE, |tool| tool);
    assert!(WRONG.len() >= 30);
    assert_rows(dir.path(), WRONG, |tool| tool);
    assert_eq!(files_in(dir.path()), before, "something was left");
}

/// `--to` names a directory that is not there yet.
#[test]
fn fetch_makes_the_directory_that_it_writes_to() {
    let dir = dir();
    let (store, to) = (dir.path().join("store"), dir.path().join("new/below"));
    fs::write(store.join("shop/cart/prod/notes.txt"), "notes").unwrap();
    let words = ["fetch", "shop/cart/prod/notes.txt", "--store", store.to_str().unwrap(), "--to", to.to_str().unwrap()];
    Tool::new(&words).run().expect(0);
    assert_eq!(fs::read_to_string(to.join("notes.txt")).unwrap(), "notes");
    let absent = dir.path().join("absent");
    Tool::new(&["fetch", "shop/none", "--store", store.to_str().unwrap(), "--to", absent.to_str().unwrap()])
        .run()
        .expect(2);
    assert!(!absent.exists());
}

/// An answer to HEAD has no body: only the listing tells a missing key from a prefix and from a missing bucket.
#[test]
fn fetch_from_s3_tells_prefix_key_and_bucket_apart() {
    let (server, dir) = (S3Server::start(), tempfile::tempdir().unwrap());
    let object = server.object("heaps/shop/cart/prod/a.txt");
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(object, "text").unwrap();
    // The server of the tests fails at HEAD of a prefix; S3 says that there is no such object.
    let relay = Relay::before(&server.endpoint());
    let flags = server.flags().into_iter().map(|flag| flag.replace(&server.endpoint(), &relay.endpoint()));
    let flags: Vec<String> = flags.collect();
    relay.fail(Fault::answer(404, "").on(&["HEAD"]));
    let fetch = |key: &str, bucket: &str| {
        Tool::new(&["fetch", key, "--to", dir.path().to_str().unwrap(), "--store", &format!("s3://{bucket}/heaps")])
            .args(&flags.iter().map(String::as_str).collect::<Vec<_>>())
            .env("JMAP_DUMP_ACCESS_KEY_ID", KEY)
            .env("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET)
            .run()
    };
    let list = "take one that 'list' shows";
    let url = |key: &str| format!("s3://{BUCKET}/heaps/{key}");
    assert_eq!(
        told(&fetch("shop/cart/prod", BUCKET).expect(2), dir.path()),
        format!("error: {} is a prefix of keys, and no key\n{list}", url("shop/cart/prod"))
    );
    assert_eq!(
        told(&fetch("shop/cart/prod/b.txt", BUCKET).expect(2), dir.path()),
        format!("error: no such key: {}\n{list}", url("shop/cart/prod/b.txt"))
    );
    relay.fail(Fault::answer(404, "<Error><Code>NoSuchBucket</Code></Error>"));
    let ended = fetch("shop/cart/prod/a.txt", "nobucket").expect(9);
    assert!(ended.stderr.contains("check the bucket's name"), "{}", ended.stderr);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    relay.heal();
    fetch("shop/cart/prod/a.txt", BUCKET).expect(0);
}

#[test]
fn s3_server_behind_https_is_told_from_webdav() {
    let (server, dir) = (S3Server::start(), dir());
    let file = dir.path().join("text.gz");
    let store = format!("{}/bucket", server.endpoint());
    let ended =
        Tool::new(&["upload", "shop", "cart", "prod", file.to_str().unwrap(), "--store", &store]).run().expect(9);
    let hint = "for MinIO and other S3 servers type --store s3://BUCKET/PREFIX --endpoint https://HOST; for WebDAV check \
                the URL, and the rights of the user";
    assert_eq!(ended.stderr.lines().last(), Some(hint), "{}", ended.stderr);
    assert!(ended.stderr.contains("and an https:// store is WebDAV"), "{}", ended.stderr);
}

/// `presign` has the only store that needs keys to be named; with a JVM there are the attach and the dump.
#[test]
fn wrong_input_to_a_jvm_has_its_exact_message() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, dir) = (jvm.start(), dir());
    let pid = jvm.pid().to_string();
    let of_jvm = |tool: Tool| tool.arg("--pid").arg(&pid);
    let told = |words: &[&str], code| {
        let ended = of_jvm(Tool::new(words)).run().expect(code);
        told(&ended, dir.path()).replace(&pid, "PID")
    };
    assert_eq!(
        told(&["arm", "--path", "/nosuch"], 6),
        "error: pid PID cannot write its heap to /nosuch: the directory cannot be opened: No such file or \
         directory (os error 2)\nname another directory with --path, as the JVM sees it; nothing was armed"
    );
    assert_eq!(
        told(&["arm", "--path", "dumps"], 2),
        "error: the directory 'dumps' is not an absolute path\ncorrect it, or leave it out; --help tells what is possible"
    );
    // Somebody who says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let slow = ["shop", "cart", "prod", "--store", "s3://b/p", "--endpoint", &endpoint, "--deadline", "1s"];
    let ended = of_jvm(Tool::new(&slow))
        .env("JMAP_DUMP_ACCESS_KEY_ID", "x")
        .env("JMAP_DUMP_SECRET_ACCESS_KEY", "y")
        .run()
        .expect(8);
    let last: Vec<_> = ended.stderr.lines().rev().take(2).collect();
    assert_eq!(last[0], "nothing is kept; give more time with --deadline", "{}", ended.stderr);
    assert!(last[1].starts_with("error: the deadline of this run has passed while "), "{}", ended.stderr);
}

/// Texts lie beside an object; standard output and a signed URL take one object.
#[test]
fn receipt_names_no_context_that_was_not_stored() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let jvm = jvm.start();
    let ended = Tool::dump(jvm.pid(), "-").run().expect(0);
    let receipt: serde_json::Value =
        ended.stderr.lines().find_map(|line| serde_json::from_str(line).ok()).expect("a receipt");
    assert!(receipt["object"].is_object() && receipt["context"].is_null(), "{receipt}");
    let flags = server.flags();
    let url = Tool::new(&["presign", "shop", "cart", "prod", "--store", &format!("s3://{BUCKET}/heaps")])
        .args(&flags.iter().map(String::as_str).collect::<Vec<_>>())
        .env("JMAP_DUMP_ACCESS_KEY_ID", KEY)
        .env("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET)
        .run()
        .expect(0);
    let url = String::from_utf8(url.stdout).unwrap().trim().to_owned();
    let pid = jvm.pid().to_string();
    let words = ["shop", "cart", "prod", "--output", "json", "--pid", &pid];
    let receipt = Tool::new(&words).env("JMAP_DUMP_STORE", &url).run().expect(0).receipt();
    assert!(receipt["object"].is_object() && receipt["context"].is_null(), "{receipt}");
    // Where texts can lie, the receipt names one that is there.
    let store = tempfile::tempdir().unwrap();
    let receipt = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0).receipt();
    assert!(store.path().join(receipt["context"].as_str().unwrap()).exists(), "{receipt}");
    assert!(receipt["dump"]["pause"].is_number(), "{receipt}");
}

#[test]
fn receipt_tells_the_pause_in_words() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, store) = (jvm.start(), tempfile::tempdir().unwrap());
    let (pid, store) = (jvm.pid().to_string(), store.path().to_str().unwrap().to_owned());
    let ended = Tool::new(&["shop", "cart", "prod", "--pid", &pid, "--store", &store]).run().expect(0);
    let text = String::from_utf8(ended.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("  pause      the JVM stood still for ")).expect(&text);
    assert!(line.strip_suffix(" s").is_some_and(|seconds| seconds.parse::<f64>().is_ok()), "{line}");
}

#[test]
fn receipt_of_a_resumed_upload_drops_old_warnings() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, dir, store) = (jvm.start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let down = ["--endpoint", "http://127.0.0.1:1", "--retry-for", "1s", "--store-down", "keep", "--dir"];
    let ended = Tool::dump(jvm.pid(), "s3://b/p")
        .args(&down)
        .arg(dir.path())
        .env("JMAP_DUMP_ACCESS_KEY_ID", "x")
        .env("JMAP_DUMP_SECRET_ACCESS_KEY", "y")
        .run()
        .expect(7);
    let warned = |receipt: &serde_json::Value| receipt["warnings"].to_string().contains("the store cannot be used");
    assert!(warned(&ended.receipt()), "{ended:?}");
    let (from, to) = (dir.path().to_str().unwrap(), store.path().to_str().unwrap());
    let ended = Tool::new(&["upload", "--output", "json", "--resume", from, "--store", to]).run().expect(0);
    let receipt = ended.receipt();
    assert!(!warned(&receipt) && receipt["object"].is_object(), "{receipt}");
    let stored = fs::read_to_string(ended.stored().to_str().unwrap().replace(".hprof.gz", ".json")).unwrap();
    assert!(!stored.contains("the store cannot be used"), "{stored}");
}

/// A JVM that has begun to write goes on, and its dump is nobody's.
#[test]
fn interrupted_dump_is_told_to_be_still_written() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.arg("mb=300").jvm_arg("-Xmx600m").start();
    let store = tempfile::tempdir().unwrap();
    let run = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).spawn().hear();
    let fds = format!("/proc/{}/fd", jvm.pid());
    wait_until("the JVM writes", || {
        let open = fs::read_dir(&fds).into_iter().flatten().flatten();
        open.filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|file| file.to_string_lossy().contains("jmap-dump-tool-"))
    });
    run.signal(rustix::process::Signal::INT);
    let ended = run.wait();
    if ended.code == 0 {
        return cannot_run("the dump was faster than the signal");
    }
    let ended = ended.expect(8);
    let hint = "nothing is kept; the JVM may still be writing its dump, which is removed when it ends; run it again";
    assert_eq!(ended.stderr.lines().last(), Some(hint), "{}", ended.stderr);
    assert_eq!(ended.receipt()["error"]["hint"], hint);
    wait_until("the JVM answers", || jvm.say("ping") == "pong");
}

#[test]
fn watcher_says_what_it_watches_and_where_it_stores() {
    let dir = dir();
    let (dumps, store) = (dir.path().join("dumps"), dir.path().join("store"));
    fs::create_dir(&dumps).unwrap();
    let words = ["watch", "shop", "cart", "prod", dumps.to_str().unwrap(), "--store", store.to_str().unwrap()];
    let run = Tool::new(&words).spawn();
    wait_until("the watcher", || dumps.join("jmap-dump-tool/status.json").exists());
    run.signal(rustix::process::Signal::TERM);
    let ended = run.wait().expect(0);
    let first = "watching DIR/dumps: each dump is stored in DIR/store under shop/cart/prod";
    assert_eq!(told(&ended, dir.path()).lines().next(), Some(first), "{}", ended.stderr);
    assert_eq!(ended.stdout, b"");
}

#[test]
fn unknown_variables_are_warned_of_once() {
    let ended = Tool::new(&["shop", "cart", "prod"])
        .env("JMAP_DUMP_STROE", "s3://Hunter2")
        .env("JMAP_DUMP_FROBNICATE", "Hunter2")
        .env("JMAP_DUMP_LOG_TO", "")
        .env("JMAP_DUMP_SERVICE_HOST", "10.0.0.1")
        .env("JMAP_DUMP_PORT_80_TCP_ADDR", "10.0.0.1")
        .run()
        .expect(2);
    let warnings: BTreeSet<_> =
        ended.stderr.lines().filter_map(|line| line.split_once("WARN ] ")).map(|(_, warning)| warning).collect();
    let expected = [
        "JMAP_DUMP_FROBNICATE is no setting, and does nothing",
        "JMAP_DUMP_STROE is no setting, and does nothing: did you mean JMAP_DUMP_STORE?",
    ];
    assert_eq!(warnings, BTreeSet::from(expected));
    assert_eq!(ended.stderr.matches("WARN ]").count(), 2, "{}", ended.stderr);
    assert!(!ended.stderr.contains("Hunter2"), "{}", ended.stderr);
}

#[test]
fn plugin_refuses_a_short_probe_with_what_helps_now() {
    let kubectl = Kubectl::echoing(&FLEET);
    kubectl.write("pods/cart-2/facts", "node n1\nshared \ndefault \ncontainer app 1 1 1\n");
    let words = ["cart-2", "shop", "cart", "prod", "--store=s3://b/p"];
    let ended = kubectl.typed(SHELLS[0], &words).wait().expect(2);
    let last = "kubectl jmap-dump: the JVM may stand still for 2 s, and its liveness probe gives up after 1 s: the kubelet \
                would kill it during its dump. --all makes the pause shorter; --force dumps all the same. A larger \
                failureThreshold comes with a new pod only: too late for this one";
    assert_eq!(ended.stderr.lines().last(), Some(last), "{}", ended.stderr);
}
