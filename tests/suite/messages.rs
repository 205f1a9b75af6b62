//! What a tired person types wrong, and the exact words that come back.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::bed::cannot_run;
use crate::common::jvm::TestJvm;
use crate::common::kubectl::{FLEET, Kubectl};
use crate::common::messages::hints;
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::tool::{Ended, Tool, binary};
use crate::plugin::SHELLS;
use crate::recipes::wait_until;

/// Words, exit status, and standard error. `DIR` stands for the directory of the test.
type Row<'a> = (&'a [&'a str], i32, &'a str);

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

const LATE: &str = "error: 'list' is a verb, and a verb comes before its flags: jmap-dump-tool list …\nfor a project of that \
                    name type `dump list …`";

/// The message for a word or flag that `dump` does not know.
macro_rules! word {
    ($word:expr, $tip:expr) => {
        concat!(
            "error: unexpected argument '",
            $word,
            "' found\n\n  tip: ",
            $tip,
            "\n\nUsage: jmap-dump-tool dump [OPTIONS] <PROJECT> <APP> <ENV>\n\nFor more information, try '--help'."
        )
    };
}

/// The message for a value that makes no sense.
macro_rules! value {
    ($key:expr, $text:expr, $why:expr) => {
        concat!(
            "error: on the command line: ",
            $key,
            " = '",
            $text,
            "': ",
            $why,
            "\ncorrect it, or leave it out; --help tells what is possible"
        )
    };
}

/// Each row of the issue that needs no JVM.
const TABLE: &[Row<'_>] = &[
    (
        &["fetch", "shop/cart/prod", "--store", "DIR/store", "--to", "DIR/new"],
        2,
        "error: DIR/store/shop/cart/prod is a prefix of keys, and no key\ntake one that 'list' shows",
    ),
    (
        &["fetch", "shop/cart/prod/none.gz", "--store", "DIR/store", "--to", "DIR/new"],
        2,
        "error: no such key: DIR/store/shop/cart/prod/none.gz\ntake one that 'list' shows",
    ),
    (
        &["--access-key-id", "x", "--store", "s3://b", "shop", "cart", "prod"],
        2,
        "error: unexpected argument '--access-key-id' found\n\n  tip: secrets are never flags, for each process can read \
         them: set JMAP_DUMP_ACCESS_KEY_ID, or JMAP_DUMP_ACCESS_KEY_ID_FILE\n\nUsage: jmap-dump-tool dump [OPTIONS] \
         <PROJECT> <APP> <ENV>\n\nFor more information, try '--help'.",
    ),
    (
        &["verify", "/etc/passwd"],
        5,
        "error: /etc/passwd is no heap dump: it does not begin with JAVA PROFILE 1.0\nname a heap dump of a JVM, plain or \
         gzipped, such as java_pid1.hprof",
    ),
    (
        &["presign", "shop", "cart", "prod", "--store", "/dir"],
        2,
        "error: /dir signs no URLs: only s3, oss, obs, gs and az can sign\nname such a bucket with --store",
    ),
];

/// Thirty more.
const WRONG: &[Row<'_>] = &[
    (&["lst", "shop"], 2, "error: did you mean 'list'? 'lst' is no verb; for a project of that name type `dump lst …`"),
    (&["-v", "list", "shop"], 2, LATE),
    (&["--store", "DIR/store", "list", "shop", "cart"], 2, LATE),
    (
        &["watch", "shop", "cart"],
        2,
        "error: the following required arguments were not provided:\n  <DIR>\n\n  tip: for a project of that name type \
         `dump watch …`\n\nUsage: jmap-dump-tool watch [OPTIONS] <PROJECT> <APP> <ENV> <DIR>\n\nFor more information, try \
         '--help'.",
    ),
    (
        &["shop/cart/prod", "--store", "DIR/store"],
        2,
        "error: the following required arguments were not provided:\n  <APP>\n  <ENV>\n\n  tip: PROJECT APP ENV are three \
         words: shop cart prod\n\nUsage: jmap-dump-tool dump [OPTIONS] <PROJECT> <APP> <ENV>\n\nFor more information, try \
         '--help'.",
    ),
    (
        &["shop", "cart", "prod"],
        2,
        "error: no store is named\nname one:\n  --store s3://BUCKET/PREFIX            on the command line\n  \
         JMAP_DUMP_STORE=s3://BUCKET/PREFIX    in the environment\n  store = \"s3://BUCKET/PREFIX\"          in \
         jmap-dump-tool.toml beside the program\nor write the dump to standard output with --store -",
    ),
    (
        &["list", "shop"],
        2,
        "error: no store is named\nname one:\n  --store s3://BUCKET/PREFIX            on the command line\n  \
         JMAP_DUMP_STORE=s3://BUCKET/PREFIX    in the environment\n  store = \"s3://BUCKET/PREFIX\"          in \
         jmap-dump-tool.toml beside the program",
    ),
    (
        &["upload", "DIR/empty.hprof", "shop", "cart", "prod", "--store", "DIR/store"],
        2,
        "error: the file 'DIR/empty.hprof' comes last, behind PROJECT APP ENV\nfor example: upload shop cart prod \
         /dumps/java_pid1.hprof",
    ),
    (
        &["upload", "shop", "cart", "prod", "--store", "DIR/store"],
        2,
        "error: upload takes PROJECT APP ENV and files, or --resume DIR\nfor example: upload shop cart prod \
         /dumps/java_pid1.hprof; for a project of that name type `dump upload …`",
    ),
    (
        &["upload", "shop", "cart", "prod", "DIR/receipt.json", "--store", "DIR/store"],
        5,
        "error: DIR/receipt.json is no heap dump: it does not begin with JAVA PROFILE 1.0\nname a heap dump of a JVM, plain \
         or gzipped, such as java_pid1.hprof",
    ),
    (
        &["upload", "shop", "cart", "prod", "DIR/empty.hprof", "--store", "DIR/store"],
        5,
        "error: DIR/empty.hprof is no heap dump: it is empty\nname a heap dump of a JVM, plain or gzipped, such as \
         java_pid1.hprof",
    ),
    (
        &["upload", "shop", "cart", "prod", "s3://b/k", "--store", "DIR/store"],
        2,
        "error: cannot read s3://b/k: No such file or directory (os error 2)\na file is needed here, and this is a URL: get \
         the object first: jmap-dump-tool fetch KEY",
    ),
    (
        &["upload", "--resume", "DIR/text.gz", "--store", "DIR/store"],
        2,
        "error: cannot read DIR/text.gz: Not a directory (os error 20)\nname a directory: DIR/text.gz is a file, or lies \
         behind one",
    ),
    (
        &["verify", "DIR"],
        2,
        "error: cannot read DIR: it is a directory, no regular file\nname a file: DIR is a directory",
    ),
    (
        &["verify", "DIR/text.gz"],
        5,
        "error: DIR/text.gz is no heap dump: it does not begin with JAVA PROFILE 1.0\nname a heap dump of a JVM, plain or \
         gzipped, such as java_pid1.hprof",
    ),
    (
        &["fetch", "https://b.s3.amazonaws.com/k?X-Amz-Signature=abc", "--store", "DIR/store"],
        2,
        "error: https://b.s3.amazonaws.com/k does not lie in the store DIR/store\nname its store with --store; a signed URL \
         needs no tool: curl -o dump.hprof.gz 'URL'",
    ),
    (&["fetch", "../x", "--store", "DIR/store"], 2, "error: '../x' is no key of an object\ntake one that 'list' shows"),
    (
        &["list", "shop", "--store", "-"],
        2,
        "error: nothing can be read from standard output or a signed URL\nname the bucket or the directory itself with \
         --store, and its key where it has one",
    ),
    (
        &["shop", "cart", "prod", "--store", "bucket"],
        2,
        "error: on the command line: the store 'bucket' is neither a URL nor a path that begins with '/' or '.'\nname a \
         store such as s3://BUCKET/PREFIX, /DIR or - (see --help, 'Stores')",
    ),
    (
        &["shop", "cart", "prod", "--store", "C:\\dumps"],
        2,
        "error: on the command line: the store 'C:\\dumps' is neither a URL nor a path that begins with '/' or '.'\nname a \
         store such as s3://BUCKET/PREFIX, /DIR or - (see --help, 'Stores')",
    ),
    (
        &["shop", "cart", "prod", "--store", "\"s3://b\""],
        2,
        "error: on the command line: the store \"s3://b\" begins with a quotation mark\nleave it out: a shell takes \
         quotation marks away, a file or a manifest leaves them there",
    ),
    (
        &["shop", "cart", "prod", "--store", "s3://minio:9000/b"],
        2,
        "error: on the command line: the bucket's name 'minio:9000' holds something other than letters, digits, '.', '-', \
         '_' and '$'\na server of your own is the endpoint: --store s3://BUCKET/PREFIX --endpoint https://HOST:PORT",
    ),
    (
        &["shop", "cart", "prod", "--store", "s3://id:secret@bucket"],
        2,
        "error: on the command line: the store's URL holds '@', which has no meaning here\ncredentials are never in the \
         URL: JMAP_DUMP_ACCESS_KEY_ID, or JMAP_DUMP_PASSWORD, has them",
    ),
    (&["shop", "cart", "prod", "store=s3://b"], 2, word!("store=s3://b", "a flag begins with two hyphens: --store=…")),
    (&["shop", "cart", "prod", "-store", "s3://b"], 2, word!("-s", "a flag begins with two hyphens: --store")),
    (&["shop", "cart", "prod", "--store=", "s3://b"], 2, word!("s3://b", "leave out the blank behind '=': --store=…")),
    (
        &["shop", "cart", "prod", "--password", "x"],
        2,
        word!(
            "--password",
            "secrets are never flags, for each process can read them: set JMAP_DUMP_PASSWORD, or JMAP_DUMP_PASSWORD_FILE"
        ),
    ),
    (&["shop", "cart", "prod", "--valid", "1h"], 2, word!("--valid", "'dump' has no --valid; it is a flag of presign")),
    (&["shop", "cart", "prod", "--redact", "everything"], 2, word!("everything", "--redact takes strings or all")),
    (
        &["shop", "cart", "prod", "--store", "DIR/store", "--pid", ""],
        2,
        value!("pid", "", "it is empty; is a variable of a script not set?"),
    ),
    (
        &["shop", "cart", "prod", "--store", "DIR/store", "--deadline", "1h30"],
        2,
        value!("deadline", "1h30", "not a time such as 25s, 10m or 1h30m"),
    ),
    (
        &["shop", "cart", "prod", "--store", "DIR/store", "--deadline", "30"],
        2,
        value!("deadline", "30", "a time needs a unit: 30s, 30m or 30h"),
    ),
    (
        &["shop", "cart", "prod", "--store", "DIR/store", "--disk-limit", "5GB"],
        2,
        value!("disk_limit", "5GB", "its unit is none of k, M, G, Ki, Mi, Gi, Ti"),
    ),
    (
        &["", "cart", "prod", "--store", "DIR/store"],
        2,
        "error: project '' is empty\nuse letters, digits, '.', '_' and '-', 1 to 128 bytes, not beginning with '.'",
    ),
    (
        &["shop", "cart", "prod", "--config", "DIR/text.gz"],
        2,
        "error: cannot read the settings file DIR/text.gz: stream did not contain valid UTF-8\ncheck that DIR/text.gz is \
         there and readable",
    ),
    (
        &["status", "DIR/receipt.json"],
        2,
        "error: DIR/receipt.json is no status file of a watcher\nname the file that 'watch' writes: \
         DIR/jmap-dump-tool/status.json",
    ),
    (
        &["watch", "shop", "cart", "prod", "DIR/none", "--store", "DIR/store"],
        2,
        "error: cannot take dumps out of DIR/none: No such file or directory (os error 2)\nmount the volume of the JVM's \
         dumps at DIR/none, or make that directory",
    ),
    (
        &["install", "DIR/none"],
        6,
        "error: cannot install DIR/none/jmap-dump-tool: No such file or directory (os error 2)\nsee that its directory is \
         there",
    ),
    (
        &["presign", "shop", "cart", "prod", "--store", "s3://b", "--region", "eu-central-1", "--valid", "8d"],
        2,
        value!("valid", "8d", "longer than a week"),
    ),
];

#[test]
fn each_wrong_input_has_its_exact_message() {
    let dir = dir();
    let before = crate::clean::files_in(dir.path());
    assert_rows(dir.path(), TABLE, |tool| tool);
    assert!(WRONG.len() >= 30);
    assert_rows(dir.path(), WRONG, |tool| tool);
    assert_eq!(crate::clean::files_in(dir.path()), before, "something was left");
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
    let flags = server.flags();
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
    let ended = fetch("shop/cart/prod/a.txt", "nobucket").expect(9);
    assert!(ended.stderr.contains("check the bucket's name"), "{}", ended.stderr);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
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

/// The oldest contract: three words dump. None of these finds a JVM, and 3 says that a dump was to be.
#[test]
fn near_verb_warns_and_dumps_without_a_terminal() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path().to_str().unwrap();
    for (project, verb) in [
        ("lst", "list"),
        ("fetc", "fetch"),
        ("wach", "watch"),
        ("dmup", "dump"),
        ("List", "list"),
        ("uplaod", "upload"),
    ] {
        let none = ["--pid", "4000000", "--store", store];
        let ended = Tool::new(&[&[project, "cart", "prod"][..], &none].concat()).run().expect(3);
        let first = ended.stderr.lines().next().unwrap_or_default();
        let warning = format!(
            "WARN ] did you mean '{verb}'? '{project}' is no verb; for a project of that name type `dump {project} …`; this \
             dumps"
        );
        assert!(first.ends_with(&warning), "{}", ended.stderr);
        // Whoever says dump means it.
        let ended = Tool::new(&[&["dump", project, "cart", "prod"][..], &none].concat()).run().expect(3);
        assert!(!ended.stderr.contains("did you mean"), "{}", ended.stderr);
    }
    // Neither short verbs nor other words.
    for project in ["pss", "amr", "shop", "watcher", "helm", "lists-of-all"] {
        let ended = Tool::new(&[project, "cart", "prod", "--pid", "4000000", "--store", store]).run().expect(3);
        assert!(!ended.stderr.contains("did you mean"), "{}", ended.stderr);
    }
    for verb in ["list", "ps", "watch", "help"] {
        let ended = Tool::new(&["dump", verb, "cart", "prod", "--pid", "4000000", "--store", store]).run().expect(3);
        assert!(!ended.stderr.contains("verb"), "{}", ended.stderr);
    }
}

#[test]
fn near_verb_at_a_terminal_dumps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let command = |redirected: &str| {
        let run = format!("{} lst cart prod --pid 4000000 --store /tmp {redirected}", binary().display());
        let script = ["-qec", &run, "/dev/null"];
        Tool::of(Path::new("script"), &script).env("PATH", "/usr/bin:/bin").run()
    };
    let aside = dir.path().join("stdout");
    let message = "error: did you mean 'list'? 'lst' is no verb; for a project of that name type `dump lst …`";
    for redirected in ["", "</dev/null", &format!(">{}", aside.display())] {
        let ended = command(redirected);
        let seen = String::from_utf8_lossy(&ended.stdout).replace('\r', "");
        assert_eq!((ended.code, seen.trim_end()), (2, message), "{redirected}");
    }
    // Neither of both is a terminal: standard error alone does not count.
    assert_eq!(command(&format!("</dev/null >{}", aside.display())).code, 3);
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

const VERBS: &[&str] =
    &["dump", "ps", "check", "upload", "watch", "status", "list", "fetch", "presign", "verify", "arm", "install"];

fn flags_of(verb: &str) -> BTreeSet<String> {
    let help = String::from_utf8(Tool::new(&[verb, "--help"]).run().expect(0).stdout).unwrap();
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let long = lines.filter_map(|line| line.split_whitespace().take(2).find_map(|word| word.strip_prefix("--")));
    let end = |flag: &str| flag.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(flag.len());
    long.map(|flag| flag[..end(flag)].to_owned()).collect()
}

/// The flags that a step names as flags of `verb`: those behind another verb's name are that one's.
fn named(step: &str, verb: &str) -> Vec<(String, String)> {
    let words: Vec<_> = step.split(|c: char| c.is_whitespace() || "',()`".contains(c)).collect();
    let mut owner = verb;
    let mut flags = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if *word == "jmap-dump-tool" {
            owner = words.get(at + 1).filter(|next| VERBS.contains(next)).copied().unwrap_or("dump");
        }
        let flag = word.strip_prefix("--").map(|flag| flag.split(['=', '.', ':', ';']).next().unwrap_or_default());
        flags.extend(flag.filter(|flag| !flag.is_empty()).map(|flag| (owner.to_owned(), flag.to_owned())));
    }
    flags
}

/// Every hint of the sources, as every verb would say it. Flags of other programs belong to no verb.
#[test]
fn no_hint_names_a_flag_that_its_verb_lacks() {
    let flags: Vec<_> = VERBS.iter().map(|verb| (*verb, flags_of(verb))).collect();
    let has = |verb: &str, flag: &str| flags.iter().any(|(other, flags)| *other == verb && flags.contains(flag));
    let is_ours = |flag: &str| flags.iter().any(|(_, flags)| flags.contains(flag));
    let (mut checked, mut wrong) = (0, BTreeSet::new());
    for hint in hints() {
        for verb in VERBS {
            let fitting = jmap_dump_tool::cli::fitting(&hint.text, verb);
            for (owner, flag) in fitting.split("; ").flat_map(|step| named(step, verb)) {
                checked += 1;
                if is_ours(&flag) && !has(&owner, &flag) {
                    wrong.insert(format!("{verb}: --{flag} in: {fitting}"));
                }
            }
        }
        // A step whose flags no verb has together is told to nobody.
        for step in hint.text.split("; ") {
            let told = VERBS.iter().any(|verb| !jmap_dump_tool::cli::fitting(step, verb).is_empty());
            assert!(told || step.is_empty(), "{}: nobody is told: {step}", hint.file);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 100, "only {checked} flags were found");
}

/// What a verb's own file says beside its errors: warnings, and what `check` tells to do.
#[test]
fn no_text_of_a_verb_names_a_flag_that_it_lacks() {
    let all: BTreeSet<String> = VERBS.iter().flat_map(|verb| flags_of(verb)).collect();
    for verb in VERBS {
        let commands = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands");
        let dir = fs::read_dir(commands.join(verb)).into_iter().flatten().flatten().map(|file| file.path());
        let files: Vec<_> = dir.chain([commands.join(format!("{verb}.rs"))]).collect();
        let code: String = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
        assert!(!code.is_empty(), "{verb} has no file");
        let own = flags_of(verb);
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (_, flag) in named(line, verb).into_iter().filter(|(owner, flag)| owner == verb && all.contains(flag)) {
                assert!(own.contains(&flag), "{verb} has no --{flag}: {line}");
            }
        }
    }
}
