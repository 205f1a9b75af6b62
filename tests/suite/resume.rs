//! `upload`: what was cut goes on where it was, and is stored once.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::killed_run::moments;
use crate::common::s3::{BUCKET, S3Server};
use crate::common::tool::{Ended, Tool};

/// Megabytes of the dump; `JMAP_DUMP_TEST_MEGABYTES` makes it larger.
fn megabytes() -> u32 {
    std::env::var("JMAP_DUMP_TEST_MEGABYTES").ok().and_then(|text| text.parse().ok()).unwrap_or(90)
}

/// A dump, plain and gzipped, in a directory of its own.
struct Files {
    _dir: tempfile::TempDir,
    plain: PathBuf,
    gzipped: PathBuf,
}

impl Files {
    fn new(megabytes: u32) -> Option<Self> {
        let jvm = TestJvm::builder("17")?.arg(format!("mb={megabytes}")).arg("markers=77").start();
        let dir = tempfile::tempdir().unwrap();
        let stored = Tool::dump(jvm.pid(), dir.path().to_str().unwrap()).run().expect(0).stored();
        let (plain, gzipped) = (dir.path().join("java_pid7.hprof"), dir.path().join("java_pid7.hprof.gz"));
        std::fs::rename(stored, &gzipped).unwrap();
        let mut raw = flate2::read::MultiGzDecoder::new(std::fs::File::open(&gzipped).unwrap());
        std::io::copy(&mut raw, &mut std::fs::File::create(&plain).unwrap()).unwrap();
        Some(Self { _dir: dir, plain, gzipped })
    }
}

fn upload(server: &S3Server, words: &[&str]) -> Tool {
    Tool::new(&["upload", "--output", "json", "--store", &format!("s3://{BUCKET}"), "--retry-for", "1s"])
        .with_s3(server)
        .args(words)
}

fn upload_file(server: &S3Server, file: &Path) -> Tool {
    upload(server, &["shop", "cart", "prod", file.to_str().unwrap()])
}

fn journal(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.upload", file.display()))
}

fn dumps_in(server: &S3Server) -> Vec<String> {
    server.objects().into_iter().filter(|key| key.ends_with(".hprof.gz")).collect()
}

#[track_caller]
fn assert_stored_once(server: &S3Server, file: &Path, what: &str) {
    let keys = dumps_in(server);
    assert_eq!(keys.len(), 1, "{what}: {keys:?}");
    assert_eq!(assert_complete(server.object(&keys[0])).of("Marker"), 77, "{what}");
    assert!(!journal(file).exists() && file.exists(), "{what}");
    assert_eq!(server.listed_uploads(), Vec::<String>::new(), "{what}");
}

#[test]
fn an_upload_whose_store_breaks_off_goes_on_where_it_was() {
    let Some(files) = Files::new(megabytes()) else { return };
    for file in [&files.plain, &files.gzipped] {
        let server = S3Server::start();
        upload_file(&server, file).run().expect(0);
        let parts = server.parts();
        let (server, mut cuts) = (S3Server::start(), 0);
        let ended = loop {
            server.revive();
            if cuts < moments() as usize {
                server.die_after_parts(cuts % 3 + 1);
            }
            let ended = upload_file(&server, file).run();
            if ended.code == 0 {
                break ended;
            }
            assert!([7, 9].contains(&ended.code), "{ended:?}");
            assert_eq!(dumps_in(&server), Vec::<String>::new());
            cuts += 1;
        };
        assert_eq!(ended.receipt()["object"]["verified"], "checksum");
        assert_stored_once(&server, file, "cut by the store");
        // Two parts are in flight when it breaks off, each tried twice.
        assert!(cuts > 1 && server.parts() <= parts + 4 * cuts, "{} parts of {parts} in {cuts} cuts", server.parts());
    }
}

/// One that begins anew would send two thirds of them twice.
#[test]
fn parts_that_the_store_has_are_not_sent_again() {
    let Some(files) = Files::new(160) else { return };
    for file in [&files.plain, &files.gzipped] {
        let server = S3Server::start();
        upload_file(&server, file).run().expect(0);
        let parts = server.parts();
        assert!(parts > 6, "{parts} parts are too few to tell");
        let server = S3Server::start();
        server.die_after_parts(parts * 2 / 3);
        upload_file(&server, file).run().expect(7);
        server.revive();
        upload_file(&server, file).run().expect(0);
        assert_stored_once(&server, file, "cut once");
        // Two parts are in flight when it breaks off, each tried twice.
        assert!(server.parts() <= parts + 4, "{} parts of {parts}", server.parts());
    }
}

#[test]
fn killed_upload_goes_on_where_it_was() {
    let Some(files) = Files::new(megabytes()) else { return };
    for file in [&files.plain, &files.gzipped] {
        let (server, begun) = (S3Server::start(), Instant::now());
        upload_file(&server, file).run().expect(0);
        let length = begun.elapsed();
        for moment in 1..=moments() {
            let (server, what) = (S3Server::start(), format!("moment {moment} of {}", file.display()));
            let run = upload_file(&server, file).spawn();
            std::thread::sleep(length * moment / moments());
            run.signal(Signal::KILL);
            let code = run.wait().code;
            wait_for_quiet(&server);
            // Killed before it had the answer, it left an upload that nobody knows: a rule of the bucket removes it.
            if std::fs::read_to_string(journal(file)).is_ok_and(|text| !text.contains("\"opened\"")) {
                server.forget_uploads();
            }
            // Over when it was killed: there is nothing to go on with.
            if code != 0 && (journal(file).exists() || dumps_in(&server).is_empty()) {
                go_on(&server, file, moment % 2 == 0);
            }
            assert_stored_once(&server, file, &what);
        }
    }
}

/// By the file's name, or by what lies beside it.
#[track_caller]
fn go_on(server: &S3Server, file: &Path, by_name: bool) {
    if by_name || !journal(file).exists() {
        upload_file(server, file).run().expect(0);
    } else {
        let dir = file.parent().unwrap().to_str().unwrap();
        upload(server, &["--resume", dir]).run().expect(0);
    }
}

/// The server may still work on what a client that is gone has sent.
fn wait_for_quiet(server: &S3Server) {
    let mut last = usize::MAX;
    while server.requests() != last {
        last = server.requests();
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn object_that_is_there_is_not_sent_again() {
    let Some(files) = Files::new(8) else { return };
    let server = S3Server::start();
    // What a process leaves that dies after the store's last word.
    server.die_after_parts(0);
    upload_file(&server, &files.gzipped).run();
    let before = std::fs::read(journal(&files.gzipped)).unwrap();
    server.revive();
    let first = upload_file(&server, &files.gzipped).run().expect(0).receipt();
    std::fs::write(journal(&files.gzipped), before).unwrap();
    let parts = server.parts();
    let second = upload_file(&server, &files.gzipped).run().expect(0).receipt();
    assert_eq!((server.parts(), &second["object"]["key"]), (parts, &first["object"]["key"]));
    assert_stored_once(&server, &files.gzipped, "stored before");
}

#[test]
fn forgotten_multipart_upload_is_begun_again() {
    let Some(files) = Files::new(32) else { return };
    let server = S3Server::start();
    server.die_after_parts(1);
    assert_eq!(upload_file(&server, &files.gzipped).run().code, 7);
    server.revive();
    server.forget_uploads();
    upload_file(&server, &files.gzipped).run().expect(0);
    assert_stored_once(&server, &files.gzipped, "forgotten");
}

#[test]
fn standard_input_is_stored_as_a_file_is() {
    let Some(files) = Files::new(8) else { return };
    let store = tempfile::tempdir().unwrap();
    for file in [&files.plain, &files.gzipped] {
        let ended = upload_to(store.path(), &["shop", "cart", "prod", "-"])
            .command(|command| {
                command.stdin(std::fs::File::open(file).unwrap());
            })
            .run()
            .expect(0);
        assert_eq!(assert_complete(ended.stored()).of("Marker"), 77);
    }
}

fn upload_to(store: &Path, words: &[&str]) -> Tool {
    Tool::new(&["upload", "--output", "json", "--store", store.to_str().unwrap()]).args(words)
}

#[test]
fn upload_of_several_files_stores_all_but_the_bad_one() {
    let Some(files) = Files::new(8) else { return };
    let (store, bad) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(bad.path(), "no dump").unwrap();
    let words = [
        "shop",
        "cart",
        "prod",
        bad.path().to_str().unwrap(),
        files.plain.to_str().unwrap(),
        files.gzipped.to_str().unwrap(),
    ];
    let ended = upload_to(store.path(), &words).arg("--delete").run().expect(5);
    let receipts: Vec<serde_json::Value> =
        String::from_utf8(ended.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(receipts.iter().map(|receipt| receipt["exit_code"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 0, 0]);
    for receipt in &receipts[1..] {
        assert_eq!(assert_complete(receipt["object"]["url"].as_str().unwrap()).of("Marker"), 77);
    }
    assert!(bad.path().exists() && !files.plain.exists() && !files.gzipped.exists());
    assert!(!journal(bad.path()).exists());
}

#[test]
fn a_truncated_dump_is_stored_on_request_alone_and_marked() {
    let Some(files) = Files::new(16) else { return };
    let store = tempfile::tempdir().unwrap();
    for file in [&files.plain, &files.gzipped] {
        let half = std::fs::metadata(file).unwrap().len() / 2;
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(half).unwrap();
        let words = ["shop", "cart", "prod", file.to_str().unwrap()];
        assert_eq!(upload_to(store.path(), &words).run().code, 5);
        assert!(!store.path().join("shop").exists());
    }
    for file in [&files.plain, &files.gzipped] {
        let words = ["shop", "cart", "prod", file.to_str().unwrap(), "--allow-truncated"];
        let ended = upload_to(store.path(), &words).run().expect(0);
        let receipt = ended.receipt();
        assert_eq!(receipt["dump"]["walk"]["complete"], false);
        let told = if file.extension() == Some("gz".as_ref()) { "its gzip stream ends early" } else { "not whole" };
        assert!(receipt["warnings"].to_string().contains(told), "{receipt}");
        let stored = ended.stored();
        let beside = std::fs::read_to_string(stored.to_str().unwrap().replace(".hprof.gz", ".json")).unwrap();
        assert!(beside.contains("\"complete\":false"), "{beside}");
        assert_same_start(&stored, file);
    }
    let garbage = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(garbage.path(), vec![7; 9000]).unwrap();
    let words = ["shop", "cart", "prod", garbage.path().to_str().unwrap(), "--allow-truncated"];
    upload_to(store.path(), &words).run().expect(5);
}

/// All of a plain file, and of a gzipped one its bytes.
#[track_caller]
fn assert_same_start(stored: &Path, file: &Path) {
    let (mut theirs, ours) = (std::fs::read(stored).unwrap(), std::fs::read(file).unwrap());
    if file.extension() == Some("hprof".as_ref()) {
        let gz = std::mem::take(&mut theirs);
        flate2::read::MultiGzDecoder::new(&gz[..]).read_to_end(&mut theirs).unwrap();
    }
    assert!(theirs == ours, "{} bytes of {}", theirs.len(), ours.len());
}

#[test]
fn resume_leaves_a_dump_that_another_process_uploads() {
    let Some(files) = Files::new(32) else { return };
    let server = S3Server::start();
    server.stall(Duration::from_secs(2));
    let first = upload_file(&server, &files.gzipped).spawn();
    while server.requests() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = upload_file(&server, &files.gzipped).run().expect(2);
    assert!(second.stderr.contains("another process"), "{}", second.stderr);
    let dir = files.gzipped.parent().unwrap().to_str().unwrap();
    let resumed: Ended = upload(&server, &["--resume", dir]).run().expect(0);
    assert!(String::from_utf8_lossy(&resumed.stdout).contains("another process"));
    first.wait().expect(0);
    assert_stored_once(&server, &files.gzipped, "two at it");
}

#[test]
fn part_stored_before_a_crash_counts_at_any_level() {
    let Some(files) = Files::new(8) else { return };
    let server = S3Server::start();
    server.die_after_parts(0);
    upload_file(&server, &files.plain).run();
    let mut before = std::fs::read_to_string(journal(&files.plain)).unwrap();
    server.revive();
    let first = upload_file(&server, &files.plain).run().expect(0).receipt();
    let object = &first["object"];
    before += &format!("{{\"whole\":{{\"bytes\":{},\"sha256\":{}}}}}\n", object["bytes"], object["sha256"]);
    std::fs::write(journal(&files.plain), before).unwrap();
    let parts = server.parts();
    let second = upload_file(&server, &files.plain).args(&["--level", "9"]).run().expect(0).receipt();
    assert_eq!((server.parts(), &second["object"]["sha256"]), (parts, &object["sha256"]));
    assert_stored_once(&server, &files.plain, "stored before");
}

#[test]
fn the_next_file_of_the_same_name_is_another_one() {
    let (Some(files), Some(jvm)) = (Files::new(32), TestJvm::builder("17")) else { return };
    let server = S3Server::start();
    server.die_after_parts(1);
    assert_eq!(upload_file(&server, &files.gzipped).run().code, 7);
    assert!(journal(&files.gzipped).exists());
    server.revive();
    let (jvm, store) = (jvm.arg("markers=78").start(), tempfile::tempdir().unwrap());
    let other = Tool::dump(jvm.pid(), store.path().to_str().unwrap()).run().expect(0).stored();
    std::fs::rename(other, &files.gzipped).unwrap();
    let stored = upload_file(&server, &files.gzipped).run().expect(0).receipt();
    let key = stored["object"]["key"].as_str().unwrap();
    assert_eq!(assert_complete(server.object(key)).of("Marker"), 78);
    assert_eq!(dumps_in(&server), [key]);
}
