//! A real S3 server that checks signatures.

use std::path::Path;

use crate::common::bed::VERSIONS;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::relay::Relay;
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::tool::{Tool, binary, install};

fn jvm(version: &str) -> Option<TestJvm> {
    Some(TestJvm::builder(version)?.arg("markers=777").start())
}

fn dump(pid: u32, server: &S3Server) -> Tool {
    dump_to(pid, server, &format!("s3://{BUCKET}/heaps"))
}

fn dump_to(pid: u32, server: &S3Server, store: &str) -> Tool {
    Tool::dump(pid, store).with_s3(server)
}

#[test]
fn each_jvm_s_dump_arrives_in_s3_with_the_store_s_own_checksum() {
    let server = S3Server::start();
    for version in VERSIONS {
        let Some(jvm) = jvm(version) else { continue };
        let receipt = dump(jvm.pid(), &server).run().expect(0).receipt();
        let key = receipt["object"]["key"].as_str().unwrap();
        let object = server.object(&format!("heaps/{key}"));
        assert_eq!(assert_complete(&object).of("Marker"), 777, "JDK {version}");
        assert_eq!(receipt["object"]["bytes"], object.metadata().unwrap().len());
        let beside = server.object(&format!("heaps/{}", key.replace(".hprof.gz", ".json")));
        let beside: serde_json::Value = serde_json::from_slice(&std::fs::read(beside).unwrap()).unwrap();
        assert_eq!(beside["object"], receipt["object"]);
    }
    assert_eq!(server.unfinished_uploads(), Vec::<String>::new());
}

#[test]
fn a_large_dump_goes_up_in_several_parts() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let jvm = jvm.arg("mb=64").arg("markers=5").start();
    let receipt = dump(jvm.pid(), &server).run().expect(0).receipt();
    assert!(server.parts() > 2, "{} parts", server.parts());
    let key = receipt["object"]["key"].as_str().unwrap();
    assert_eq!(assert_complete(server.object(&format!("heaps/{key}"))).of("Marker"), 5);
}

#[test]
fn a_wrong_secret_is_noticed_before_the_jvm_is_touched() {
    let (server, Some(jvm)) = (S3Server::start(), jvm("17")) else { return };
    let ended = dump(jvm.pid(), &server).env("JMAP_DUMP_SECRET_ACCESS_KEY", "wrong").run().expect(9);
    assert!(ended.stderr.contains("check the access key"), "{}", ended.stderr);
    assert_untouched(&jvm);
    assert_eq!(server.objects(), Vec::<String>::new());
}

#[test]
fn a_store_that_is_down_is_noticed_before_the_jvm_is_touched() {
    let Some(jvm) = jvm("17") else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let down = format!("http://127.0.0.1:{port}");
    let ended = Tool::dump(jvm.pid(), "s3://dumps/heaps")
        .args(&["--endpoint", &down, "--region", "x", "--retry-for", "2s"])
        .with_key()
        .run()
        .expect(9);
    assert!(ended.stderr.contains(&down) && ended.stderr.contains("check the endpoint"), "{}", ended.stderr);
    assert_untouched(&jvm);
}

#[test]
fn a_missing_bucket_is_noticed_before_the_jvm_is_touched() {
    let (server, Some(jvm)) = (S3Server::start(), jvm("17")) else { return };
    let ended = dump_to(jvm.pid(), &server, "s3://nosuchbucket/x").run().expect(9);
    assert!(ended.stderr.contains("check the bucket's name"), "{}", ended.stderr);
    assert_untouched(&jvm);
}

/// No attach socket: nothing was ever sent to it.
fn assert_untouched(jvm: &TestJvm) {
    assert!(!Path::new(&format!("/tmp/.java_pid{}", jvm.pid())).exists());
    assert!(!jvm.log().contains("Full thread dump"));
    assert_eq!(jvm.say("ping"), "pong");
}

#[test]
fn store_that_dies_leaves_the_dump_and_its_resume_command() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let jvm = jvm.arg("mb=64").arg("markers=777").start();
    let dir = tempfile::tempdir().unwrap();
    server.die_after_parts(1);
    let ended =
        dump(jvm.pid(), &server).args(&["--retry-for", "2s", "--dir", dir.path().to_str().unwrap()]).run().expect(7);
    let receipt = ended.receipt();
    let kept = receipt["kept"]["path"].as_str().unwrap();
    assert_eq!(assert_complete(kept).of("Marker"), 777);
    assert_eq!(jvm.say("ping"), "pong");
    // The named command, with another store.
    let (resume, store) = (receipt["kept"]["resume"].as_str().unwrap(), tempfile::tempdir().unwrap());
    assert!(resume.contains(&format!("--store s3://{BUCKET}/heaps --endpoint {}", server.endpoint())), "{resume}");
    let words: Vec<&str> = resume.split(' ').skip(1).collect();
    let args = ["--output", "json", "--store", store.path().to_str().unwrap()];
    let stored = Tool::new(&words).args(&args).run().expect(0).stored();
    assert_eq!(assert_complete(stored).of("Marker"), 777);
}

#[test]
fn store_down_keep_dumps_and_keeps() {
    let Some(jvm) = jvm("17") else { return };
    let dir = tempfile::tempdir().unwrap();
    let ended = Tool::dump(jvm.pid(), "s3://dumps/heaps")
        .args(&["--endpoint", "http://127.0.0.1:1", "--region", "x", "--retry-for", "1s", "--store-down", "keep"])
        .args(&["--dir", dir.path().to_str().unwrap()])
        .with_key()
        .run()
        .expect(7);
    assert_eq!(assert_complete(ended.receipt()["kept"]["path"].as_str().unwrap()).of("Marker"), 777);
}

#[test]
fn store_of_our_file_ignores_the_application_s_environment() {
    let (server, Some(jvm)) = (S3Server::start(), jvm("17")) else { return };
    let dir = tempfile::tempdir().unwrap();
    // The file beside the program: the program moves into a directory of its own.
    let program = dir.path().join("jmap-dump-tool");
    install(binary(), &program);
    let file = format!(
        "store = \"s3://{BUCKET}/heaps\"\r\nendpoint = \"{}\"\r\nregion = \"us-east-1\"\r\naccess_key_id = \"{KEY}\"\r\n\
         secret_access_key = \"{SECRET}\\r\\n\"\r\n",
        server.endpoint()
    );
    std::fs::write(dir.path().join("jmap-dump-tool.toml"), file).unwrap();
    let pid = jvm.pid().to_string();
    let ended = Tool::of(&program, &["shop", "cart", "prod", "--output", "json", "--pid", &pid])
        .env("AWS_ACCESS_KEY_ID", "the application's")
        .env("AWS_SECRET_ACCESS_KEY", "the application's")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("http_proxy", "http://127.0.0.1:1")
        .env("ALL_PROXY", "http://127.0.0.1:1")
        .run()
        .expect(0);
    let key = format!("heaps/{}", ended.receipt()["object"]["key"].as_str().unwrap());
    assert!(server.objects().contains(&key), "{:?}", server.objects());
    assert!(!ended.stderr.contains(SECRET) && !String::from_utf8_lossy(&ended.stdout).contains(SECRET));
}

#[test]
fn a_store_named_by_hand_takes_the_vendor_s_environment() {
    let (server, Some(jvm)) = (S3Server::start(), jvm("17")) else { return };
    let flags = server.flags();
    let ended = Tool::dump(jvm.pid(), &format!("s3://{BUCKET}"))
        .args(&flags.iter().map(String::as_str).collect::<Vec<_>>())
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .run()
        .expect(0);
    assert_eq!(ended.receipt()["object"]["verified"], "checksum");
}

#[test]
fn obs_and_oss_are_spoken_to_at_the_bucket_s_own_host() {
    // By way of a proxy, so that nobody has to know names below localhost.
    let (server, Some(jvm)) = (S3Server::with_domain(Some("localhost")), jvm("17")) else { return };
    let relay = Relay::before(&server.endpoint());
    for scheme in ["oss", "obs"] {
        let ended = Tool::dump(jvm.pid(), &format!("{scheme}://{BUCKET}/{scheme}"))
            .args(&["--endpoint", &format!("http://localhost:{}", server.port()), "--region", "us-east-1"])
            .args(&["--proxy", &relay.endpoint()])
            .with_key()
            .run();
        let receipt = ended.expect(0).receipt();
        let key = receipt["object"]["key"].as_str().unwrap();
        assert!(server.object(&format!("{scheme}/{key}")).exists());
    }
}
