//! Paths that a user named, in directories of the application: its links lead root nowhere. What it puts into them is
//! believed of nobody.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use flate2::write::GzEncoder;

use crate::common::hprof_check::assert_complete;
use crate::common::shape::Shape;
use crate::common::tool::{Tool, lock_name_of};
use crate::planted::{APP, NAME, Volume, dump, is_root, journal_of, plant};
use crate::secrets::files_below;

const REFUSED: &str = "is a symbolic link of another user, uid 1000";

/// A link of the application to a directory of root, which has a dump.
fn link_to_root(volume: &Volume, name: &str) -> PathBuf {
    std::fs::write(volume.root.join(NAME), dump(0)).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    File::options().write(true).open(volume.root.join(NAME)).unwrap().set_modified(old).unwrap();
    let link = volume.app.join(name);
    symlink(&volume.root, &link).unwrap();
    lchown(&link, Some(APP), Some(APP)).unwrap();
    link
}

#[test]
fn link_to_a_directory_costs_root_no_dump() {
    if !is_root() {
        return;
    }
    let volume = Volume::new();
    let dir = link_to_root(&volume, "dumps");
    let (dir, file) = (dir.to_str().unwrap(), dir.join(NAME).display().to_string());
    let place = ["shop", "cart", "prod"];
    for words in [&["upload", "--delete", &file][..], &["upload", "--delete", "--resume", dir], &["watch", dir]] {
        let mut all = words.to_vec();
        let at = if words[0] == "watch" || words.len() == 3 { words.len() - 1 } else { words.len() };
        all.splice(at..at, place);
        let ended = volume.tool(&all).run().expect(2);
        assert!(ended.stderr.contains(REFUSED), "{words:?}: {}", ended.stderr);
        assert_eq!(files_below(&volume.root), [volume.root.join(NAME)], "{words:?}");
        assert_eq!(files_below(&volume.store), Vec::<PathBuf>::new(), "{words:?}");
    }
}

#[test]
fn link_to_a_directory_gets_no_file_of_root() {
    if !is_root() {
        return;
    }
    let volume = Volume::new();
    let link = link_to_root(&volume, "logs");
    let ended = Tool::new(&["install", link.to_str().unwrap()]).run().expect(6);
    assert!(ended.stderr.contains(REFUSED), "{}", ended.stderr);
    let log = link.join("run.log").display().to_string();
    let ended = volume.tool(&["list", "shop", "--log-to", &log]).run().expect(0);
    assert!(ended.stderr.contains(REFUSED), "{}", ended.stderr);
    assert_eq!(files_below(&volume.root), [volume.root.join(NAME)]);
}

/// `DIR/shop` leads to a directory of root.
#[test]
fn link_in_a_local_store_is_not_followed() {
    if !is_root() {
        return;
    }
    let volume = Volume::new();
    link_to_root(&volume, "shop");
    let file = volume.store.join("heap.hprof");
    std::fs::write(&file, dump(0)).unwrap();
    let tool = |words: &[&str]| Tool::new(words).args(&["--store", volume.app()]).run();
    for (words, code) in [
        (&["upload", "shop", "cart", "prod", file.to_str().unwrap()][..], 9),
        (&["list", "shop"], 9),
        (&["fetch", &format!("shop/{NAME}"), "--to", volume.store.to_str().unwrap()], 9),
    ] {
        let ended = tool(words).expect(code);
        assert!(ended.stderr.contains(REFUSED), "{words:?}: {}", ended.stderr);
    }
    assert_eq!(files_below(&volume.root), [volume.root.join(NAME)]);
    // Root may have put the directory elsewhere.
    lchown(volume.app.join("shop"), Some(0), Some(0)).unwrap();
    tool(&["upload", "shop", "cart", "prod", file.to_str().unwrap()]).expect(0);
    assert_eq!(files_below(&volume.root).len(), 3);
}

#[test]
fn fetched_file_that_is_the_object_itself_stays() {
    if !is_root() {
        return;
    }
    let volume = Volume::new();
    let file = volume.root.join(NAME);
    std::fs::write(&file, dump(0)).unwrap();
    let stored = volume.tool(&["upload", "shop", "cart", "prod", file.to_str().unwrap()]).run().expect(0).receipt();
    let key = stored["object"]["key"].as_str().unwrap();
    let object = volume.store.join(key);
    let dir = object.parent().unwrap();
    let fetch = |to: &Path| volume.tool(&["fetch", "--gunzip", key, "--to", to.to_str().unwrap()]).run();
    let link = volume.app.join("out");
    symlink(dir, &link).unwrap();
    lchown(&link, Some(APP), Some(APP)).unwrap();
    let ended = fetch(&link).expect(6);
    assert!(ended.stderr.contains(REFUSED) && object.exists(), "{}", ended.stderr);
    fetch(dir).expect(0);
    assert!(object.exists() && object.with_extension("").exists(), "{:?}", files_below(dir));
}

/// The application puts a link in the place of the dump while the store is down.
#[test]
fn printed_command_names_no_file_of_a_planted_link() {
    if !is_root() {
        return;
    }
    let volume = Volume::new();
    let (file, important) = (volume.app.join("d.hprof"), volume.root.join("important.gz"));
    std::fs::write(&file, dump(0)).unwrap();
    std::fs::write(&important, "precious").unwrap();
    lchown(&file, Some(APP), Some(APP)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let words = ["upload", "--delete", "shop", "cart", "prod", file.to_str().unwrap(), "--output", "json"];
    let store = ["--store", "s3://bucket", "--endpoint", &endpoint, "--region", "us-east-1", "--retry-for", "1s"];
    let tool = Tool::new(&words).args(&store).env("JMAP_DUMP_ACCESS_KEY_ID", "id");
    let run = tool.env("JMAP_DUMP_SECRET_ACCESS_KEY", "secret").spawn();
    let connection = listener.accept().unwrap();
    std::fs::rename(&file, volume.app.join("away")).unwrap();
    symlink(&important, &file).unwrap();
    lchown(&file, Some(APP), Some(APP)).unwrap();
    drop((connection, listener));
    let ended = run.wait().expect(9);
    let kept = ended.receipt()["kept"].clone();
    assert_eq!(kept["path"], file.to_str().unwrap(), "{kept}");
    assert!(!kept.to_string().contains("important"), "{kept}");
    assert!(important.exists());
}

/// A process of the application that has this file as its standard output.
struct Holder(Child);

impl Holder {
    fn of(file: File) -> Self {
        Self(Command::new("sleep").arg("60").uid(APP).gid(APP).stdout(file).spawn().unwrap())
    }

    fn link(&self) -> String {
        format!("/proc/{}/fd/1", self.0.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn log_goes_to_no_file_that_is_open_for_reading_only() {
    if !is_root() {
        return;
    }
    let volume = Volume::new();
    let file = volume.root.join("secret");
    std::fs::write(&file, "root's").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let list = |holder: &Holder| volume.tool(&["list", "shop", "--log-to", &holder.link()]).run().expect(0).stderr;
    let told = list(&Holder::of(File::open(&file).unwrap()));
    assert!(told.contains("open for reading only"), "{told}");
    assert_eq!(std::fs::read(&file).unwrap(), b"root's");
    list(&Holder::of(File::options().append(true).open(&file).unwrap()));
    assert!(std::fs::read(&file).unwrap().len() > 6, "a log that the process writes itself gets it");
}

/// What a run that waited finds in the JVM's directories: believed only where no other user can have made it.
#[test]
fn planted_dump_of_the_same_jvm_is_not_sent() {
    if !is_root() {
        return;
    }
    for (owner, is_sent) in [(APP, false), (0, true)] {
        let Some(shape) = Shape::new("17", 8) else { return };
        let pid = shape.jvm.pid();
        let address = SocketAddr::from_abstract_name(lock_name_of(pid, pid)).unwrap();
        let place = UnixListener::bind_addr(&address).unwrap();
        let run = shape.dump().spawn();
        drop(place.accept().unwrap());
        let private = shape.dumps.path().join("jmap-dump-tool-aaaaaa");
        std::fs::create_dir(&private).unwrap();
        plant_sealed(&private, &lock_name_of(pid, pid));
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o755)).unwrap();
        lchown(&private, Some(owner), Some(owner)).unwrap();
        drop(place);
        let ended = run.wait().expect(0);
        assert_eq!(ended.stderr.contains("has just made the same dump"), is_sent, "{owner}: {}", ended.stderr);
        if !is_sent {
            assert!(!ended.receipt().to_string().contains("forged"), "{}", ended.receipt());
            assert_complete(ended.stored());
        }
    }
}

fn plant_sealed(dir: &Path, process: &str) {
    let mut gz = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&dump(0)).unwrap();
    let gz = gz.finish().unwrap();
    let file = plant(dir, "f.hprof.gz", 0, 5 << 20, "");
    let before = std::fs::read_to_string(journal_of(&file)).unwrap();
    std::fs::write(&file, &gz).unwrap();
    let meta = file.metadata().unwrap();
    let changed = std::os::unix::fs::MetadataExt::mtime(&meta) as i128 * 1_000_000_000
        + i128::from(std::os::unix::fs::MetadataExt::mtime_nsec(&meta));
    let (start, rest) = before.split_once("\"file\":{").unwrap();
    let (_, rest) = rest.split_once('}').unwrap();
    let dump_of = format!("\"dump_of\":{{\"process\":\"{process}\",\"live\":true,\"redact\":null}}");
    let journal = format!("{start}{dump_of},\"file\":{{\"bytes\":{},\"changed\":{changed}}}{rest}", meta.len());
    std::fs::write(journal_of(&file), journal).unwrap();
}
