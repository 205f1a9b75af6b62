//! `--no-disk`: through pipes straight into the store, and the application is let go whatever happens.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::killed_run::{kill, moments, start};
use crate::common::s3::{BUCKET, S3Server};
use crate::common::shape::{Shape, files_in};
use crate::common::tool::{Tool, binary};
use crate::containers::INSIDE;
use crate::guard::assert_no_longer_pause;

/// Those that can write to pipes.
pub const VERSIONS: [&str; 3] = ["17", "21", "25"];

pub fn dump(pid: u32, server: &S3Server) -> Tool {
    Tool::dump(pid, &format!("s3://{BUCKET}")).arg("--no-disk").with_s3(server)
}

/// The first part ends where the head does, for small and large heaps; a heap of less than a part is one.
#[test]
fn a_dump_arrives_whole_without_a_file() {
    for version in VERSIONS {
        for megabytes in [0, 20, 100] {
            let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder(version)) else { continue };
            let jvm = jvm.arg(format!("mb={megabytes}")).arg("markers=1234").start();
            let ended = dump(jvm.pid(), &server).run().expect(0);
            let receipt = ended.receipt();
            let what = format!("JDK {version}, {megabytes} MB: {receipt}");
            assert_eq!(receipt["object"]["verified"], "checksum", "{what}");
            assert_eq!(receipt["object"]["sha256"].is_string(), version != "25", "{what}");
            // There is nothing here to read their names from.
            assert_eq!(receipt["dump"]["walk"].get("classes"), None, "{what}");
            let census = assert_complete(server.object(receipt["object"]["key"].as_str().unwrap()));
            assert_eq!(census.of("Marker"), 1234, "{what}");
            assert_eq!(server.unfinished_uploads(), Vec::<String>::new(), "{what}");
            assert_eq!(jvm.say("ping"), "pong", "{what}");
        }
    }
}

#[test]
fn a_container_with_sixteen_megabytes_of_disk_suffices() {
    for version in VERSIONS {
        let (server, Some(container)) = (S3Server::start(), Container::builder(version)) else { continue };
        let container = container.read_only_root().tmpfs("/tmp", "16m").bind_read_only(binary(), INSIDE);
        let container = container.uid(1000).gid(1000).arg("mb=150").arg("markers=77").start();
        let flags = server.flags();
        let mut command = vec![INSIDE, "shop", "cart", "prod", "--output", "json", "--store", "s3://dumps"];
        command.extend(flags.iter().map(String::as_str));
        let run = |more: &[&str]| {
            let command = [&command[..], more].concat();
            container.command(&command).with_key().output()
        };
        let refused = run(&[]);
        assert_eq!(refused.code, 6, "JDK {version}: {refused:?}");
        assert!(refused.stderr.contains("--no-disk"), "JDK {version}: {refused:?}");
        let ended = run(&["--no-disk"]);
        assert_eq!(ended.code, 0, "JDK {version}: {ended:?}");
        let receipt: serde_json::Value = serde_json::from_str(&ended.text()).unwrap();
        let census = assert_complete(server.object(receipt["object"]["key"].as_str().unwrap()));
        assert_eq!(census.of("Marker"), 77, "JDK {version}");
    }
}

#[test]
fn a_jvm_that_cannot_write_to_a_pipe_is_refused_and_left_alone() {
    for version in ["8", "11"] {
        let (server, Some(jvm)) = (S3Server::start(), TestJvm::builder(version)) else { continue };
        let jvm = jvm.start();
        let ended = dump(jvm.pid(), &server).run().expect(6);
        assert!(ended.stderr.contains("cannot dump without a disk"), "JDK {version}: {}", ended.stderr);
        assert_eq!(server.objects(), Vec::<String>::new());
        assert_eq!(server.unfinished_uploads(), Vec::<String>::new());
    }
}

#[test]
fn a_directory_is_no_store_for_it() {
    let store = tempfile::tempdir().unwrap();
    for flags in [&["--no-disk", "--store", store.path().to_str().unwrap()][..], &["--no-disk", "--store", "-"]] {
        Tool::new(&["a", "b", "c"]).args(flags).run().expect(2);
    }
}

#[test]
fn stalled_store_pauses_no_longer_than_max_pause() {
    for version in VERSIONS {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 200)) else { continue };
        server.stall(Duration::from_secs(60));
        shape.jvm.longest_gap();
        let begun = Instant::now();
        let ended = dump(shape.jvm.pid(), &server)
            .args(&["--max-pause", "4s", "--dir", shape.dumps.path().to_str().unwrap()])
            .run()
            .expect(5);
        let what = format!("JDK {version}: {}", ended.stderr);
        assert!(ended.stderr.contains("--max-pause"), "{what}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        assert_eq!(shape.jvm.say("ping"), "pong", "{what}");
        // It walks the rest of its heap without writing it.
        let gap = shape.jvm.longest_gap();
        assert!(gap < Duration::from_secs(4 + 4), "{what}: {gap:?}");
        shape.assert_clean(&what);
        assert_eq!(server.objects(), Vec::<String>::new(), "{what}");
        // Its parts are still on their way into the server.
        server.stall(Duration::ZERO);
    }
}

#[test]
fn a_store_that_fails_lets_the_application_go_at_once() {
    for version in VERSIONS {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 200)) else { continue };
        server.die_after_parts(2);
        shape.jvm.longest_gap();
        let dumps = shape.dumps.path().to_str().unwrap();
        let ended = dump(shape.jvm.pid(), &server).args(&["--retry-for", "1s", "--dir", dumps]).run().expect(9);
        let what = format!("JDK {version}: {}", ended.stderr);
        // One that nobody notices would hold the application for --max-pause, 20 s.
        let gap = shape.jvm.longest_gap();
        assert!(gap < Duration::from_secs(15), "{what}: {gap:?}");
        shape.assert_clean(&what);
    }
}

/// With a file, the pause is the JVM's own.
#[test]
fn stalled_store_pauses_no_jvm_that_writes_a_file() {
    let (server, Some(shape)) = (S3Server::start(), Shape::new("17", 100)) else { return };
    let run = || {
        shape.jvm.longest_gap();
        let tool = Tool::dump(shape.jvm.pid(), &format!("s3://{BUCKET}"))
            .with_s3(&server)
            .args(&["--dir", shape.dumps.path().to_str().unwrap()]);
        let run = tool.spawn();
        shape.jvm.say("ping");
        run.wait().expect(0);
        shape.jvm.longest_gap()
    };
    let undisturbed = run();
    server.stall(Duration::from_secs(5));
    let stalled = run();
    assert!(stalled < undisturbed * 2 + Duration::from_secs(2), "{stalled:?}, {undisturbed:?} without");
}

#[test]
fn killed_run_lets_the_application_go() {
    for version in VERSIONS {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 64)) else { continue };
        let dir = shape.dumps.path().to_str().unwrap();
        let run = || dump(shape.jvm.pid(), &server).args(&["--dir", dir, "-vv"]);
        let undisturbed_run = || drop(run().run().expect(0));
        shape.jvm.longest_gap();
        let begun = Instant::now();
        undisturbed_run();
        let (length, mut undisturbed) = (begun.elapsed(), shape.jvm.longest_gap());
        for moment in 0..moments() {
            let what = format!("JDK {version}, killed at moment {moment}");
            let (killed, mark) = start(run());
            std::thread::sleep(length * moment / moments());
            let ended = kill(killed, &mark, &what);
            server.forget_untold_uploads(&ended.stderr);
            assert_eq!(server.listed_uploads(), Vec::<String>::new(), "{what}");
            shape.assert_clean(&what);
            assert_no_longer_pause(&shape.jvm, &mut undisturbed, undisturbed_run, &what);
        }
    }
}

#[test]
fn a_signal_lets_the_application_go_and_leaves_nothing() {
    for version in VERSIONS {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 24)) else { continue };
        let run = || dump(shape.jvm.pid(), &server).args(&["--dir", shape.dumps.path().to_str().unwrap()]);
        let begun = Instant::now();
        run().run().expect(0);
        let length = begun.elapsed();
        for moment in 0..5 {
            let stopped = run().spawn();
            std::thread::sleep(length * moment / 5);
            stopped.signal(Signal::TERM);
            let ended = stopped.wait();
            let what = format!("JDK {version} at moment {moment}: {ended:?}");
            assert!([0, 8, 128 + 15].contains(&ended.code), "{what}");
            shape.assert_clean(&what);
            assert_eq!(files_in(shape.dumps.path()).len(), 0, "{what}");
            assert_eq!(server.listed_uploads(), Vec::<String>::new(), "{what}");
        }
    }
}

/// No process here has a number there.
#[test]
fn jvm_of_another_pid_namespace_is_refused_untouched() {
    for version in ["17", "25"] {
        let (server, Some(container)) = (S3Server::start(), Container::builder(version)) else { continue };
        let container = container.start();
        let before = container.files();
        let ended = dump(container.pid(), &server).run().expect(4);
        assert!(ended.stderr.contains("pid namespace"), "JDK {version}: {}", ended.stderr);
        assert!(ended.stderr.contains("leave --no-disk away"), "JDK {version}: {}", ended.stderr);
        // It was not even attached to.
        assert_eq!(container.files(), before, "JDK {version}");
        assert_eq!(server.requests(), 0, "JDK {version}");
    }
}
