//! An upload that the store refused, beside an object of the same size: nothing is taken for stored that nobody has seen.

use std::io::Write;
use std::path::PathBuf;

use crate::common::hostile_store::{Asked, HostileStore, Reply};
use crate::common::tool::{Ended, Tool};
use crate::keyless::Pod;

/// A gzipped dump, which is sent as it is.
struct Gzipped(tempfile::TempDir, usize, PathBuf);

impl Gzipped {
    fn new() -> Self {
        let (dir, raw) = (tempfile::tempdir().unwrap(), std::fs::read(Pod::new(1).dump()).unwrap());
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&raw).unwrap();
        let bytes = encoder.finish().unwrap();
        let path = dir.path().join("x.hprof.gz");
        std::fs::write(&path, &bytes).unwrap();
        Self(dir, bytes.len(), path)
    }

    fn path(&self) -> PathBuf {
        self.2.clone()
    }

    fn upload(&self, server: &HostileStore, store: &str) -> Ended {
        let path = self.path();
        let words = ["upload", "shop", "cart", "prod", path.to_str().unwrap(), "--delete", "--output", "json"];
        let tool = Tool::new(&words).args(&["--store", store, "--retry-for", "1s"]);
        let tool =
            if store.starts_with("s3") { tool.args(&["--endpoint", &server.url(), "--region", "r"]) } else { tool };
        tool.with_key().run()
    }
}

fn head(bytes: usize, e_tag: &str, modified: &str) -> Reply {
    Reply::Head(format!("Content-Length: {bytes}\r\nETag: \"{e_tag}\"\r\nLast-Modified: {modified}\r\n"))
}

const LONG_AGO: &str = "Wed, 01 Jan 2020 00:00:00 GMT";

fn http_date_of_today() -> String {
    chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// An S3 whose completion has this answer, with an object of `bytes` at each key.
fn s3(completion: Reply, bytes: usize, modified: String) -> HostileStore {
    HostileStore::start(move |asked| match asked.method.as_str() {
        "POST" if asked.target.contains("uploads") => {
            Reply::body(200, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
        }
        "POST" => completion.clone(),
        "PUT" => Reply::Whole(200, "ETag: \"of the part\"\r\n".into(), Vec::new()),
        "HEAD" => head(bytes, "other", &modified),
        _ => Reply::body(204, ""),
    })
}

#[track_caller]
fn assert_not_stored(what: &str, dump: &Gzipped, server: &HostileStore, ended: &Ended) {
    assert_eq!(ended.code, 7, "{what}: {ended:?}");
    assert!(dump.path().exists(), "{what}: the input is removed");
    let put = |asked: &Asked| asked.method == "PUT" && asked.target.contains(".json");
    assert!(!server.asked().iter().any(put), "{what}: the receipt is written");
}

#[test]
fn refused_completion_beside_an_older_object_is_7() {
    for status in [400, 403, 404, 409, 412, 500] {
        let dump = Gzipped::new();
        let server = s3(Reply::body(status, "<Error><Code>No</Code></Error>"), dump.1, LONG_AGO.into());
        let ended = dump.upload(&server, "s3://dumps");
        assert_not_stored(&format!("{status}"), &dump, &server, &ended);
    }
    let dump = Gzipped::new();
    let server = s3(Reply::Close, dump.1, LONG_AGO.into());
    let ended = dump.upload(&server, "s3://dumps");
    assert_not_stored("no answer", &dump, &server, &ended);
    // A refusal stays one, however young the object is.
    let dump = Gzipped::new();
    let server = s3(Reply::body(403, ""), dump.1, http_date_of_today());
    let ended = dump.upload(&server, "s3://dumps");
    assert_not_stored("403, young", &dump, &server, &ended);
}

/// Its ETag is no MD5, so nobody can tell whose it is.
#[test]
fn object_after_a_lost_answer_is_only_acknowledged() {
    let dump = Gzipped::new();
    let server = s3(Reply::body(500, ""), dump.1, http_date_of_today());
    let ended = dump.upload(&server, "s3://dumps");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.receipt()["object"]["verified"], "acknowledged");
    assert!(dump.path().exists());
}

/// Its name tells its key, and nobody has written down that it was sent.
#[test]
fn object_of_the_name_of_a_file_is_only_acknowledged() {
    let mut dump = Gzipped::new();
    let named = dump.0.path().join("20261122T030000Z_pod_1_abcdef.hprof.gz");
    std::fs::rename(dump.path(), &named).unwrap();
    dump.2 = named.clone();
    let server = s3(Reply::body(403, ""), dump.1, LONG_AGO.into());
    let ended = dump.upload(&server, "s3://dumps");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.receipt()["object"]["verified"], "acknowledged");
    assert!(named.exists());
}

/// A WebDAV server that has all of it at the temporary name. Its answers: to the MOVE to the final name, to a HEAD of
/// that.
fn dav(named: Reply, look: Reply, bytes: usize) -> HostileStore {
    HostileStore::start(move |asked| match asked.method.as_str() {
        "MOVE" if asked.target.ends_with(".probe") => Reply::body(201, ""),
        "MOVE" => named.clone(),
        "HEAD" if asked.target.ends_with(".part") => head(bytes, "t", LONG_AGO),
        "HEAD" if asked.target.ends_with(".gz") => look.clone(),
        "HEAD" => Reply::body(404, ""),
        _ => Reply::body(201, ""),
    })
}

#[test]
fn webdav_name_of_another_object_is_7() {
    for (what, named) in [
        ("412", Reply::body(412, "")),
        ("403", Reply::body(403, "")),
        ("404", Reply::body(404, "")),
        // The temporary name is there still, so that nothing was moved.
        ("500", Reply::body(500, "")),
        ("no answer", Reply::Close),
    ] {
        let dump = Gzipped::new();
        let server = dav(named, head(dump.1, "o", LONG_AGO), dump.1);
        let ended = dump.upload(&server, &format!("{}/dav", server.url()));
        assert_not_stored(what, &dump, &server, &ended);
    }
}

#[test]
fn webdav_object_that_nobody_can_look_at_is_acknowledged() {
    for status in [301, 403, 405, 500, 501] {
        let dump = Gzipped::new();
        let server = dav(Reply::body(201, ""), Reply::body(status, ""), dump.1);
        let ended = dump.upload(&server, &format!("{}/dav", server.url()));
        assert_eq!(ended.code, 0, "{status}: {ended:?}");
        assert_eq!(ended.receipt()["object"]["verified"], "acknowledged", "{status}");
        assert!(dump.path().exists(), "{status}: the input is removed");
    }
}
