//! A JVM whose container holds no key: the store is a URL that somebody else has signed.

use std::path::Path;

use crate::common::bed::VERSIONS;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::recorder::{Manners, Recorder, Step};
use crate::common::s3::{BUCKET, KEY, S3Server, SECRET};
use crate::common::tool::Tool;

/// By whoever has the key.
fn presign(server: &S3Server, valid: &str) -> String {
    let ended = Tool::new(&["presign", "shop", "cart", "prod", "--valid", valid])
        .with_s3(server)
        .args(&["--store", &format!("s3://{BUCKET}/heaps")])
        .run()
        .expect(0);
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
}

fn dump(pid: u32, url: &str) -> Tool {
    let pid = pid.to_string();
    Tool::new(&["shop", "cart", "prod", "--output", "json", "--pid", &pid]).env("JMAP_DUMP_STORE", url)
}

#[test]
fn dump_goes_to_the_signed_url_and_is_verified() {
    let server = S3Server::start();
    for version in VERSIONS {
        let Some(jvm) = TestJvm::builder(version) else { continue };
        let jvm = jvm.arg("markers=321").start();
        let url = presign(&server, "10m");
        let ended = dump(jvm.pid(), &url).args(&["-vvv"]).run().expect(0);
        let receipt = ended.receipt();
        assert_eq!(receipt["object"]["verified"], "checksum", "JDK {version}");
        let key = receipt["object"]["key"].as_str().unwrap().strip_prefix(&format!("{BUCKET}/")).unwrap();
        assert!(key.starts_with("heaps/shop/cart/prod/20") && key.ends_with(".hprof.gz"), "{key}");
        assert_eq!(assert_complete(server.object(key)).of("Marker"), 321, "JDK {version}");
        let told = format!("{}{receipt}", ended.stderr);
        assert!(!told.contains("X-Amz") && !told.contains(KEY), "{told}");
    }
}

/// Whoever uses the URL sends no header of it, and a file that dumps share demands it of all.
#[test]
fn presign_refuses_settings_that_demand_encryption() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    let keys = format!("region = \"us-east-1\"\naccess_key_id = \"{KEY}\"\nsecret_access_key = \"{SECRET}\"");
    std::fs::write(&file, format!("store = \"s3://{BUCKET}\"\nkms_key_id = \"k-1\"\n{keys}\n")).unwrap();
    let presign = |flags: &[&str], encryption: &str| {
        let tool = Tool::new(&["presign", "shop", "cart", "prod", "--config", file.to_str().unwrap()]).args(flags);
        tool.env("JMAP_DUMP_ENCRYPTION", encryption).with_key().run()
    };
    let by_hand = ["--store", &format!("s3://{BUCKET}"), "--region", "us-east-1"];
    for (flags, encryption) in [(&[][..], ""), (&by_hand[..], "sse")] {
        let ended = presign(flags, encryption).expect(2);
        assert!(ended.stderr.contains("make it the bucket's default"), "{}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
    presign(&by_hand, "").expect(0);
}

#[test]
fn url_that_expires_too_early_is_refused_before_the_dump() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let (jvm, url) = (jvm.start(), presign(&server, "20s"));
    let ended = dump(jvm.pid(), &url).run().expect(9);
    assert!(ended.stderr.contains("too early") && ended.stderr.contains("presign"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("X-Amz-Signature"), "{}", ended.stderr);
    assert!(!Path::new(&format!("/tmp/.java_pid{}", jvm.pid())).exists());
}

#[test]
fn a_url_that_is_used_twice_keeps_the_first_dump() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let (jvm, dir) = (jvm.arg("markers=321").start(), tempfile::tempdir().unwrap());
    let url = presign(&server, "10m");
    // The first answer is lost: what is there is ours, and this is found out.
    server.lose_next_answer();
    let first = dump(jvm.pid(), &url).run().expect(0);
    assert_eq!(first.receipt()["object"]["verified"], "checksum");
    let object = server.object(&server.objects()[0]);
    let before = std::fs::read(&object).unwrap();
    let second = dump(jvm.pid(), &url).args(&["--dir", dir.path().to_str().unwrap()]).run().expect(7);
    assert!(second.stderr.contains("has an object already"), "{}", second.stderr);
    assert!(Path::new(second.receipt()["kept"]["path"].as_str().unwrap()).exists());
    assert!(std::fs::read(&object).unwrap() == before, "the first dump was overwritten");
}

#[test]
fn a_store_that_knows_no_conditions_takes_the_dump_all_the_same() {
    let (recorder, Some(jvm)) = (Recorder::start(Manners::default()), TestJvm::builder("17")) else { return };
    let jvm = jvm.start();
    dump(jvm.pid(), &format!("{}/dumps/k.hprof.gz?X-Amz-Signature=0", recorder.url())).run().expect(0);
    let puts: Vec<_> = recorder.requests().into_iter().filter(|request| request.step() == Step::Put).collect();
    let conditions: Vec<_> = puts.iter().map(|request| request.header("if-none-match")).collect();
    assert_eq!(conditions, [Some("*"), None]);
}

#[test]
fn refused_dump_is_taken_by_another_url() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let (jvm, dir) = (jvm.arg("markers=321").start(), tempfile::tempdir().unwrap());
    let url = presign(&server, "10m");
    let forged = url.replace("X-Amz-Signature=", "X-Amz-Signature=0");
    let dir = dir.path().to_str().unwrap();
    let ended = dump(jvm.pid(), &forged).args(&["--dir", dir]).run().expect(7);
    let kept = ended.receipt()["kept"].clone();
    let resume = kept["resume"].as_str().unwrap();
    assert!(!resume.contains("X-Amz") && resume.starts_with("jmap-dump-tool upload shop cart prod /"), "{resume}");
    let words: Vec<&str> = resume.split(' ').skip(1).collect();
    Tool::new(&words).env("JMAP_DUMP_STORE", &url).run().expect(0);
    let stored = server.objects();
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert_eq!(assert_complete(server.object(&stored[0])).of("Marker"), 321);
    assert!(!Path::new(kept["path"].as_str().unwrap()).exists());
}

#[test]
fn signed_url_takes_one_dump_and_is_no_flag() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let (jvm, url) = (jvm.start(), presign(&server, "10m"));
    let ended = Tool::dump(jvm.pid(), &url).run().expect(0);
    assert!(ended.stderr.contains("rather set JMAP_DUMP_STORE"), "{}", ended.stderr);
    dump(jvm.pid(), &url).args(&["--no-disk"]).run().expect(2);
    // One URL is one object: a second dump would take the place of the first.
    let dir = tempfile::tempdir().unwrap();
    let of_several = |words: &[&str]| Tool::new(words).env("JMAP_DUMP_STORE", &url).run().expect(2);
    of_several(&["upload", "shop", "cart", "prod", "/a.hprof", "/b.hprof"]);
    of_several(&["upload", "--resume", dir.path().to_str().unwrap()]);
    let ended = of_several(&["watch", "shop", "cart", "prod", dir.path().to_str().unwrap()]);
    assert!(ended.stderr.contains("takes one dump"), "{}", ended.stderr);
}
