//! Tags and widths of HPROF (JDK: `src/hotspot/share/services/heapDumper.cpp`, "HPROF binary format").

/// Top-level record tags.
pub mod tag {
    pub const UTF8: u8 = 0x01;
    pub const LOAD_CLASS: u8 = 0x02;
    pub const FRAME: u8 = 0x04;
    pub const TRACE: u8 = 0x05;
    pub const CONTROL_SETTINGS: u8 = 0x0E;
    pub const HEAP_DUMP: u8 = 0x0C;
    pub const HEAP_DUMP_SEGMENT: u8 = 0x1C;
    pub const HEAP_DUMP_END: u8 = 0x2C;
}

/// Tags of the sub-records inside a heap dump or one of its segments.
pub mod sub {
    pub const ROOT_UNKNOWN: u8 = 0xFF;
    pub const ROOT_JNI_GLOBAL: u8 = 0x01;
    pub const ROOT_JNI_LOCAL: u8 = 0x02;
    pub const ROOT_JAVA_FRAME: u8 = 0x03;
    pub const ROOT_NATIVE_STACK: u8 = 0x04;
    pub const ROOT_STICKY_CLASS: u8 = 0x05;
    pub const ROOT_THREAD_BLOCK: u8 = 0x06;
    pub const ROOT_MONITOR_USED: u8 = 0x07;
    pub const ROOT_THREAD_OBJ: u8 = 0x08;
    pub const CLASS_DUMP: u8 = 0x20;
    pub const INSTANCE_DUMP: u8 = 0x21;
    pub const OBJ_ARRAY_DUMP: u8 = 0x22;
    pub const PRIM_ARRAY_DUMP: u8 = 0x23;
}

/// Tag (u1), time (u4), body length (u4).
pub const TOP_HEADER: usize = 9;

/// "JAVA PROFILE 1.0.x" and its NUL; then the identifier size (u4) and the time (u8).
pub const MAGIC: &[u8] = b"JAVA PROFILE 1.0.";
pub const FILE_HEADER: usize = 19 + 4 + 8;

/// Bytes of one value of a basic type; an object (2) is an identifier.
pub fn value_width(basic_type: u8, id_size: usize) -> Option<usize> {
    match basic_type {
        2 => Some(id_size),
        4 | 8 => Some(1),
        5 | 9 => Some(2),
        6 | 10 => Some(4),
        7 | 11 => Some(8),
        _ => None,
    }
}

/// Bytes after the tag of a GC root; `None` when the tag is no root.
pub fn root_width(tag: u8, id: usize) -> Option<usize> {
    Some(match tag {
        sub::ROOT_UNKNOWN | sub::ROOT_STICKY_CLASS | sub::ROOT_MONITOR_USED => id,
        sub::ROOT_JNI_GLOBAL => 2 * id,
        sub::ROOT_JNI_LOCAL | sub::ROOT_JAVA_FRAME | sub::ROOT_THREAD_OBJ => id + 8,
        sub::ROOT_NATIVE_STACK | sub::ROOT_THREAD_BLOCK => id + 4,
        _ => return None,
    })
}
