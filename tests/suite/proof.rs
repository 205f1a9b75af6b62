//! A run of root that waited sends what root has sealed of a JVM of another user, and nothing that this user can have
//! made or changed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::common::hprof_check::assert_complete;
use crate::common::recorder::sha256;
use crate::common::s3::BUCKET;
use crate::common::shape::{Shape, files_in};
use crate::common::tool::{Ended, Run, Tool, binary, has_run, lock_name_of};
use crate::common::waiting::wait_until;
use crate::ends::{assert_second_run_sends_the_first_ones_dump, to_stdout};
use crate::planted::{APP, dump, is_root};
use crate::turn::as_user;

const PROOF: &str = "sealed-by-root.json";

const SPOOL: &str = "spool.hprof.gz";

/// One pause: the dump lies in a directory of the JVM's user, who could have put anything there.
#[test]
fn waiting_run_of_root_sends_what_root_has_sealed() {
    if !is_root() {
        return;
    }
    for version in ["17", "25"] {
        let Some(shape) = Shape::of_user(version, 100, APP) else { continue };
        assert_second_run_sends_the_first_ones_dump(&shape, version);
    }
}

/// A store that is down, and a dump that is kept for it: in the object's order, under the object's name.
#[test]
fn waiting_run_of_root_sends_what_root_has_kept() {
    if !is_root() {
        return;
    }
    for version in ["17", "25"] {
        let Some(shape) = Shape::of_user(version, 100, APP) else { continue };
        let pid = shape.jvm.pid();
        let dead = ["--endpoint", "http://127.0.0.1:1", "--region", "x", "--retry-for", "1s", "--store-down", "keep"];
        let first = Tool::dump(pid, &format!("s3://{BUCKET}")).args(&["--dir", shape.dumps.path().to_str().unwrap()]);
        let first = first.args(&dead).with_key();
        let first = first.spawn().hear();
        wait_until("the first run", || has_run(pid, pid));
        let second = shape.dump().spawn().hear();
        let (first, second) = (first.wait().expect(7), second.wait().expect(0));
        assert!(second.stderr.contains("the same dump"), "JDK {version}: {}", second.stderr);
        assert_eq!(assert_complete(second.stored()).of("Marker"), 50, "JDK {version}");
        let kept = first.receipt()["kept"]["path"].as_str().unwrap().to_owned();
        let store = tempfile::tempdir().unwrap();
        let words = ["upload", "--delete", "--store", store.path().to_str().unwrap(), "shop", "cart", "prod", &kept];
        Tool::new(&words).run().expect(0);
        shape.assert_clean(&format!("JDK {version}, after the kept dump was stored"));
    }
}

/// What it is called, and what is done to the private directory.
type Attack = (&'static str, fn(&Path));

#[test]
fn dump_that_another_user_can_have_made_is_not_sent() {
    let Some(shape) = Shape::of_user("17", 8, APP) else { return };
    if !is_root() {
        return;
    }
    let attacks: [Attack; 5] = [
        ("nothing", |_| ()),
        ("another byte", |dir| change(dir)),
        ("another file", |dir| drop(put_dump(dir))),
        ("a proof of his own", |dir| forge(dir, Some(APP))),
        ("a proof of his own that root has copied", |dir| forge(dir, None)),
    ];
    for (what, attack) in attacks {
        let sealed = Sealed::while_waiting(&shape, shape.dump(), |dir| as_user_or_root(what, || attack(dir)));
        let ended = sealed.end().expect(0);
        let is_sent = ended.stderr.contains("the same dump");
        assert_eq!(is_sent, what == "nothing", "{what}: {}", ended.stderr);
        assert!(!ended.receipt().to_string().contains("forged"), "{what}: {}", ended.receipt());
        assert_eq!(assert_complete(ended.stored()).of("Marker"), 50, "{what}");
    }
}

/// Root's own words for a dump that was there before the wait, moved and touched by the application.
#[test]
fn earlier_dump_of_root_is_not_sent_again() {
    let Some(shape) = Shape::of_user("17", 8, APP) else { return };
    if !is_root() {
        return;
    }
    let place = hold_place(&shape);
    let first = Sealed::first(&shape);
    let second = shape.dump().spawn().hear();
    drop(place.accept().unwrap());
    let (old, new) = (private_dir(&shape), shape.dumps.path().join("jmap-dump-tool-aaaaaa"));
    as_user(APP, || {
        std::fs::rename(old, &new).unwrap();
        File::options().write(true).open(new.join(SPOOL)).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        std::fs::rename(new.join(PROOF), new.join("away")).unwrap();
        std::fs::rename(new.join("away"), new.join(PROOF)).unwrap();
    });
    drop(place);
    let ended = second.wait().expect(0);
    assert!(!ended.stderr.contains("the same dump"), "{}", ended.stderr);
    assert_complete(ended.stored());
    first.signal(Signal::KILL);
    first.wait();
}

/// What was compared is compared again whenever it is read.
#[test]
fn dump_that_its_owner_changes_while_it_is_read_is_not_whole() {
    let Some(shape) = Shape::of_user("17", 60, APP) else { return };
    if !is_root() {
        return;
    }
    let mut sealed = Sealed::while_waiting(&shape, to_stdout(&shape), |_| ());
    // The reader takes a byte: all but the first page is still to be read for it.
    let mut out = sealed.second.child.stdout.take().unwrap();
    out.read_exact(&mut [0; 1]).unwrap();
    let dir = private_dir(&shape);
    as_user(APP, || change(&dir));
    std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    let ended = sealed.end().expect(5);
    assert!(ended.stderr.contains("has changed the dump"), "{}", ended.stderr);
}

/// Two runs of root: what the first one has sealed while the second one waited.
struct Sealed {
    first: Run,
    second: Run,
}

impl Sealed {
    /// `meanwhile` is done with the private directory before the second run goes on.
    fn while_waiting(shape: &Shape, second: Tool, meanwhile: impl FnOnce(&Path)) -> Self {
        for left in std::fs::read_dir(shape.dumps.path()).unwrap() {
            std::fs::remove_dir_all(left.unwrap().path()).unwrap();
        }
        let place = hold_place(shape);
        let second = second.spawn().hear();
        drop(place.accept().unwrap());
        let first = Self::first(shape);
        meanwhile(&private_dir(shape));
        Self { first, second }
    }

    /// In another network namespace, where the place is free. Nobody reads its standard output.
    fn first(shape: &Shape) -> Run {
        let (tool, pid) = (binary().to_str().unwrap(), shape.jvm.pid().to_string());
        let line = ["--net", tool, "shop", "cart", "prod", "--output", "json", "--pid", &pid, "--store", "-", "--dir"];
        let first = Tool::of(Path::new("/usr/bin/unshare"), &line).arg(shape.dumps.path()).spawn();
        let is_whole =
            |path: &String| path.ends_with(PROOF) && std::fs::read(path).is_ok_and(|text| text.ends_with(b"}"));
        wait_until("what root has sealed", || files_in(shape.dumps.path()).iter().any(is_whole));
        first
    }

    fn end(self) -> Ended {
        let ended = self.second.wait();
        self.first.signal(Signal::KILL);
        self.first.wait();
        ended
    }
}

fn hold_place(shape: &Shape) -> UnixListener {
    let pid = shape.jvm.pid();
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(lock_name_of(pid, pid)).unwrap()).unwrap()
}

fn private_dir(shape: &Shape) -> PathBuf {
    let proof = files_in(shape.dumps.path()).into_iter().find(|path| path.ends_with(PROOF)).unwrap();
    Path::new(&proof).parent().unwrap().to_owned()
}

fn as_user_or_root(what: &str, act: impl FnOnce() + Send) {
    if what.contains("proof") { act() } else { as_user(APP, act) }
}

/// One byte near the end of the sealed dump, whose times stay as they were.
fn change(dir: &Path) {
    let file = File::options().read(true).write(true).open(dir.join(SPOOL)).unwrap();
    let (meta, mut byte) = (file.metadata().unwrap(), [0]);
    let at = meta.len() - 100;
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
}

/// A whole dump, in the place of the sealed one. Its SHA-256.
fn put_dump(dir: &Path) -> String {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&dump(0)).unwrap();
    let gz = gz.finish().unwrap();
    std::fs::remove_file(dir.join(SPOOL)).unwrap();
    std::fs::write(dir.join(SPOOL), &gz).unwrap();
    sha256(&gz)
}

/// Such a dump, with what root would have said of it; the file belongs to `owner`, or to root.
fn forge(dir: &Path, owner: Option<u32>) {
    let (path, sha256) = (dir.join(PROOF), put_dump(dir));
    let mut proof: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    proof["sha256"] = sha256.into();
    proof["begin"]["order"] = serde_json::json!([]);
    proof["begin"]["context"] = "forged".into();
    let new = dir.join("new");
    let file = File::create(&new).unwrap();
    file.set_permissions(PermissionsExt::from_mode(0o600)).unwrap();
    if owner.is_some() {
        proof["inode"] = std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap()).into();
    }
    serde_json::to_writer(file, &proof).unwrap();
    lchown(&new, owner, None).unwrap();
    std::fs::rename(new, path).unwrap();
}
