//! Any bytes as an hsperfdata file: whoever owns the process writes it.

#![no_main]

use jmap_dump_tool_fuzz::jvm::hsperfdata::PerfData;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(data) = PerfData::parse(bytes) else { return };
    let _ = (data.is_attachable(), data.vm_version(), data.heap_max(), data.heap_used());
    // Arguments may be secrets.
    assert!(data.main_class().is_none_or(|name| !name.is_empty() && !name.contains(' ')));
});
