//! The tool's pure parsers, in the module tree that they have there, without what else the tool is built of.

#![forbid(unsafe_code)]

#[path = "../../../src/jvm"]
pub mod jvm {
    pub mod elf;
    pub mod hsperfdata;
    pub mod maps;
    pub mod mountinfo;
    pub mod proc_limits;
    pub mod proc_status;
}

#[path = "../../../src/attach"]
pub mod attach {
    pub mod protocol;
}

#[path = "../../../src/heap_dump"]
pub mod heap_dump {
    pub mod heap_info;
    pub mod reply;
    pub mod vm_info;
}

#[path = "../../../src/hprof/mod.rs"]
pub mod hprof;
