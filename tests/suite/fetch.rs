//! The dump back out of the store: listed, linked, fetched, and checked on the way.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::common::bed::cannot_run;
use crate::common::browser::Browser;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::killed_run::moments;
use crate::common::relay::Relay;
use crate::common::s3::{BUCKET, S3Server, SECRET};
use crate::common::tool::{Ended, Tool, time_of};
use crate::common::waiting::wait_until;

/// A store with one dump in it.
struct StoredDump {
    server: S3Server,
    receipt: serde_json::Value,
    files: tempfile::TempDir,
}

impl StoredDump {
    fn new(megabytes: u32) -> Option<Self> {
        let server = S3Server::start();
        let jvm = TestJvm::builder("17")?.arg(format!("mb={megabytes}")).arg("markers=55").start();
        let dump = Tool::dump(jvm.pid(), &format!("s3://{BUCKET}/heaps")).args(&["--reason", "before the pod dies"]);
        let receipt = dump.with_s3(&server).run().expect(0).receipt();
        Some(Self { server, receipt, files: tempfile::tempdir().unwrap() })
    }

    fn key(&self) -> &str {
        self.receipt["object"]["key"].as_str().unwrap()
    }

    fn object(&self) -> PathBuf {
        self.server.object(&format!("heaps/{}", self.key()))
    }

    fn tool(&self, words: &[&str]) -> Tool {
        Tool::new(words).args(&["--store", &format!("s3://{BUCKET}/heaps")]).with_s3(&self.server)
    }

    fn fetch(&self, flags: &[&str]) -> Tool {
        let to = self.files.path().to_str().unwrap();
        self.tool(&["fetch", self.key(), "--to", to, "--output", "json", "--retry-for", "1s"]).args(flags)
    }

    fn file(&self) -> PathBuf {
        self.files.path().join(self.key().rsplit('/').next().unwrap())
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.files.path()).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

fn sha256(path: &Path) -> String {
    let ended = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(ended.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn list_shows_the_receipt_of_each_object() {
    let Some(stored) = StoredDump::new(4) else { return };
    for under in [&["shop"][..], &["shop", "cart"], &["shop", "cart", "prod"]] {
        let ended = stored.tool(&["list"]).args(under).args(&["--output", "json"]).run().expect(0);
        let rows: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
        let row = &rows[0];
        assert_eq!((&row["key"], &row["complete"]), (&stored.key().into(), &true.into()));
        assert_eq!(
            (&row["sha256"], &row["bytes"]),
            (&stored.receipt["object"]["sha256"], &stored.receipt["object"]["bytes"])
        );
        assert_eq!(row["reason"], "before the pod dies");
        assert!(row["top_classes"][0]["name"].is_string(), "{row}");
    }
    let text = stored.tool(&["list", "shop"]).run().expect(0);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains(stored.key()) && text.contains("whole") && text.contains("byte[]"), "{text}");
    let none = stored.tool(&["list", "shopping"]).run().expect(0);
    assert!(String::from_utf8(none.stdout).unwrap().contains("nothing is stored there"));
    let store = tempfile::tempdir().unwrap();
    let file = stored.object();
    let args = ["upload", "shop", "cart", "prod", file.to_str().unwrap(), "--store", store.path().to_str().unwrap()];
    Tool::new(&args).run().expect(0);
    let ended =
        Tool::new(&["list", "shop", "--output", "json", "--store", store.path().to_str().unwrap()]).run().expect(0);
    let rows: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(rows[0]["complete"], true, "{rows}");
}

/// As many as fit into one answer are asked for once more, by a request of another form.
#[test]
fn a_thousand_objects_are_a_thousand() {
    let server = S3Server::start();
    let dir = server.object("heaps/shop/cart/prod");
    std::fs::create_dir_all(&dir).unwrap();
    for dump in 0..1000 {
        std::fs::write(dir.join(format!("20260101T000000Z_pod+x_7_{dump:06x}.hprof.gz")), "").unwrap();
    }
    let words = ["list", "shop", "--output", "json", "--store", &format!("s3://{BUCKET}/heaps")];
    let ended = Tool::new(&words).with_s3(&server).run().expect(0);
    let rows: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1000);
}

#[test]
fn a_link_works_without_keys_and_ends() {
    let Some(stored) = StoredDump::new(2) else { return };
    let ended = stored.tool(&["list", "shop", "--links", "24h", "--output", "json"]).run().expect(0);
    let rows: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let link = rows[0]["link"].as_str().unwrap();
    assert!(link.contains("X-Amz-Expires=86400") && rows[0]["link_until"].is_string(), "{link}");
    assert!(!link.contains(SECRET));
    let path = stored.files.path().join("by-link");
    let curl = Command::new("curl").args(["-sf", "-o"]).arg(&path).arg(link).status().unwrap();
    assert!(curl.success());
    assert_eq!(sha256(&path), stored.receipt["object"]["sha256"].as_str().unwrap());
    stored.tool(&["list", "shop", "--links", "8d"]).run().expect(2);
}

#[test]
fn printed_receipt_has_a_link_and_the_stored_one_has_none() {
    let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder("17")) else { return };
    let (jvm, files) = (jvm.start(), tempfile::tempdir().unwrap());
    let dump = Tool::dump(jvm.pid(), &format!("s3://{BUCKET}")).args(&["--link", "2h"]);
    let receipt = dump.with_s3(&server).run().expect(0).receipt();
    let (link, path) = (receipt["link"].as_str().unwrap(), files.path().join("by-link"));
    assert!(Command::new("curl").args(["-sf", "-o"]).arg(&path).arg(link).status().unwrap().success());
    assert_eq!(sha256(&path), receipt["object"]["sha256"].as_str().unwrap());
    let beside = receipt["object"]["key"].as_str().unwrap().replace(".hprof.gz", ".json");
    let beside = std::fs::read_to_string(server.object(&beside)).unwrap();
    assert!(!beside.contains("Signature") && receipt["link_until"].is_string(), "{beside}");
    let dump = Tool::dump(jvm.pid(), files.path().to_str().unwrap()).args(&["--link", "2h"]);
    assert!(dump.run().expect(0).receipt()["warnings"].to_string().contains("no links"));
    let dump = Tool::dump(jvm.pid(), &format!("s3://{BUCKET}")).args(&["--link", "8d"]);
    dump.with_s3(&server).run().expect(2);
}

#[test]
fn fetched_dump_is_the_stored_one_and_replaces_nothing() {
    let Some(stored) = StoredDump::new(40) else { return };
    let ended = stored.fetch(&[]).run().expect(0);
    let fetched = ended.receipt();
    assert_eq!(fetched["sha256"], stored.receipt["object"]["sha256"]);
    assert!(fetched["verified"].as_str().unwrap().contains("the receipt's checksum"));
    assert_eq!(assert_complete(stored.file()).of("Marker"), 55);
    assert_eq!(stored.files().len(), 1);
    assert!(stored.fetch(&[]).run().expect(2).stderr.contains("there already"));
    std::fs::remove_file(stored.file()).unwrap();
    let ended = stored.fetch(&["--gunzip"]).run().expect(0);
    let plain = PathBuf::from(ended.receipt()["file"].as_str().unwrap());
    assert_eq!((plain.extension().unwrap().to_str(), stored.files().len()), (Some("hprof"), 1));
    Tool::new(&["verify", plain.to_str().unwrap()]).run().expect(0);
    let local = ["fetch", stored.key(), "--to", stored.files.path().to_str().unwrap()];
    let root = stored.object();
    let root = root.ancestors().nth(4).unwrap();
    Tool::new(&local).args(&["--store", root.to_str().unwrap()]).run().expect(0);
    assert_eq!(assert_complete(stored.file()).of("Marker"), 55);
}

/// Megabytes of the dump; `JMAP_DUMP_TEST_MEGABYTES` makes it larger.
fn megabytes() -> u32 {
    std::env::var("JMAP_DUMP_TEST_MEGABYTES").ok().and_then(|text| text.parse().ok()).unwrap_or(160)
}

/// What a request asks for, and how many are in flight: those are lost by a cut.
const PIECE: u64 = 8 << 20;
const AT_ONCE: u64 = 4;

#[test]
fn cut_fetch_goes_on_with_missing_ranges() {
    let Some(stored) = StoredDump::new(megabytes()) else { return };
    let length = time_of(|| {
        let _ = std::fs::remove_file(stored.file());
        stored.fetch(&[]).run().expect(0);
    });
    std::fs::remove_file(stored.file()).unwrap();
    let part = PathBuf::from(format!("{}.part.pieces", stored.file().display()));
    let pieces = || std::fs::read_to_string(&part).unwrap_or_default().lines().count();
    let (mut before, mut cuts) = (0, 0);
    let relay = Relay::before(&stored.server.endpoint());
    let fetch = || stored.fetch(&[]).args(&["--endpoint", &relay.endpoint()]);
    for moment in 1..=moments() {
        let run = fetch().spawn();
        std::thread::sleep(length / moments() / 2 * (moment % 3 + 1));
        run.signal(if moment % 2 == 0 { Signal::KILL } else { Signal::TERM });
        if run.wait().code == 0 {
            break;
        }
        assert!(!stored.file().exists() && pieces() >= before, "{} pieces, {before} before", pieces());
        (before, cuts) = (pieces(), cuts + 1);
    }
    assert!(cuts > 1, "no fetch was cut");
    if !stored.file().exists() {
        fetch().run().expect(0);
    }
    let ranges = relay.seen().into_iter().filter(|seen| seen.is_piece()).count() as u64;
    let all = stored.object().metadata().unwrap().len().div_ceil(PIECE);
    assert!(ranges <= all + AT_ONCE * cuts, "{ranges} requests for {all} pieces after {cuts} cuts");
    assert_eq!(sha256(&stored.file()), stored.receipt["object"]["sha256"].as_str().unwrap());
    assert_eq!(stored.files().len(), 1);
}

#[test]
fn a_flipped_byte_anywhere_is_noticed() {
    let Some(stored) = StoredDump::new(4) else { return };
    let whole = std::fs::read(stored.object()).unwrap();
    for place in [0, 10, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        std::fs::write(stored.object(), &flipped).unwrap();
        let ended: Ended = stored.fetch(&[]).run().expect(5);
        assert!(ended.stderr.contains("is damaged: its SHA-256"), "byte {place}: {}", ended.stderr);
        assert_eq!(stored.files(), Vec::<String>::new(), "byte {place}");
    }
    std::fs::write(stored.object(), &whole[..whole.len() - 40]).unwrap();
    stored.fetch(&[]).run().expect(5);
}

#[test]
fn page_in_a_browser_links_to_the_dump() {
    let Some(stored) = StoredDump::new(2) else { return };
    let html = stored.tool(&["list", "shop", "--links", "1h", "--output", "html"]).run().expect(0).stdout;
    let page = stored.files.path().join("page.html");
    std::fs::write(&page, &html).unwrap();
    let Some(dom) = browser(&["--dump-dom".as_ref(), format!("file://{}", page.display()).as_ref()]) else { return };
    // The script has run: it shows the filter and makes the titles buttons.
    assert!(dom.contains(">Time</button>") && dom.contains("1 of 1 shown"), "{dom}");
    let downloads = tempfile::tempdir().unwrap();
    let Some(driven) = Browser::start(downloads.path()) else { return };
    driven.open(&format!("file://{}", page.display()));
    driven.click("a[download]");
    let downloaded = || {
        let files = std::fs::read_dir(downloads.path()).unwrap().flatten().map(|entry| entry.path());
        files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "gz"))
    };
    // The file has its name before it has its bytes.
    let expected = stored.receipt["object"]["sha256"].as_str().unwrap();
    wait_until("the download", || downloaded().is_some_and(|file| sha256(&file) == expected));
}

/// Kept, to be looked at.
pub fn screenshots() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// What a headless browser prints.
fn browser(args: &[&std::ffi::OsStr]) -> Option<String> {
    let flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"];
    let profile = tempfile::tempdir().unwrap();
    let ended = Command::new("chromium")
        .args(flags)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(args)
        .output();
    match ended {
        Ok(ended) => Some(String::from_utf8_lossy(&ended.stdout).into_owned()),
        Err(error) => {
            cannot_run(&format!("chromium: {error}; apt-get install chromium"));
            None
        }
    }
}
