//! A sidecar on a volume that a dump has filled.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::tool::Tool;
use crate::common::waiting::{SOON, wait_within};
use crate::watch::{Pod, Watcher};

/// Blocks that may be free for a moment: a status file that is taking the place of the last one has given its own back.
const FULL: u64 = 2;

/// Unmounted when it is dropped.
pub struct Volume(PathBuf);

impl Volume {
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    fn free(&self) -> u64 {
        rustix::fs::statvfs(&self.0).unwrap().f_bavail
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn watcher_on_a_full_volume_stores_the_dump_and_stays_well() {
    let pod = Pod::new();
    let Some(sample) = pod.sample(48, 6) else { return };
    let Some(volume) = Volume::mount(pod.dir.path(), "24m") else {
        return crate::common::bed::cannot_run("mounting a tmpfs needs root");
    };
    pod.server.die_after_parts(1);
    // No other place for what is compressed.
    let watcher = Watcher::start(pod.tool(&[]).env("TMPDIR", pod.dir.path().to_str().unwrap()));
    wait_within("it watches", SOON, || pod.status()["pid"].is_number());
    let full = std::fs::copy(&sample, pod.path("java_pid1.hprof")).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let left = pod.path("java_pid1.hprof").metadata().unwrap().len();
    wait_within("it is taken", SOON, || !pod.path("java_pid1.hprof").exists());
    assert!(volume.free() <= FULL, "{} blocks", volume.free());
    wait_within("the store is tried", SOON, || pod.status()["last_error"].is_string());
    let (updated, status) = (pod.status()["updated"].clone(), pod.path("jmap-dump-tool/status.json"));
    wait_within("it tells how it is", SOON, || pod.status()["updated"] != updated);
    assert!(volume.free() <= FULL, "{} blocks", volume.free());
    Tool::new(&["status", status.to_str().unwrap()]).run().expect(0);
    pod.server.revive();
    wait_within("it is stored", SOON, || pod.dumps().len() == 1 && pod.files().is_empty());
    drop(watcher);
    let object = pod.dumps().remove(0);
    let mut raw = flate2::read::MultiGzDecoder::new(std::fs::File::open(&object).unwrap());
    assert_eq!(std::io::copy(&mut raw, &mut std::io::sink()).unwrap(), left);
    let receipt = std::fs::read_to_string(object.to_str().unwrap().replace(".hprof.gz", ".json")).unwrap();
    assert!(receipt.contains("\"complete\":false") && receipt.contains("\"sha256\""), "{receipt}");
}
