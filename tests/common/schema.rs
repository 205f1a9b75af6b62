//! The JSON that consoles read, held against docs/*.schema.json. All runs of the suite come through here: what they
//! print is checked, and each field must be described.

use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Map, Value, json};

/// The schema of a document, closed: a field that it does not describe is an error here, and none for its readers.
pub struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn of(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{name}.schema.json"));
        let text = std::fs::read(path).expect("the schema can be read");
        let mut document: Value = serde_json::from_slice(&text).expect("the schema is JSON");
        close(&mut document);
        let (mut schemas, mut compiler, at) = (Schemas::new(), Compiler::new(), format!("file:///{name}.json"));
        compiler.enable_format_assertions();
        compiler.add_resource(&at, document).expect("the schema is one");
        let index = compiler.compile(&at, &mut schemas).expect("the schema can be compiled");
        Self { schemas, index }
    }

    pub fn receipt() -> Self {
        Self::of("receipt")
    }

    pub fn list() -> Self {
        Self::of("list")
    }

    /// # Errors
    /// What does not fit, and where.
    pub fn check(&self, document: &Value) -> Result<(), String> {
        self.schemas.validate(document, self.index).map_err(|error| format!("{error:#}: {document}"))
    }
}

fn close(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("properties") && fields.contains_key("required") {
                fields.insert("additionalProperties".into(), json!(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

thread_local! {
    static RECEIPT: Schema = Schema::receipt();
    static LIST: Schema = Schema::list();
}

/// Checks all receipts and lists that a run has printed, with `--output json`.
#[track_caller]
pub fn assert_described(stdout: &[u8], stderr: &str) {
    if stdout.starts_with(b"{") || stdout.starts_with(b"[") {
        serde_json::Deserializer::from_slice(stdout).into_iter::<Value>().map_while(Result::ok).for_each(assert_known);
    }
    let aside = stderr.lines().filter(|line| line.starts_with("{\"tool\":"));
    aside.filter_map(|line| serde_json::from_str(line).ok()).for_each(assert_known);
}

/// What is neither is another command's answer.
#[track_caller]
pub fn assert_known(document: Value) {
    let has = |fields: &Map<String, Value>, names: &[&str]| names.iter().all(|name| fields.contains_key(*name));
    let told = match &document {
        Value::Object(fields) if has(fields, &["tool", "run_id", "exit_code"]) => {
            RECEIPT.with(|schema| schema.check(&document))
        }
        Value::Array(rows)
            if rows.first().and_then(Value::as_object).is_some_and(|row| has(row, &["key", "top_classes"])) =>
        {
            LIST.with(|schema| schema.check(&document))
        }
        _ => Ok(()),
    };
    told.unwrap_or_else(|why| panic!("not as docs/console.md describes it: {why}"));
}
