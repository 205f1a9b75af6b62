//! The setting `notify`: what is posted when a run is over, and that no server changes how the run ends.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::jvm::TestJvm;
use crate::common::pages::{text, whole_blocks};
use crate::common::tool::{Ended, Tool};
use crate::common::waiting::{SOON, wait_within};
use crate::watch::{Pod, Watcher};

/// A heap dump without a heap.
const EMPTY: &[u8] = b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0\0";

/// The secret parts of each address.
const TOKENS: [&str; 3] = ["Hook-user", "Hook-path", "Hook-query"];

/// Start of the warning.
const NOT_SENT: &str = "the notice was not sent: ";

/// What a server does with a connection.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Status(u16),
    /// To another path of the same server.
    Redirect,
    Never,
    /// One byte of the head every 100 ms.
    Drips,
}

/// The server of an address. It lives as long as the test program.
struct Hook {
    port: u16,
    /// Heads and bodies of the requests.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hook {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::default());
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                // A client that goes away is part of the tests.
                std::thread::spawn(move || serve(stream, answer, &noted));
            }
        });
        Self { port, asked }
    }

    fn address(&self) -> String {
        address("http", self.port)
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }

    fn bodies(&self) -> Vec<Value> {
        self.asked().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }
}

fn address(scheme: &str, port: u16) -> String {
    format!("{scheme}://{}:word@127.0.0.1:{port}/{}?token={}", TOKENS[0], TOKENS[1], TOKENS[2])
}

fn serve(stream: TcpStream, answer: Answer, asked: &Mutex<Vec<(String, String)>>) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = String::new();
    reader.take(length.unwrap_or(0)).read_to_string(&mut body)?;
    asked.lock().unwrap().push((head, body));
    match answer {
        Answer::Status(status) => write!(writer, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"),
        Answer::Redirect => {
            write!(writer, "HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Answer::Never => {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        Answer::Drips => loop {
            writer.write_all(b"H")?;
            std::thread::sleep(Duration::from_millis(100));
        },
    }
}

/// Uploads a small file into `dir`.
fn upload(dir: &Path, address: &str) -> Tool {
    let dump = dir.join("empty.hprof");
    std::fs::write(&dump, EMPTY).unwrap();
    Tool::new(&["upload", "shop", "cart", "prod", dump.to_str().unwrap(), "--output", "json", "--store"])
        .arg(dir.join("store"))
        .env("JMAP_DUMP_NOTIFY", address)
        .env("POD_NAME", "cart-0")
}

/// How a run ended, and how long it took. None of its texts has a part of the address.
#[track_caller]
fn timed(tool: Tool) -> (Ended, Duration) {
    let begun = Instant::now();
    let ended = tool.args(&["-vvv"]).run();
    let took = begun.elapsed();
    assert_unseen(&[&ended.stderr, &String::from_utf8_lossy(&ended.stdout)]);
    (ended, took)
}

#[track_caller]
fn assert_unseen(texts: &[&str]) {
    for (text, token) in texts.iter().flat_map(|text| TOKENS.map(|token| (text, token))) {
        assert!(!text.contains(token), "{token} is told: {text}");
    }
}

#[test]
fn notice_is_as_documented_and_its_address_unseen() {
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start(Answer::Status(204)));
    let log = dir.path().join("log");
    let tool = upload(dir.path(), &hook.address()).args(&["--requested-by", "anna", "--log-to", log.to_str().unwrap()]);
    let (ended, _) = timed(tool.env("POD_NAMESPACE", "shop"));
    let receipt = ended.expect(0).receipt();
    assert_eq!(receipt["warnings"], Value::Null, "{receipt}");
    let object = &receipt["object"];
    let expected = [
        ("result", json!("stored")),
        ("place", json!("shop/cart/prod")),
        ("pod", json!("cart-0")),
        ("pod_namespace", json!("shop")),
        ("reason", Value::Null),
        ("requested_by", json!("anna")),
        ("key", object["key"].clone()),
        ("bytes", object["bytes"].clone()),
        ("exit_code", json!(0)),
        ("run_id", receipt["run_id"].clone()),
    ];
    let fields: Vec<String> = expected.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let (head, body) = hook.asked().remove(0);
    assert_eq!(body, format!("{{{}}}", fields.join(",")));
    assert!(head.starts_with("POST /Hook-path?token=Hook-query HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: application/json\r\n"), "{head}");
    assert_eq!(hook.asked().len(), 1);
    let stored = std::fs::read_to_string(object["url"].as_str().unwrap().replace(".hprof.gz", ".json")).unwrap();
    assert_unseen(&[&std::fs::read_to_string(&log).unwrap(), &stored]);
    // The page shows these fields and no other, but for the classes.
    let sample: Value = serde_json::from_str(&whole_blocks(&text("docs/notify.md"), "json")[0]).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut told = names(&serde_json::from_str(&body).unwrap());
    told.insert("classes".into());
    assert_eq!(names(&sample), told);
}

#[test]
fn server_that_fails_does_not_change_the_exit_status() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hooks = [Answer::Status(500), Answer::Status(404), Answer::Redirect].map(Hook::start);
    for (address, told) in [
        (hooks[0].address(), "answers 500"),
        (hooks[1].address(), "answers 404"),
        (hooks[2].address(), "answers 307 Temporary Redirect, and no redirect is followed"),
        (address("http", free), "Connection refused"),
        // No TLS there.
        (address("https", hooks[0].port), "cannot be asked"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (ended, took) = timed(upload(dir.path(), &address));
        let receipt = ended.expect(0).receipt();
        let warning = receipt["warnings"][0].as_str().unwrap_or_default();
        assert!(warning.starts_with(NOT_SENT) && warning.contains(told), "{told}: {receipt}");
        assert!(!warning.contains("127.0.0.1"), "{warning}");
        assert!(took < Duration::from_secs(5), "{told}: {took:?}");
    }
    // Two tries where the second may succeed, else one. A redirect is not followed.
    assert_eq!(hooks.map(|hook| hook.asked().len()), [2, 1, 1]);
}

#[test]
fn server_that_hangs_costs_ten_seconds_at_most() {
    let bare = {
        let dir = tempfile::tempdir().unwrap();
        timed(upload(dir.path(), "").args(&["--requested-by", "nobody"])).1
    };
    std::thread::scope(|scope| {
        for answer in [Answer::Never, Answer::Drips] {
            scope.spawn(move || {
                let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start(answer));
                let (ended, took) = timed(upload(dir.path(), &hook.address()));
                let receipt = ended.expect(0).receipt();
                let warning = receipt["warnings"][0].as_str().unwrap_or_default();
                assert!(warning.contains("has not answered within 4 s"), "{receipt}");
                assert_eq!(hook.asked().len(), 2, "{answer:?}");
                assert!(took <= bare + Duration::from_secs(10), "{answer:?}: {took:?}, {bare:?} without");
            });
        }
        // The deadline counts.
        scope.spawn(|| {
            let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start(Answer::Never));
            let (ended, took) = timed(upload(dir.path(), &hook.address()).args(&["--deadline", "2s"]));
            assert!(ended.expect(0).stderr.contains(NOT_SENT));
            assert!(took < Duration::from_millis(3500), "{took:?}");
        });
        // Several objects have the time of one.
        scope.spawn(|| {
            let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start(Answer::Status(500)));
            let more = dir.path().join("more.hprof");
            std::fs::write(&more, EMPTY).unwrap();
            let (ended, _) = timed(upload(dir.path(), &hook.address()).arg(&more));
            assert_eq!(ended.expect(0).stderr.matches("no time is left for it").count(), 1);
            assert_eq!(hook.asked().len(), 2);
        });
    });
}

#[test]
fn failed_run_sends_a_notice_and_a_dry_one_none() {
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start(Answer::Status(200)));
    let with = |tool: Tool| tool.env("JMAP_DUMP_NOTIFY", &hook.address()).env("POD_NAME", "cart-0");
    let store = dir.path().join("store");
    let store = store.to_str().unwrap();
    with(Tool::new(&["shop", "cart", "prod", "--pid", "2147483646", "--reason", "slow", "--store", store]))
        .run()
        .expect(3);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let s3 = ["--endpoint", &format!("http://{free}"), "--retry-for", "1s"].map(str::to_owned);
    let s3: Vec<&str> = s3.iter().map(String::as_str).collect();
    upload(dir.path(), &hook.address()).with_key().args(&["--store", "s3://b"]).args(&s3).run().expect(9);
    // Nobody knows what these want.
    with(Tool::new(&["upload", "shop", "cart", "prod", "--store", store])).run().expect(2);
    with(Tool::new(&["shop", "cart", "prod", "--level", "x", "--store", store])).run().expect(2);
    let told: Vec<_> =
        hook.bodies().into_iter().map(|body| (body["result"].clone(), body["exit_code"].clone())).collect();
    assert_eq!(told, [(json!("failed"), json!(3)), (json!("kept"), json!(9))]);
    let Some(jvm) = TestJvm::builder("17") else { return };
    let jvm = jvm.arg("mb=1").start();
    with(Tool::dump(jvm.pid(), store).args(&["--dry-run"])).run().expect(0);
    assert_eq!(hook.asked().len(), 2);
}

#[test]
fn each_verb_sends_a_notice_without_a_link() {
    let (pod, hook, Some(jvm)) = (Pod::new(), Hook::start(Answer::Status(200)), TestJvm::builder("17")) else { return };
    let jvm = jvm.jvm_arg("-Xmx200m").jvm_arg("-XX:+UseSerialGC").arg("mb=90").arg("markers=4721").start();
    let (pid, notify) = (jvm.pid().to_string(), hook.address());
    let with = |tool: Tool| tool.env("JMAP_DUMP_NOTIFY", &notify);
    let s3 = ["--output", "json", "--pid", &pid, "--store", &format!("s3://{}", crate::common::s3::BUCKET)];
    let taken = ["take", "threads,info", "shop", "cart", "prod", "--reason", "slow"];
    with(Tool::new(&taken).args(&s3).with_s3(&pod.server)).run().expect(0);
    let bodies = hook.bodies();
    assert_eq!(bodies.len(), 2);
    assert!(bodies[0]["key"].as_str().unwrap().ends_with("_threads.txt.gz") && bodies[1]["reason"] == "slow");
    let dump = ["shop", "cart", "prod", "--reason", "asked for", "--link", "1h"];
    let dumped = with(Tool::new(&dump).args(&s3).with_s3(&pod.server).env("JMAP_DUMP_NOTIFY_CLASSES", "true"));
    let receipt = dumped.run().expect(0).receipt();
    assert!(receipt["link"].is_string(), "{receipt}");
    let body = hook.bodies().remove(2);
    assert_eq!((&body["reason"], &body["key"]), (&json!("asked for"), &receipt["object"]["key"]));
    assert!(!hook.asked()[2].1.contains("X-Amz-") && !hook.asked()[2].1.contains("http"), "{body}");
    let classes = body["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 10);
    assert_eq!(classes[0], receipt["dump"]["walk"]["classes"]["top"][0]);
    // A file, and a dump of the watcher's own.
    let flags = ["--match", "markers=4721", "--when", "heap>30%", "--for", "1s"];
    let _watcher = Watcher::start(with(pod.tool(&flags)));
    std::fs::write(pod.path("java_pid7.hprof"), EMPTY).unwrap();
    wait_within("the file's notice", SOON, || hook.asked().len() == 4);
    assert!(hook.bodies()[3]["key"].as_str().unwrap().contains("_7_") && hook.bodies()[3]["classes"].is_null());
    wait_within("a look", SOON, || {
        pod.status()["looking_at"].as_str().is_some_and(|told| told.contains("the heap, and"))
    });
    for _ in 0..3 {
        jvm.say("gc");
        std::thread::sleep(Duration::from_millis(1200));
    }
    wait_within("the notice of the watcher's dump", SOON, || hook.asked().len() == 5);
    assert!(hook.bodies()[4]["reason"].as_str().unwrap().starts_with("watch: heap>30%"), "{:?}", hook.bodies()[4]);
}

#[test]
fn dumps_of_a_watcher_come_before_its_notices() {
    let (pod, hook) = (Pod::new(), Hook::start(Answer::Never));
    for name in ["java_pid1.hprof", "java_pid2.hprof", "java_pid3.hprof"] {
        std::fs::write(pod.path(name), EMPTY).unwrap();
    }
    let watcher = Watcher::start(pod.tool(&["-vvv"]).env("JMAP_DUMP_NOTIFY", &hook.address()));
    // Of a server that never answers: the second dump would come 10 s later.
    wait_within("three dumps", Duration::from_secs(8), || pod.dumps().len() == 3);
    wait_within("a notice", SOON, || !hook.asked().is_empty());
    let begun = Instant::now();
    watcher.signal(Signal::TERM);
    let ended = watcher.wait().expect(0);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_unseen(&[&ended.stderr]);
    assert!(ended.stderr.contains(NOT_SENT), "{}", ended.stderr);
}

/// A watcher tries a file again and again, and tells once that it failed.
#[test]
fn watcher_tells_once_that_a_file_was_not_stored() {
    let (dir, hook) = (tempfile::tempdir().unwrap(), Hook::start(Answer::Status(200)));
    std::fs::write(dir.path().join("java_pid1.hprof"), EMPTY).unwrap();
    let store = Hook::start(Answer::Status(403));
    let words = ["watch", "shop", "cart", "prod", dir.path().to_str().unwrap(), "--store", "s3://b"];
    let tool = Tool::new(&words).with_key().arg("--endpoint").arg(format!("http://127.0.0.1:{}", store.port));
    let watcher = Watcher::start(tool.args(&["-v"]).env("JMAP_DUMP_NOTIFY", &hook.address()));
    wait_within("a notice", SOON, || !hook.asked().is_empty());
    let tries = store.asked().len();
    wait_within("two more tries", SOON, || store.asked().len() > 2 * tries);
    watcher.signal(Signal::TERM);
    let ended = watcher.wait();
    assert!(ended.stderr.matches("is not stored yet").count() > 1, "{}", ended.stderr);
    let bodies = hook.bodies();
    assert_eq!((bodies.len(), &bodies[0]["result"], &bodies[0]["exit_code"]), (1, &json!("kept"), &json!(9)));
}

#[test]
fn recipe_for_a_chat_forwards_the_notice() {
    let (dir, chat) = (tempfile::tempdir().unwrap(), Hook::start(Answer::Status(200)));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = whole_blocks(&text("docs/notify.md"), "python").remove(0);
    let mut python = Command::new("python3");
    python.arg("-c").arg(script).env("PORT", port.to_string()).stderr(Stdio::null());
    let mut converter = python.env("CHAT", format!("http://127.0.0.1:{}/", chat.port)).spawn().unwrap();
    wait_within("the converter", SOON, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let ended = upload(dir.path(), &format!("http://127.0.0.1:{port}/")).run();
    converter.kill().unwrap();
    converter.wait().unwrap();
    let receipt = ended.expect(0).receipt();
    let key = receipt["object"]["key"].as_str().unwrap();
    let told = format!("heap dump stored: shop/cart/prod, pod cart-0, {key}, exit status 0");
    assert_eq!(chat.bodies(), [json!({ "text": told })], "{receipt}");
}

#[test]
fn address_is_a_secret_and_no_flag() {
    let dir = tempfile::tempdir().unwrap();
    let bad = upload(dir.path(), "Hook-path").run().expect(2);
    assert!(bad.stderr.contains("notify is no address that begins with http:// or https://"), "{}", bad.stderr);
    assert_unseen(&[&bad.stderr]);
    for flag in [&["--notify", "https://h/Hook-path"][..], &["--notify=https://h/Hook-path"]] {
        let refused = upload(dir.path(), "").args(flag).run().expect(2);
        assert!(refused.stderr.contains("secrets are never flags"), "{}", refused.stderr);
        assert!(refused.stderr.contains("set JMAP_DUMP_NOTIFY, or JMAP_DUMP_NOTIFY_FILE"), "{}", refused.stderr);
        assert_unseen(&[&refused.stderr]);
    }
    let refused = upload(dir.path(), "").args(&["--notify-classes"]).run().expect(2).stderr;
    assert!(refused.contains("set JMAP_DUMP_NOTIFY_CLASSES, or the key notify_classes"), "{refused}");
    let (hook, file) = (Hook::start(Answer::Status(200)), dir.path().join("address"));
    std::fs::write(&file, hook.address() + "\n").unwrap();
    upload(dir.path(), "").env("JMAP_DUMP_NOTIFY_FILE", file.to_str().unwrap()).run().expect(0);
    assert_eq!(hook.asked().len(), 1);
}
