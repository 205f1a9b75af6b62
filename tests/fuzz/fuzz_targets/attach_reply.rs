//! Any bytes as the answer of a JVM, and any text as what it is asked.

#![no_main]

use jmap_dump_tool_fuzz::attach::protocol::{ARG_MAX, AttachOperation, Reply};
use jmap_dump_tool_fuzz::heap_dump::heap_info::{heap_used, old_generation};
use jmap_dump_tool_fuzz::heap_dump::reply::{Judgement, judge, seconds};
use jmap_dump_tool_fuzz::heap_dump::vm_info::out_of_memory_errors;
use libfuzzer_sys::fuzz_target;

/// Version, name, three arguments: a sixth NUL would be read as another request's.
const NULS: usize = 5;

fuzz_target!(|bytes: &[u8]| {
    if let Some(reply) = Reply::parse(bytes) {
        answer(&reply.message);
    }
    let text = String::from_utf8_lossy(bytes);
    answer(&text);
    requests(&text);
});

fn answer(message: &str) {
    if let Judgement::Failed(words) = judge(message) {
        assert!(!words.is_empty());
    }
    let _ = (seconds(message), heap_used(message), old_generation(message), out_of_memory_errors(message));
}

fn requests(text: &str) {
    request(&AttachOperation::jcmd(text), text);
    request(&AttachOperation::setflag("HeapDumpPath", text), text);
    for live in [false, true] {
        request(&AttachOperation::dumpheap(text, live), text);
        let command = AttachOperation::heap_dump_command(text, live);
        request(&AttachOperation::jcmd(&command), &command);
    }
}

fn request(operation: &AttachOperation, argument: &str) {
    let fits = argument.len() <= ARG_MAX && !argument.contains('\0');
    let request = operation.request();
    assert_eq!(request.is_some(), fits);
    let Some(request) = request else { return };
    assert_eq!(request.iter().filter(|byte| **byte == 0).count(), NULS);
    assert!(request.ends_with(b"\0"));
}
