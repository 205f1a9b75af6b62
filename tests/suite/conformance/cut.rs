//! A fetch that is ended in the middle: no name is given to what is not whole, and what is fetched is not lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::hprof::Dump;
use super::receipts::Fetch;
use crate::common::bed::cannot_run;
use crate::common::relay::Fault;
use crate::common::tool::{Ended, Tool};
use crate::common::waiting::wait_until;

/// What a request asks for, and how many of them are in flight: those are lost by a cut.
const PIECE: usize = 8 << 20;
const AT_ONCE: usize = 4;

const CUTS: usize = 3;

/// Longer than any run here takes.
const FOR_EVER: Duration = Duration::from_secs(1000);

/// Large enough to be met in the middle, and small when it is compressed.
const LONG: usize = 256 << 20;

impl Fetch {
    fn gunzip(&self, to: &Path) -> Tool {
        let to = to.to_str().unwrap();
        self.store.tool(&["fetch", &self.key, "--to", to, "--gunzip", "--output", "json", "--retry-for", "1s"])
    }

    /// The compressed file, the plain one, and the plain one before it is whole.
    fn files(&self, to: &Path) -> [PathBuf; 3] {
        let gz = to.join(Path::new(&self.key).file_name().unwrap());
        let plain = gz.with_extension("");
        [gz, plain.clone(), plain.with_added_extension("part")]
    }

    /// Ends a decompression by this signal. One that was over before it came is made again.
    #[track_caller]
    fn end_gunzip(&self, to: &Path, signal: Signal) -> Ended {
        let [_, plain, part] = self.files(to);
        for _ in 0..5 {
            let run = self.gunzip(to).spawn();
            wait_until("the plain file", || part.exists() || plain.exists());
            run.signal(signal);
            let ended = run.wait();
            if ended.code != 0 {
                return ended;
            }
            std::fs::remove_file(&plain).unwrap();
        }
        panic!("each decompression was over before its signal came");
    }

    /// The same command again asks for no piece of it, and leaves the plain file alone.
    #[track_caller]
    fn assert_goes_on(&self, to: &Path, dump: &Dump) {
        let [_, plain, _] = self.files(to);
        let before = self.pieces_asked_for();
        let told = self.gunzip(to).run().expect(0).receipt();
        assert_eq!(
            (self.pieces_asked_for(), &told["verified"]),
            (before, &"the receipt's checksum is that of the file".into())
        );
        assert_eq!(files_in(to), std::slice::from_ref(&plain));
        dump.assert_is_plain(&std::fs::read(plain).unwrap());
    }
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect()
}

#[test]
fn cut_download_asks_again_only_for_missing_ranges() {
    let (dump, to) = (Dump::of(16 * PIECE), tempfile::tempdir().unwrap());
    let fetch = Fetch::of(&dump, &[]);
    let all = fetch.store.read(&fetch.key).len().div_ceil(PIECE);
    assert!(all >= AT_ONCE * (CUTS + 1), "{all} pieces are too few for the last cut");
    let notes = fetch.files(to.path())[0].with_added_extension("part.pieces");
    // The first line says of which object they are.
    let there = || std::fs::read_to_string(&notes).unwrap_or_default().lines().count().saturating_sub(1);
    for cut in 1..=CUTS {
        fetch.store.relay().fail(Fault::stall(FOR_EVER).on(&["GET"]).at("hprof.gz").skip(AT_ONCE));
        let before = fetch.pieces_asked_for();
        let run = fetch.gunzip(to.path()).spawn();
        // A request that is still on its way when the run is killed would be taken for one of the next run's.
        let asked_for = || fetch.pieces_asked_for() >= before + 2 * AT_ONCE;
        wait_until("a few pieces more", || there() >= AT_ONCE * cut && asked_for());
        run.signal(Signal::KILL);
        assert_eq!(run.wait().code, 128 + 9);
        fetch.store.relay().heal();
    }
    fetch.gunzip(to.path()).run().expect(0);
    let asked_for = fetch.pieces_asked_for();
    assert!(asked_for <= all + AT_ONCE * CUTS, "{asked_for} requests for {all} pieces");
}

#[test]
fn killed_decompression_leaves_no_final_file_and_resumes() {
    let (dump, to) = (Dump::of_one_letter(LONG), tempfile::tempdir().unwrap());
    let fetch = Fetch::of(&dump, &[]);
    let [gz, plain, _] = fetch.files(to.path());
    fetch.end_gunzip(to.path(), Signal::KILL).expect(128 + 9);
    assert!(gz.exists() && !plain.exists(), "{:?}", files_in(to.path()));
    fetch.assert_goes_on(to.path(), &dump);
}

#[test]
fn a_signal_ends_a_decompression_and_leaves_what_was_fetched() {
    let (dump, to) = (Dump::of_one_letter(LONG), tempfile::tempdir().unwrap());
    let fetch = Fetch::of(&dump, &[]);
    let [gz, ..] = fetch.files(to.path());
    for signal in [Signal::INT, Signal::TERM] {
        fetch.end_gunzip(to.path(), signal).expect(8);
        assert_eq!(files_in(to.path()), std::slice::from_ref(&gz));
    }
    fetch.assert_goes_on(to.path(), &dump);
}

#[test]
fn a_full_disk_leaves_what_was_fetched() {
    let Some(disk) = Disk::of("16m") else { return };
    let dump = Dump::of_one_letter(64 << 20);
    let fetch = Fetch::of(&dump, &[]);
    let [gz, ..] = fetch.files(disk.path());
    let ended = fetch.gunzip(disk.path()).run().expect(6);
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
    assert_eq!(files_in(disk.path()), [gz]);
    disk.grow("160m");
    fetch.assert_goes_on(disk.path(), &dump);
}

#[test]
fn a_compressed_file_that_is_another_one_is_not_touched() {
    let (dump, to) = (Dump::of_one_letter(1 << 20), tempfile::tempdir().unwrap());
    let fetch = Fetch::of(&dump, &[]);
    let [gz, ..] = fetch.files(to.path());
    let mut other = fetch.store.read(&fetch.key);
    other[20] ^= 1;
    for bytes in [&other[..], b"short"] {
        std::fs::write(&gz, bytes).unwrap();
        let ended = fetch.gunzip(to.path()).run().expect(2);
        assert!(ended.stderr.contains("there already"), "{}", ended.stderr);
        assert!(std::fs::read(&gz).unwrap() == bytes && files_in(to.path()).len() == 1);
    }
}

/// A file system of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of(size: &str) -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        if disk.mount(&format!("size={size}")) {
            return Some(disk);
        }
        cannot_run("mounting a tmpfs needs root");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn grow(&self, size: &str) {
        assert!(self.mount(&format!("remount,size={size}")), "it cannot be made larger");
    }

    fn mount(&self, options: &str) -> bool {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.path()).status();
        mounted.is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}
