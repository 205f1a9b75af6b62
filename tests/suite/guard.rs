//! A run that is killed hurts nobody: its guard does what is left to do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::container::Container;
use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::killed_run::{SOON, deleted_files_in_use, kill, moments, of_this_program, start};
use crate::common::s3::{BUCKET, S3Server};
use crate::common::shape::{Shape, files_in, resume};
use crate::common::tool::{Ended, Tool, binary, time_of};
use crate::containers::{INSIDE, files_but_the_socket};

/// How much longer than an undisturbed one the application may pause.
const LONGER: Duration = Duration::from_secs(2);

#[test]
fn killed_run_leaves_nothing_in_a_local_store() {
    for version in ["8", "17", "25"] {
        let Some(shape) = Shape::new(version, 64) else { continue };
        let resume = |_: &Ended, what: &str| {
            resume(shape.store.path(), what);
            resume(shape.dumps.path(), what).len()
        };
        kill_at_moments(version, &shape, || shape.dump(), resume);
    }
}

#[test]
fn killed_run_leaves_no_open_upload() {
    for version in ["8", "17", "25"] {
        let (server, Some(shape)) = (S3Server::start(), Shape::new(version, 64)) else { continue };
        let dir = shape.dumps.path().to_str().unwrap();
        let to_server = |tool: Tool| tool.with_s3(&server);
        let store = format!("s3://{BUCKET}");
        let dump = || to_server(Tool::dump(shape.jvm.pid(), &store).args(&["--dir", dir, "-vv"]));
        let resume = |killed: &Ended, what: &str| {
            let before = server.objects().len();
            let ended = to_server(Tool::new(&["upload", "--resume", dir, "--store", &store, "-vv"])).run();
            assert_eq!(ended.code, 0, "{what}: {ended:?}");
            server.forget_untold_uploads(&[killed.stderr.as_str(), &ended.stderr].concat());
            assert_eq!(server.listed_uploads(), Vec::<String>::new(), "{what}");
            server.objects().len() - before
        };
        kill_at_moments(version, &shape, dump, resume);
        for key in server.objects().into_iter().filter(|key| key.ends_with(".hprof.gz")) {
            assert_complete(server.object(&key));
        }
    }
}

/// `resume` stores what is left of a killed run, and says how much that was.
fn kill_at_moments(version: &str, shape: &Shape, dump: impl Fn() -> Tool, resume: impl Fn(&Ended, &str) -> usize) {
    let undisturbed_run = || drop(dump().run().expect(0));
    shape.jvm.longest_gap();
    let length = time_of(undisturbed_run);
    let mut undisturbed = shape.jvm.longest_gap();
    let (mut killed, mut resumed) = (0, 0);
    for moment in 0..moments() {
        let what = format!("JDK {version}, killed at moment {moment}");
        let before = files_in(shape.store.path());
        let (run, mark) = start(dump());
        std::thread::sleep(length * moment / moments());
        let ended = kill(run, &mark, &what);
        killed += usize::from(ended.code == 128 + 9);
        // What was whole is not lost, and what is left can be stored.
        resumed += resume(&ended, &what);
        shape.assert_clean(&what);
        assert_only_whole_objects(&before, &files_in(shape.store.path()), &what);
        assert_eq!(deleted_files_in_use(shape.dumps.path()), Vec::<PathBuf>::new(), "{what}");
        assert_no_longer_pause(&shape.jvm, &mut undisturbed, undisturbed_run, &what);
    }
    eprintln!("JDK {version}: {killed} runs killed, {resumed} objects stored afterwards");
    assert!(killed > 1, "JDK {version}: every run was over before it was killed");
}

/// The application has not paused much longer than by an undisturbed run. Other tests run beside: before this fails,
/// one more of those is measured.
#[track_caller]
pub fn assert_no_longer_pause(jvm: &TestJvm, undisturbed: &mut Duration, run: impl Fn(), what: &str) {
    let gap = jvm.longest_gap();
    if gap > *undisturbed + LONGER {
        run();
        *undisturbed = jvm.longest_gap().max(*undisturbed);
    }
    assert!(gap <= *undisturbed + LONGER, "{what}: paused for {gap:?}, {undisturbed:?} without");
}

/// A run that was over when it was killed has stored its dump: the object, and perhaps its receipt. The directories of
/// one that was not may stay.
fn assert_only_whole_objects(before: &BTreeSet<String>, after: &BTreeSet<String>, what: &str) {
    for path in after.difference(before) {
        let is_used_dir = || Path::new(path).read_dir().is_ok_and(|mut dir| dir.next().is_some());
        assert!(is_of_a_whole_object(path, after) || is_used_dir(), "{what}: {path}");
    }
}

/// Of `all` that is there: the object by its own name, its receipt, its context, or what is left of its journal.
fn is_of_a_whole_object(path: &str, all: &BTreeSet<String>) -> bool {
    let is_object = path.ends_with(".hprof.gz") && !path.contains("/.2");
    is_object || path.ends_with(".json") || path.ends_with(".txt") || is_left_journal(path, all)
}

/// The journal of a spool that has become the object: the run was killed before it removed that, and whoever looks next
/// does.
fn is_left_journal(path: &str, all: &BTreeSet<String>) -> bool {
    let spool = path.strip_suffix(".upload").filter(|spool| spool.ends_with(".hprof.gz.part"));
    let Some((dir, name)) = spool.and_then(|spool| spool.strip_suffix(".part")?.rsplit_once("/.")) else {
        return false;
    };
    all.contains(&format!("{dir}/{name}")) && !all.contains(&format!("{dir}/.{name}.part"))
}

/// The JVM waits for no child that it did not start.
#[test]
fn killed_run_leaves_no_zombie_to_a_jvm_with_pid_one() {
    for version in ["8", "17", "25"] {
        let Some(container) = Container::builder(version) else { continue };
        let container = container.arg("mb=64").start();
        container.copy_in(binary(), INSIDE);
        let before = files_but_the_socket(&container);
        let (dir, store) = ("/tmp", "/tmp/store");
        for moment in 1..5 {
            let mut run = container.command(&[INSIDE, "--dir", dir, "--store", store, "shop", "cart", "prod"]).spawn();
            std::thread::sleep(Duration::from_millis(100 * moment));
            run.kill();
            let ended = run.wait();
            let what = format!("JDK {version}, moment {moment}, {ended:?}");
            let begun = Instant::now();
            while let Some(ours) = of_this_program(&container).first() {
                assert!(begun.elapsed() < SOON, "{what}: {ours}");
                std::thread::sleep(Duration::from_millis(5));
            }
            // What was whole when the run was killed is kept, or an object already.
            let resumed = container.exec(&[INSIDE, "upload", "--resume", dir, "--store", store]);
            assert_eq!(resumed.code, 0, "{what}: {resumed:?}");
            let (stored, others): (Vec<_>, Vec<_>) =
                files_but_the_socket(&container).into_iter().partition(|(path, _)| path.starts_with(store));
            assert_eq!(others, before, "{what}");
            let all: BTreeSet<String> = stored.iter().map(|(path, _)| path.clone()).collect();
            let half = stored.iter().find(|(path, _)| !path.ends_with('/') && !is_of_a_whole_object(path, &all));
            assert_eq!(half, None, "{what}");
            assert_eq!(container.say("ping"), "pong", "{what}");
        }
    }
}
