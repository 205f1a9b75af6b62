//! Any bytes as each of the files of `/proc/PID` that are read, and as the program file.

#![no_main]

use jmap_dump_tool_fuzz::jvm::elf::{SVM_HEAP, has_section};
use jmap_dump_tool_fuzz::jvm::maps::Mapped;
use jmap_dump_tool_fuzz::jvm::mountinfo::Mount;
use jmap_dump_tool_fuzz::jvm::proc_status::{ProcStatus, SIGQUIT, start_ticks};
use libfuzzer_sys::fuzz_target;

/// The longest read of a program file that is no surprise.
const READ_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    status(bytes);
    let _ = start_ticks(bytes);
    maps(bytes);
    for path in ["/", "/tmp", "/dumps/a", "/data x/a"] {
        mountinfo(path, bytes);
    }
    let _ = has_section(SVM_HEAP, |at, len| read(bytes, at, len));
});

fn status(bytes: &[u8]) {
    let status = ProcStatus::parse(bytes);
    assert_eq!(status.catches(SIGQUIT).is_some(), status.sig_cgt.is_some());
    let _ = status.is_zombie();
}

fn maps(bytes: &[u8]) {
    let mapped = Mapped::parse(bytes);
    assert!(mapped.hsperfdata.is_none_or(|path| path.starts_with('/') && path.contains("/hsperfdata_")));
}

fn mountinfo(path: &str, bytes: &[u8]) {
    let Some(mount) = Mount::of(path, bytes) else { return };
    assert!(path.starts_with(mount.mount_point.trim_end_matches('/')), "{mount:?} is not above {path}");
    assert!(!(mount.is_memory() && mount.is_node_disk()));
    let _ = (mount.is_read_only(), mount.lifetime());
}

fn read(bytes: &[u8], at: u64, len: usize) -> Option<Vec<u8>> {
    assert!(len <= READ_MAX);
    let at = usize::try_from(at).ok()?;
    bytes.get(at..at.checked_add(len)?).map(<[u8]>::to_vec)
}
