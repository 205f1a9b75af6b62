//! Names of stores, in a network of its own with its own name server, as a pod has them.

use std::path::Path;

use super::hprof::{Dump, SMALL};
use super::network::{CHROOT, with_keys};
use crate::common::bed::cannot_run;
use crate::common::dns::NameServer;
use crate::common::s3::S3Server;
use crate::common::tokens::in_own_network;
use crate::common::tool::{Ended, Tool, binary, install};

/// Runs an upload to `host` where /etc/resolv.conf says this; and what was asked of the server.
fn upload_to(host: &'static str, resolv_conf: &str, known: &'static [&'static str]) -> Option<(Ended, Vec<String>)> {
    if !rustix::process::geteuid().is_root() || !Path::new(CHROOT).exists() {
        cannot_run("changing the root needs root and chroot(8)");
        return None;
    }
    let image = tempfile::tempdir().unwrap();
    std::fs::create_dir(image.path().join("etc")).unwrap();
    std::fs::write(image.path().join("etc/resolv.conf"), resolv_conf).unwrap();
    install(binary(), &image.path().join("tool"));
    std::fs::copy(Dump::of(SMALL).path(), image.path().join("java_pid7.hprof")).unwrap();
    let root = image.path().to_str().unwrap().to_owned();
    let mut ended = None;
    let ran = in_own_network(&[], || {
        let (names, server) = (NameServer::start(known, "bad.test"), S3Server::start());
        let words = [&root, "/tool", "upload", "shop", "cart", "prod", "/java_pid7.hprof"];
        let endpoint = format!("http://{host}:{}", server.port());
        let run = with_keys(Tool::of(Path::new(CHROOT), &words), &endpoint).run();
        ended = Some((run, names.asked()));
    });
    if !ran {
        cannot_run("a network namespace needs root and ip(8)");
    }
    ended
}

/// musl ends the look-up at the first search domain whose server fails; glibc goes on.
#[test]
fn a_search_domain_whose_server_fails_does_not_hide_a_name() {
    let conf = "nameserver 127.0.0.1\nsearch bad.test\noptions ndots:5\n";
    let Some((ended, asked)) = upload_to("s3.example.org", conf, &["s3.example.org"]) else { return };
    ended.expect(0);
    assert!(asked.contains(&"s3.example.org.bad.test".into()) && asked.contains(&"s3.example.org".into()), "{asked:?}");
}

/// What is a service of the cluster is somebody else's domain elsewhere.
#[test]
fn a_name_of_the_cluster_is_never_asked_of_the_world() {
    let conf = "nameserver 127.0.0.1\nsearch svc.cluster.test cluster.test\noptions ndots:5\n";
    let known = &["minio.store.svc.cluster.test", "minio.store"];
    let Some((ended, asked)) = upload_to("minio.store", conf, known) else { return };
    ended.expect(0);
    assert!(!asked.contains(&"minio.store".into()), "{asked:?}");
}
