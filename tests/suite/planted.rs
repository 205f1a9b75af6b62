//! What another user has planted orders nothing of root: no deletion, no place, no key, no receipt, no memory.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::common::hprof_check::assert_complete;
use crate::common::jvm::TestJvm;
use crate::common::s3::{BUCKET, S3Server};
use crate::common::tool::{Ended, Tool};
use crate::common::waiting::wait_until;
use crate::secrets::files_below;

pub const APP: u32 = 1000;

/// A name that tells its key.
pub const NAME: &str = "20260101T000000Z_pod_7_00ff00.hprof";

/// The key that a planted journal orders: another team's.
const THEIRS: &str = "bank/ledger/prod/20260101T000000Z_pod_7_00ff01";

pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        crate::common::bed::cannot_run("what root does for another user needs root");
    }
    root
}

/// The application's directory, root's own, and a store.
pub struct Volume {
    _dir: tempfile::TempDir,
    pub app: PathBuf,
    pub root: PathBuf,
    pub store: PathBuf,
}

impl Volume {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let [app, root, store] = ["app", "root", "store"].map(|name| dir.path().join(name));
        [&app, &root, &store].iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
        lchown(&app, Some(APP), Some(APP)).unwrap();
        Self { _dir: dir, app, root, store }
    }

    pub fn app(&self) -> &str {
        self.app.to_str().unwrap()
    }

    pub fn tool(&self, words: &[&str]) -> Tool {
        Tool::new(words).args(&["--output", "json", "--store", self.store.to_str().unwrap()])
    }

    fn resume(&self, words: &[&str]) -> Ended {
        self.tool(&[&["upload", "--resume", self.app()], words].concat()).run()
    }

    fn objects(&self, place: &str) -> Vec<PathBuf> {
        let mut found = files_below(&self.store.join(place));
        found.retain(|path| path.extension().is_some_and(|end| end == "gz"));
        found
    }
}

/// The smallest whole dump, and another record of `bytes` that no gzip makes smaller.
pub fn dump(bytes: usize) -> Vec<u8> {
    let mut dump = b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0".to_vec();
    if bytes > 0 {
        dump.extend([1, 0, 0, 0, 0]);
        dump.extend(u32::try_from(bytes).unwrap().to_be_bytes());
        let mut state = 88_172_645_463_325_252_u64;
        dump.extend((0..bytes).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        }));
    }
    dump.extend([0x2c, 1, 2, 3, 4, 0, 0, 0, 0]);
    dump
}

/// As the application would write it, with a journal that orders what it likes.
pub fn plant(dir: &Path, name: &str, bytes: usize, part_size: u64, rest: &str) -> PathBuf {
    let file = dir.join(name);
    std::fs::write(&file, dump(bytes)).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    let meta = file.metadata().unwrap();
    let (place, stem) = THEIRS.rsplit_once('/').unwrap();
    let changed = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    let journal = format!(
        "{{\"begin\":{{\"key\":{{\"dir\":\"{place}\",\"stem\":\"{stem}\",\"tail\":\".hprof.gz\"}},\"delete\":true,\
         \"file\":{{\"bytes\":{},\"changed\":{changed}}},\"part_size\":{part_size},\"receipt\":{{\"tool\":\"forged\",\
         \"run_id\":\"00ff01\",\"exit_code\":0,\"started\":\"\",\"pod\":{{\"name\":\"forged\"}}}}}}}}\n{rest}",
        meta.len()
    );
    let path = journal_of(&file);
    std::fs::write(&path, journal).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    [&file, &path].iter().for_each(|path| lchown(path, Some(APP), Some(APP)).unwrap());
    file
}

pub fn journal_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.upload", file.display()))
}

/// The receipt of another team's object.
fn receipt_of_theirs(volume: &Volume) -> PathBuf {
    let receipt = volume.store.join(format!("{THEIRS}.json"));
    std::fs::create_dir_all(receipt.parent().unwrap()).unwrap();
    std::fs::write(&receipt, "theirs").unwrap();
    receipt
}

#[test]
fn journal_of_another_user_chooses_no_place_and_no_deletion() {
    if !is_root() {
        return;
    }
    for name in [NAME, "spool.hprof", "heap.hprof"] {
        let volume = Volume::new();
        let (file, theirs) = (plant(&volume.app, name, 0, 5 << 20, ""), receipt_of_theirs(&volume));
        let ended = volume.resume(&["shop", "cart", "prod"]).expect(0);
        assert_eq!(volume.objects("shop/cart/prod").len(), 1, "{name}: {ended:?}");
        assert_eq!(volume.objects("bank"), Vec::<PathBuf>::new(), "{name}: it is stored among another team's");
        assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "theirs", "{name}");
        assert!(file.exists(), "{name}: the journal of another user has ordered its deletion");
        assert!(!ended.receipt().to_string().contains("forged"), "{name}: {}", ended.receipt());
    }
}

#[test]
fn journal_of_another_user_needs_place_and_store() {
    if !is_root() {
        return;
    }
    let volume = Volume::new();
    let file = plant(&volume.app, NAME, 0, 5 << 20, "");
    let told = volume.resume(&[]).expect(2).stderr;
    for words in ["another user, uid 1000", "upload --resume", "--store STORE PROJECT APP ENV"] {
        assert!(told.contains(words), "'{words}' is missing in {told}");
    }
    assert!(file.exists() && journal_of(&file).exists());
    assert_eq!(volume.objects(""), Vec::<PathBuf>::new());
}

#[test]
fn watcher_takes_no_order_from_a_planted_journal() {
    if !is_root() {
        return;
    }
    for keep in [false, true] {
        let (volume, private) = (Volume::new(), "jmap-dump-tool-00ff00");
        let theirs = receipt_of_theirs(&volume);
        std::fs::create_dir(volume.app.join(private)).unwrap();
        lchown(volume.app.join(private), Some(APP), Some(APP)).unwrap();
        plant(&volume.app.join(private), "spool.hprof", 0, 5 << 20, "");
        plant(&volume.app, "java_pid1.hprof", 0, 5 << 20, "");
        let watch = volume.tool(&["watch", "shop", "cart", "prod", volume.app(), "--grace", "1s"]);
        let watcher = watch.args(if keep { &["--keep"] } else { &[] }).spawn().hear();
        wait_until("both are stored", || volume.objects("").len() == 2);
        watcher.signal(Signal::TERM);
        watcher.wait().expect(0);
        assert_eq!(volume.objects("shop/cart/prod").len(), 2, "keep: {keep}");
        assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "theirs");
    }
}

/// Nobody but root can write the file that is exchanged for the dump, or its journal.
#[test]
fn exchanged_directory_costs_root_no_file() {
    if !is_root() {
        return;
    }
    let rounds = std::env::var("JMAP_DUMP_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    let volume = Volume::new();
    let [real, link] = ["jmap-dump-tool-00ff00", "link"].map(|name| volume.app.join(name));
    let victims = [volume.root.join(NAME), journal_of(&volume.root.join(NAME))];
    for round in 0..rounds {
        for victim in &victims {
            std::fs::write(victim, "root's").unwrap();
        }
        std::fs::create_dir(&real).unwrap();
        lchown(&real, Some(APP), Some(APP)).unwrap();
        plant(&real, NAME, 0, 5 << 20, "");
        std::os::unix::fs::symlink(&volume.root, &link).unwrap();
        let racer = Racer::start(&real, &link);
        let ended = match round % 2 {
            0 => volume.resume(&["shop", "cart", "prod", "--delete"]),
            _ => volume.resume(&["shop", "cart", "prod"]),
        };
        drop(racer);
        for victim in &victims {
            assert!(victim.exists(), "round {round}: {} is gone: {ended:?}", victim.display());
        }
        for entry in std::fs::read_dir(&volume.app).unwrap().flatten() {
            let path = entry.path();
            if path.is_symlink() { std::fs::remove_file(path) } else { std::fs::remove_dir_all(path) }.unwrap();
        }
        // A round in which the dump was not found has stored nothing.
        let _ = std::fs::remove_dir_all(&volume.store);
    }
}

/// A process of the application that exchanges two names until it is dropped.
struct Racer(Child);

impl Racer {
    fn start(one: &Path, other: &Path) -> Self {
        let script = "import ctypes, os, sys\n\
                      libc = ctypes.CDLL(None, use_errno=True)\n\
                      one, other = (os.fsencode(name) for name in sys.argv[1:3])\n\
                      print('READY', flush=True)\n\
                      while True:\n    libc.syscall(316, -100, one, -100, other, 2)\n";
        let mut command = Command::new("python3");
        command.args(["-c", script]).args([one, other]).stdout(Stdio::piped()).uid(APP).gid(APP);
        let mut child = command.spawn().expect("python3 can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "READY\n");
        Self(child)
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn planted_part_size_takes_no_memory() {
    if !is_root() {
        return;
    }
    let (volume, server) = (Volume::new(), S3Server::start());
    plant(&volume.app, NAME, 160 << 20, 512 << 20, "");
    let words = ["upload", "--resume", volume.app(), "shop", "cart", "prod", "--store", &format!("s3://{BUCKET}")];
    let tool = Tool::new(&words).with_s3(&server);
    let (mut run, mut most) = (tool.spawn().hear(), 0);
    while run.child.try_wait().unwrap().is_none() {
        most = most.max(peak(run.child.id()));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run.wait().expect(0);
    assert!((1 << 20..64 << 20).contains(&most), "{} MiB", most >> 20);
}

/// VmHWM of a process, in bytes.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
}

#[test]
fn receipt_of_an_object_that_was_there_before_stays() {
    let volume = Volume::new();
    let first = volume.app.join(NAME);
    std::fs::write(&first, dump(0)).unwrap();
    let upload = |file: &Path| volume.tool(&["upload", "shop", "cart", "prod", file.to_str().unwrap()]).run();
    upload(&first).expect(0);
    let receipt = volume.store.join("shop/cart/prod").join(NAME.replace(".hprof", ".json"));
    std::fs::write(&receipt, "of the first").unwrap();
    upload(&first);
    assert_eq!(std::fs::read_to_string(&receipt).unwrap(), "of the first", "by a directory");
    let server = S3Server::start();
    let to_server = || {
        let tool = Tool::new(&["upload", "shop", "cart", "prod", first.to_str().unwrap(), "--output", "json"]);
        tool.args(&["--store", &format!("s3://{BUCKET}")]).with_s3(&server).run()
    };
    to_server().expect(0);
    let receipt = server.object(&format!("shop/cart/prod/{}", NAME.replace(".hprof", ".json")));
    std::fs::File::create(&receipt).unwrap().write_all(b"of the first").unwrap();
    let told = to_server().expect(0).receipt();
    assert_eq!(std::fs::read_to_string(&receipt).unwrap(), "of the first", "by S3: {told}");
    assert!(told["warnings"].to_string().contains("is there already"), "{told}");
}

/// Root has dumped a JVM of the application, and no store was there.
#[test]
fn printed_resume_command_stores_a_dump_that_root_kept() {
    let (volume, Some(builder)) = (Volume::new(), TestJvm::builder("17")) else { return };
    if !is_root() {
        return;
    }
    let jvm = builder.uid(APP).arg("markers=91").start();
    let (pid, gone) = (jvm.pid().to_string(), volume.root.join("no-store"));
    std::fs::write(&gone, "a file").unwrap();
    let store = gone.to_str().unwrap();
    let words =
        ["shop", "cart", "prod", "--pid", &pid, "--store-down", "keep", "--dir", volume.app(), "--store", store];
    let kept = Tool::new(&words).args(&["--output", "json"]).run().expect(7).receipt()["kept"].clone();
    std::fs::remove_file(&gone).unwrap();
    let resume = kept["resume"].as_str().unwrap();
    assert!(resume.contains("--store") && resume.contains(" shop cart prod "), "{resume}");
    let command = resume.replacen("jmap-dump-tool", crate::common::tool::binary().to_str().unwrap(), 1);
    let ended = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(ended.status.success(), "{command}: {ended:?}");
    let stored = files_below(&gone.join("shop/cart/prod"));
    let stored = stored.iter().find(|path| path.extension().is_some_and(|end| end == "gz")).unwrap();
    assert_eq!(assert_complete(stored).of("Marker"), 91);
    assert_eq!(files_below(&volume.app), Vec::<PathBuf>::new(), "{resume}");
}
