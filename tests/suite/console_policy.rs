//! A policy that is built in: no flag, variable or file loosens it. The build of the suite has none, so it takes one from
//! the variables of a build at run time; that is the only way in which the two builds differ.

use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::tool::{Ended, Tool};

const BY: &str = "the platform team, platform@shop.example";

fn under_policy(tool: Tool, store: &str) -> Tool {
    let tool = tool.env("JMAP_DUMP_BUILTIN_ALLOWED_STORES", store).env("JMAP_DUMP_BUILTIN_LEAST_REDACT", "strings");
    tool.env("JMAP_DUMP_BUILTIN_POLICY_BY", BY)
}

#[track_caller]
fn assert_refused(ended: Ended, what: &str) {
    let ended = ended.expect(2);
    assert!(ended.stderr.contains(BY) && ended.stderr.contains(what), "{what}: {}", ended.stderr);
}

#[test]
fn policy_is_loosened_by_no_source_and_no_verb() {
    let (dir, file) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let (allowed, path) = (dir.path().join("dumps"), file.path().to_str().unwrap());
    let (allowed, other) = (allowed.to_str().unwrap(), dir.path().join("other"));
    let other = other.to_str().unwrap();
    let config = dir.path().join("settings.toml");
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    let verbs: [&[&str]; 8] = [
        &["dump", "a", "b", "c", "--pid", "1"],
        &["take", "threads", "a", "b", "c", "--pid", "1"],
        &["upload", "a", "b", "c", path],
        &["watch", "a", "b", "c", dir.path().to_str().unwrap()],
        &["check", "a", "b", "c", "--pid", "1"],
        &["list", "a"],
        &["fetch", "a/b/c/x.gz"],
        &["presign", "a", "b", "c"],
    ];
    for verb in verbs {
        let tool = |store: &str| under_policy(Tool::new(verb), store);
        assert_refused(tool(allowed).args(&["--store", other]).run(), other);
        assert_refused(tool(allowed).args(&["--store", "s3://b", "--region", "r"]).run(), "s3://b");
        assert_refused(tool(allowed).env("JMAP_DUMP_STORE", other).run(), "in the environment");
        write(&format!("store = '{other}'\n"));
        assert_refused(tool(allowed).args(&["--config", config.to_str().unwrap()]).run(), "settings.toml");
        assert_refused(
            tool("s3://b").args(&["--store", "s3://b", "--endpoint", "http://127.0.0.1:1"]).run(),
            "endpoint",
        );
        let by_vendor = tool("s3://b").args(&["--store", "s3://b"]).env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1");
        assert_refused(by_vendor.run(), "AWS_ENDPOINT_URL_S3");
        write(&format!("store = '{allowed}'\nredact = 'none'\n"));
        assert_refused(tool(allowed).args(&["--config", config.to_str().unwrap()]).run(), "redact = none");
        assert_refused(
            tool(allowed).args(&["--store", allowed]).env("JMAP_DUMP_REDACT", "none").run(),
            "redact = none",
        );
        let tool = tool(allowed).args(&["--store", allowed]).env("JMAP_DUMP_LEAST_REDACT", "none");
        assert_refused(tool.env("JMAP_DUMP_REDACT", "strings").env("JMAP_DUMP_KEEP_CLASS", "*").run(), "keep_class");
    }
    for flags in [&["--redact=none"][..], &["--redact=all", "--keep-class", "*"]] {
        let tool = Tool::new(&["a", "b", "c", "--pid", "1", "--store", allowed]).args(flags);
        assert_refused(under_policy(tool, allowed).run(), "'strings'");
    }
    let unsound = Tool::new(&["list", "a", "--store", allowed]).env("JMAP_DUMP_BUILTIN_LEAST_REDACT", "sTrings").run();
    assert!(unsound.expect(2).stderr.contains("JMAP_DUMP_BUILTIN_LEAST_REDACT"));
    assert!(!std::path::Path::new(other).exists() && !std::path::Path::new(allowed).exists());
}

/// Also a file that an earlier run without the policy has kept.
#[test]
fn policy_redacts_where_nobody_asks_for_it() {
    let Some(jvm) = TestJvm::builder("17") else { return };
    let (jvm, store, kept) = (jvm.arg("markers=5").start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = store.path().to_str().unwrap();
    let dumped = under_policy(Tool::dump(jvm.pid(), at), at).run().expect(0);
    assert_eq!(dumped.receipt()["redacted"], "strings");
    assert_eq!(assert_complete(dumped.stored()).of("Marker"), 5);
    let dir = kept.path().to_str().unwrap();
    let unbound = Tool::dump(jvm.pid(), "s3://b").args(&["--endpoint", "http://127.0.0.1:1", "--region", "r"]);
    let unbound = unbound.args(&["--retry-for", "1s", "--store-down", "keep", "--dir", dir]);
    let unbound = unbound.env("JMAP_DUMP_ACCESS_KEY_ID", "k").env("JMAP_DUMP_SECRET_ACCESS_KEY", "s").run().expect(7);
    let path = unbound.receipt()["kept"]["path"].as_str().unwrap().to_owned();
    let resume = Tool::new(&["upload", "--resume", dir, "--output", "json", "--store", at]);
    let resumed = under_policy(resume, at).run().expect(0).receipt();
    assert_eq!(resumed["redacted"], "strings", "{path}: {resumed}");
}
