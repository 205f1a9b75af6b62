//! What is kept when a run and its guard are killed together, as at the end of a container, or when the disk refuses.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::hprof_check::assert_complete;
use crate::common::killed_run::{marked, start};
use crate::common::s3::{BUCKET, S3Server};
use crate::common::shape::{Shape, files_in};
use crate::common::tool::Tool;
use crate::common::waiting::wait_within;

const SOON: Duration = Duration::from_secs(60);

fn dump(server: &S3Server, shape: &Shape) -> Tool {
    let dir = shape.dumps.path().to_str().unwrap();
    Tool::dump(shape.jvm.pid(), &format!("s3://{BUCKET}")).args(&["--dir", dir]).with_s3(server)
}

fn resume(server: &S3Server, shape: &Shape) {
    let dir = shape.dumps.path().to_str().unwrap();
    let tool = Tool::new(&["upload", "--resume", dir, "--store", &format!("s3://{BUCKET}")]);
    tool.with_s3(server).run().expect(0);
}

fn dumps_in(server: &S3Server) -> Vec<PathBuf> {
    let keys = server.objects().into_iter().filter(|key| key.ends_with(".hprof.gz"));
    keys.map(|key| server.object(&key)).collect()
}

/// Kills the run and its guard as soon as there is a file whose path ends so.
fn kill_all_at(tool: Tool, shape: &Shape, end: &str) {
    let (run, mark) = start(tool);
    let there = || files_in(shape.dumps.path()).iter().any(|path| path.ends_with(end) && size(path) > 0);
    wait_within(&format!("there is {end}"), SOON, there);
    for pid in marked(&mark) {
        let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
    }
    run.wait();
    // The JVM may still be at its dump.
    assert_eq!(shape.jvm.say("ping"), "pong");
}

fn size(path: &str) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// With all that lies in it.
fn make_all_old(dir: &Path) {
    let files = dir.read_dir().unwrap().map(|entry| entry.unwrap().path());
    files.chain([dir.to_owned()]).for_each(|path| make_old(&path));
}

fn make_old(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(120);
    std::fs::File::open(path).unwrap().set_modified(old).unwrap();
}

#[test]
fn next_run_removes_half_a_dump_without_run_and_guard() {
    for version in ["8", "17", "25"] {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 80)) else { continue };
        kill_all_at(dump(&server, &shape), &shape, "/spool.hprof.gz");
        let left = shape.dumps.path().read_dir().unwrap().next().unwrap().unwrap().path();
        dump(&server, &shape).run().expect(0);
        assert!(left.exists(), "JDK {version}: it may be in use");
        make_all_old(&left);
        dump(&server, &shape).run().expect(0);
        shape.assert_clean(&format!("JDK {version}"));
    }
}

/// With classes to be kept, a dump is read when it is whole.
#[test]
fn raw_dump_outlives_its_run_and_guard() {
    for version in ["8", "17", "25"] {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 80)) else { continue };
        let redacted = || dump(&server, &shape).args(&["--redact=strings", "--keep-class", "com.acme.*"]);
        kill_all_at(redacted(), &shape, "/heap.hprof.upload");
        assert_eq!(dumps_in(&server), Vec::<PathBuf>::new(), "JDK {version}: it was killed too late");
        resume(&server, &shape);
        shape.assert_clean(&format!("JDK {version}"));
        let stored = dumps_in(&server);
        assert_eq!(stored.len(), 1, "JDK {version}");
        assert_eq!(assert_complete(&stored[0]).of("Marker"), 50, "JDK {version}");
        let receipt = std::fs::read_to_string(stored[0].to_str().unwrap().replace(".hprof.gz", ".json")).unwrap();
        let receipt: serde_json::Value = serde_json::from_str(&receipt).unwrap();
        assert_eq!(receipt["redacted"], "strings", "JDK {version}: {receipt}");
    }
}

#[test]
fn a_dump_that_cannot_be_renamed_is_kept_all_the_same() {
    let Some(shape) = Shape::new("17", 8) else { return };
    // The journal when it is sealed, the one of what is kept, and what is kept.
    for step in ["write a journal/1", "write a journal/2", "renameat/1"] {
        let server = S3Server::start();
        server.die_after_parts(0);
        let fault = format!("{step}:{}", rustix::io::Errno::NOSPC.raw_os_error());
        let ended = dump(&server, &shape).args(&["--retry-for", "1s"]).env("JMAP_DUMP_FAULT", &fault).run().expect(7);
        assert!(ended.stderr.contains("fails on demand"), "{step}: {}", ended.stderr);
        assert!(ended.receipt()["kept"]["bytes"].as_u64() > Some(0), "{step}: {}", ended.receipt());
        server.revive();
        resume(&server, &shape);
        shape.assert_clean(step);
        let stored = dumps_in(&server);
        assert_eq!(stored.len(), 1, "{step}");
        assert_complete(&stored[0]);
    }
}

/// With the right to put alone, the object cannot be looked at.
#[test]
fn unverified_dump_survives_later_runs() {
    let (server, Some(shape)) = (S3Server::start(), Shape::new("17", 100)) else { return };
    let redacted = || dump(&server, &shape).args(&["--redact=strings", "--keep-class", "com.acme.*"]);
    kill_all_at(redacted(), &shape, "/heap.hprof.upload");
    server.forbid_looking();
    let dir = shape.dumps.path().to_str().unwrap();
    let tool = Tool::new(&["upload", "--resume", dir, "--store", &format!("s3://{BUCKET}"), "--output", "json"]);
    let receipt = tool.with_s3(&server).run().expect(0).receipt();
    let kept = || files_in(shape.dumps.path()).into_iter().find(|path| path.ends_with("/kept-heap.hprof"));
    let kept = kept().unwrap_or_else(|| panic!("{receipt}"));
    assert!(receipt["warnings"].to_string().contains(&kept), "{receipt}");
    make_all_old(Path::new(&kept).parent().unwrap());
    dump(&server, &shape).run().expect(0);
    assert_eq!(assert_complete(&kept).of("Marker"), 50);
}

#[test]
fn copy_to_standard_output_leaves_a_kept_dump() {
    let (server, Some(shape)) = (S3Server::start(), Shape::new("17", 100)) else { return };
    let redacted = || dump(&server, &shape).args(&["--redact=strings", "--keep-class", "com.acme.*"]);
    kill_all_at(redacted(), &shape, "/heap.hprof.upload");
    let kept = files_in(shape.dumps.path()).into_iter().find(|path| path.ends_with("/heap.hprof")).unwrap();
    for app in ["cart", "another"] {
        let tool = Tool::new(&["upload", "shop", app, "prod", &kept, "--store", "-", "--output", "json"]);
        let stdout = tool.run().expect(0).stdout;
        assert!(stdout.starts_with(&[0x1f, 0x8b]), "{} bytes", stdout.len());
    }
    make_old(Path::new(&kept).parent().unwrap());
    dump(&server, &shape).run().expect(0);
    resume(&server, &shape);
    shape.assert_clean("stored");
    let keys = server.objects().into_iter().filter(|key| key.ends_with(".hprof.gz") && key.contains("/cart/"));
    assert_eq!(keys.count(), 2);
}

/// It has a journal before it is compressed, none while the compressed one is sent, and is there until that is stored.
#[test]
fn a_watcher_leaves_the_raw_dump_of_a_run_to_it() {
    // It takes longer to compress than the watcher takes to look again.
    let (server, Some(shape)) = (S3Server::start(), Shape::new("17", 600)) else { return };
    let dir = shape.dumps.path().to_str().unwrap();
    let watch = Tool::new(&["watch", "shop", "cart", "prod", dir, "--store", &format!("s3://{BUCKET}")]);
    let watcher = watch.with_s3(&server).spawn().hear();
    server.stall(SOON);
    let redacted = dump(&server, &shape).args(&["--redact=strings", "--keep-class", "com.acme.*"]).spawn();
    let is_there = |end: &str| files_in(shape.dumps.path()).iter().any(|path| path.ends_with(end));
    wait_within("the raw dump's journal", SOON, || is_there("/heap.hprof.upload"));
    wait_within("the compressed dump's journal", SOON, || is_there("/spool.hprof.gz.upload"));
    // The watcher tries a second and a third time meanwhile.
    std::thread::sleep(Duration::from_secs(5));
    server.stall(Duration::ZERO);
    server.release();
    redacted.wait().expect(0);
    let status = shape.dumps.path().join("jmap-dump-tool/status.json");
    let status = || serde_json::from_slice(&std::fs::read(&status).unwrap()).unwrap_or(serde_json::Value::Null);
    wait_within("the watcher has nothing to do", SOON, || status()["waiting"] == 0);
    watcher.signal(Signal::TERM);
    watcher.wait();
    assert_eq!(dumps_in(&server).len(), 1);
    let left = files_in(shape.dumps.path()).into_iter().filter(|path| path.contains("hprof"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
}
