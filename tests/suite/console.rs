//! What a console relies on: the JSON of receipts and lists, and the example of a back end.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::container::Container;
use crate::common::jvm::TestJvm;
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::schema::Schema;
use crate::common::tool::{Tool, binary};

fn list(store: &str) -> Value {
    let words = ["list", "shop", "--output", "json", "--store", store];
    serde_json::from_slice(&Tool::new(&words).run().expect(0).stdout).unwrap()
}

/// One dump by request and one that an OutOfMemoryError made.
#[test]
fn list_tells_place_kind_pause_context_and_cause() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (store, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = store.path().to_str().unwrap();
    let flags = ["-Xmx64m".to_owned(), "-XX:+HeapDumpOnOutOfMemoryError".to_owned()];
    let path = format!("-XX:HeapDumpPath={}", dir.path().display());
    let jvm = flags.iter().fold(jvm, |jvm, flag| jvm.jvm_arg(flag)).jvm_arg(path).start();
    let asked = Tool::dump(jvm.pid(), at).run().expect(0).receipt();
    assert_eq!(jvm.say("oom"), "oom");
    let own = dir.path().join(format!("java_pid{}.hprof", jvm.pid()));
    let words = ["upload", "shop", "basket", "test", own.to_str().unwrap(), "--output", "json", "--store", at];
    let own = Tool::new(&words).args(&["--requested-by", "anna", "--redact=all"]).run().expect(0).receipt();
    assert_eq!((&own["reason"], &own["dump"]["walk"]["out_of_memory"]), (&json!("OutOfMemoryError"), &json!(true)));
    assert!(asked["reason"].is_null() && asked["dump"]["walk"]["out_of_memory"].is_null(), "{asked}");
    let rows = list(at);
    let row = |app: &str| rows.as_array().unwrap().iter().find(|row| row["app"] == app).unwrap_or(&Value::Null);
    let (cart, basket) = (row("cart"), row("basket"));
    assert_eq!((&cart["project"], &cart["env"], &cart["kind"]), (&json!("shop"), &json!("prod"), &json!("heap-dump")));
    assert_eq!((&cart["context"], &cart["pause"]), (&asked["context"], &asked["dump"]["pause"]), "{cart}");
    assert!(cart["pause"].is_number() && cart["context"].is_string() && cart["out_of_memory"] == false, "{cart}");
    assert!(basket["out_of_memory"] == true && basket["reason"] == "OutOfMemoryError", "{basket}");
    assert!(basket["application_classes"].is_array() && basket["context"].is_null(), "{basket}");
    assert_eq!((&basket["requested_by"], &cart["requested_by"]), (&json!("anna"), &Value::Null));
    // The pid is in the file's name. The stack is of names alone, redacted or not.
    assert_eq!(own["dump"]["pid"], jvm.pid());
    let stack = own["dump"]["walk"]["out_of_memory_stack"].as_array().unwrap();
    assert!(stack[0].as_str().unwrap().starts_with("Heap.exhaust:"), "{own}");
    assert!(asked["dump"]["pid"].is_null() && asked["dump"]["walk"]["out_of_memory_stack"].is_null(), "{asked}");
}

/// The check that all receipts of the suite pass through refuses what is not described.
#[test]
fn schema_refuses_what_it_does_not_describe() {
    let good = json!({ "tool": "jmap-dump-tool 0.1.0", "run_id": "00ff00", "exit_code": 0, "pod": { "name": "x" },
        "started": "2026-01-01T00:00:00Z", "seconds": [{ "stage": "upload", "seconds": 0.1 }] });
    let schema = Schema::receipt();
    schema.check(&good).unwrap();
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        schema.check(&changed)
    };
    assert!(with("new_field", json!(1)).is_err());
    assert!(with("pod", json!({ "name": "x", "zone": "a" })).is_err());
    assert!(with("started", json!("yesterday")).is_err());
    assert!(with("exit_code", json!(10)).is_err());
    assert!(with("run_id", Value::Null).is_err());
    assert!(Schema::list().check(&json!([{ "key": "k", "top_classes": [] }])).is_err());
}

/// docs/console.md has a row for each field of the schemas.
#[test]
fn each_field_is_documented() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let text = std::fs::read_to_string(docs.join("console.md")).unwrap();
    for name in ["receipt", "list"] {
        let schema: Value =
            serde_json::from_slice(&std::fs::read(docs.join(format!("{name}.schema.json"))).unwrap()).unwrap();
        let mut fields = Vec::new();
        properties(&schema, &mut fields);
        assert!(fields.len() > 15, "{fields:?}");
        let missing: Vec<&String> = fields.iter().filter(|field| !text.contains(&format!("`{field}`"))).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

fn properties(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            found.extend(
                fields.get("properties").and_then(Value::as_object).into_iter().flat_map(|all| all.keys().cloned()),
            );
            fields.values().for_each(|value| properties(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, found)),
        _ => {}
    }
}

/// The example, as a console's server would run it, against a container.
struct BackEnd<'a>(&'a S3Server);

impl BackEnd<'_> {
    #[track_caller]
    fn run(&self, words: &[&str]) -> (i32, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/console-backend.py");
        let ended = Command::new("python3")
            .arg(script)
            .args(words)
            .env("JMAP_DUMP_BINARY", binary())
            .env("JMAP_DUMP_STORE", format!("s3://{BUCKET}"))
            .env("JMAP_DUMP_ENDPOINT", self.0.endpoint())
            .env("JMAP_DUMP_REGION", "us-east-1")
            .env("JMAP_DUMP_ACCESS_KEY_ID", KEY)
            .env("JMAP_DUMP_SECRET_ACCESS_KEY", SECRET)
            .output()
            .expect("python3 can be started");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!said.contains("Traceback"), "{said}");
        (ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    #[track_caller]
    fn dump(&self, container: &Container, flags: &[&str]) -> (i32, Value) {
        let exec = container.exec_line();
        let (code, text) = self.run(&[&["dump", "--exec", &exec, "shop", "cart", "prod"], flags].concat());
        (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }
}

#[test]
fn example_back_end_dumps_lists_and_links() {
    let Some(container) = Container::builder("17") else { return };
    let (container, server) = (container.uid(1000).gid(1000).busybox().arg("markers=9").start(), S3Server::start());
    let back_end = BackEnd(&server);
    let (code, answer) = back_end.dump(&container, &["--reason", "asked by a test", "--link", "1h"]);
    assert_eq!((code, &answer["outcome"]), (0, &json!("stored")), "{answer}");
    assert!(answer["pause_seconds"].is_number() && answer["link"].is_string(), "{answer}");
    let (code, answer) = back_end.dump(&container, &["--pid", "4711"]);
    assert_eq!((code, &answer["retry"]), (3, &json!(false)), "{answer}");
    assert!(answer["error"]["hint"].is_string(), "{answer}");
    let (code, text) = back_end.run(&["list", "shop"]);
    let cells: Vec<&str> = text.trim_end().split('\t').collect();
    assert_eq!((code, cells.len(), &cells[1..5]), (0, 8, &["cart", "prod", "whole", "asked by a test"][..]), "{text}");
    let (dir, curl) = (tempfile::tempdir().unwrap(), |url: &str, to: &Path| {
        Command::new("curl").args(["-sf", "-o"]).arg(to).arg(url).status().is_ok_and(|ended| ended.success())
    });
    let file = dir.path().join("x.hprof.gz");
    assert!(curl(cells[7], &file), "{text}");
    assert_eq!(crate::common::hprof_check::assert_complete(&file).of("Marker"), 9);
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/console-backend.py")).unwrap();
    assert!(text.lines().count() <= 100);
}
