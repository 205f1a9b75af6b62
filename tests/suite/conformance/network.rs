//! The way to a store: proxies, certificate authorities of one's own, images without a CA bundle, IPv6.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::hprof::{Dump, LARGE, SMALL};
use crate::common::bed::cannot_run;
use crate::common::relay::Relay;
use crate::common::s3::{BUCKET, S3Server};
use crate::common::tool::{Tool, binary, install};

pub const CHROOT: &str = "/usr/sbin/chroot";

/// A certificate authority that nobody knows, and a certificate of it for this machine.
struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let authority = Self { dir: tempfile::tempdir().unwrap() };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        authority.openssl(&["req", "-x509", "-days", "2", "-subj", "/CN=nobody knows it"], &key, "ca.key", "ca.pem");
        authority.openssl(&["req", "-subj", "/CN=store"], &key, "store.key", "store.csr");
        let names = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\nbasicConstraints=CA:FALSE\n";
        std::fs::write(authority.file("names"), names).unwrap();
        let sign = ["x509", "-req", "-days", "2", "-in", "store.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
        let more = ["-CAcreateserial", "-extfile", "names", "-out", "store.pem"];
        authority.run(&[&sign[..], &more[..]].concat());
        authority
    }

    fn openssl(&self, what: &[&str], key: &[&str], key_out: &str, out: &str) {
        self.run(&[what, key, &["-keyout", key_out, "-out", out]].concat());
    }

    #[track_caller]
    fn run(&self, args: &[&str]) {
        let ended = Command::new("openssl").args(args).current_dir(self.dir.path()).output().unwrap();
        assert!(ended.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ca_file(&self) -> String {
        self.file("ca.pem").to_str().unwrap().to_owned()
    }

    /// HTTPS in front of the store.
    fn before(&self, server: &S3Server, bind: &str) -> std::io::Result<Relay> {
        Relay::start(bind, Some(&server.endpoint()), Some((&self.file("store.pem"), &self.file("store.key"))))
    }
}

pub fn with_keys(tool: Tool, endpoint: &str) -> Tool {
    tool.args(&["--store", &format!("s3://{BUCKET}"), "--endpoint", endpoint, "--region", "us-east-1"])
        .args(&["--retry-for", "5s", "--output", "json"])
        .with_key()
}

fn upload(dump: &Dump, endpoint: &str) -> Tool {
    let file = dump.word();
    with_keys(Tool::new(&["upload", "shop", "cart", "prod", file.as_str()]), endpoint)
}

#[track_caller]
fn assert_stored(server: &S3Server, dump: &Dump, tool: Tool) {
    let receipt = tool.run().expect(0).receipt();
    dump.assert_is(&std::fs::read(server.object(receipt["object"]["key"].as_str().unwrap())).unwrap());
}

#[test]
fn a_private_authority_is_trusted_by_its_file_alone() {
    let (server, authority, dump) = (S3Server::start(), Authority::new(), Dump::of(LARGE));
    let relay = authority.before(&server, "127.0.0.1:0").unwrap();
    let ended = upload(&dump, &relay.endpoint()).run().expect(9);
    assert!(ended.stderr.contains("certificate"), "{}", ended.stderr);
    let ca_file = authority.ca_file();
    assert_stored(&server, &dump, upload(&dump, &relay.endpoint()).args(&["--ca-file", &ca_file]));
}

/// Nothing but the binary, the dump, and what is mounted there.
#[test]
fn an_image_without_a_ca_bundle_is_no_obstacle() {
    if !rustix::process::geteuid().is_root() || !Path::new(CHROOT).exists() {
        return cannot_run("changing the root needs root and chroot(8)");
    }
    let (server, authority, dump) = (S3Server::start(), Authority::new(), Dump::of(SMALL));
    let relay = authority.before(&server, "127.0.0.1:0").unwrap();
    let image = tempfile::tempdir().unwrap();
    install(binary(), &image.path().join("tool"));
    std::fs::copy(dump.path(), image.path().join("java_pid7.hprof")).unwrap();
    std::fs::copy(authority.file("ca.pem"), image.path().join("ca.pem")).unwrap();
    let root = image.path().to_str().unwrap();
    let words = [root, "/tool", "upload", "shop", "cart", "prod", "/java_pid7.hprof"];
    let in_image = || with_keys(Tool::of(Path::new(CHROOT), &words), &relay.endpoint());
    // The built-in authorities are asked, and do not know this one.
    let ended = in_image().run().expect(9);
    assert!(ended.stderr.contains("certificate"), "{}", ended.stderr);
    assert_stored(&server, &dump, in_image().args(&["--ca-file", "/ca.pem"]));
}

#[test]
fn an_endpoint_may_be_an_ipv6_address() {
    let (server, authority) = (S3Server::start(), Authority::new());
    let plain = match Relay::start("[::1]:0", Some(&server.endpoint()), None) {
        Ok(relay) => relay,
        Err(error) => return cannot_run(&format!("no IPv6 on the loopback device: {error}")),
    };
    let secure = authority.before(&server, "[::1]:0").unwrap();
    for relay in [&plain, &secure] {
        let dump = Dump::of(SMALL);
        assert_stored(&server, &dump, upload(&dump, &relay.endpoint()).args(&["--ca-file", &authority.ca_file()]));
        assert!(!relay.seen().is_empty());
    }
}

#[test]
fn an_http_proxy_leads_to_the_store_with_and_without_tls() {
    let (server, authority, proxy) = (S3Server::start(), Authority::new(), Relay::forward());
    let secure = authority.before(&server, "127.0.0.1:0").unwrap();
    for (endpoint, method) in [(server.endpoint(), http::Method::PUT), (secure.endpoint(), http::Method::CONNECT)] {
        let dump = Dump::of(LARGE);
        let (by, ca_file) = (proxy.endpoint(), authority.ca_file());
        let flags = ["--proxy", by.as_str(), "--ca-file", ca_file.as_str()];
        assert_stored(&server, &dump, upload(&dump, &endpoint).args(&flags));
        let host = endpoint.split_once("://").unwrap().1;
        let through = |seen: &crate::common::relay::Seen| seen.method == method && seen.target.contains(host);
        assert!(proxy.seen().iter().any(through), "{endpoint}: {:?}", proxy.seen());
    }
}

/// The application's own are not asked: nothing goes around the proxy that was named.
#[test]
fn a_proxy_that_is_down_is_told() {
    let (server, dump) = (S3Server::start(), Dump::of(SMALL));
    let tool = upload(&dump, &server.endpoint()).args(&["--retry-for", "1s", "--proxy", "http://127.0.0.1:1"]);
    let ended = tool.run().expect(9);
    assert!(ended.stderr.contains("the proxy"), "{}", ended.stderr);
    assert_eq!(server.requests(), 0);
}
