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

/// Bytes of the header of a top-level record: tag (u1), time (u4), body length (u4).
pub const TOP_HEADER: usize = 9;

/// The record that ends a dump has no body.
pub const END_RECORD: usize = TOP_HEADER;

/// The file header: "JAVA PROFILE 1.0.x" with its NUL, the identifier size (u4), the time (u8).
pub const MAGIC: &[u8] = b"JAVA PROFILE 1.0.";
pub const ID_SIZE_AT: usize = 19;
pub const TIME_AT: usize = ID_SIZE_AT + 4;
pub const FILE_HEADER: usize = TIME_AT + 8;

/// Returns the bytes of one value of a basic type. An object (2) is an identifier.
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

/// Returns the bytes after the tag of a GC root; `None` if the tag is no root.
pub fn root_width(tag: u8, id: usize) -> Option<usize> {
    Some(match tag {
        sub::ROOT_UNKNOWN | sub::ROOT_STICKY_CLASS | sub::ROOT_MONITOR_USED => id,
        sub::ROOT_JNI_GLOBAL => 2 * id,
        sub::ROOT_JNI_LOCAL | sub::ROOT_JAVA_FRAME | sub::ROOT_THREAD_OBJ => id + 8,
        sub::ROOT_NATIVE_STACK | sub::ROOT_THREAD_BLOCK => id + 4,
        _ => return None,
    })
}

/// Returns the bytes before the values of an instance: tag, object, trace (u4), class, number of bytes (u4).
pub fn instance_head(id: usize) -> usize {
    1 + id + 4 + id + 4
}

/// Returns the bytes before the elements of an object array: tag, array, trace (u4), number of elements (u4), class.
pub fn object_array_head(id: usize) -> usize {
    1 + id + 4 + 4 + id
}

/// Returns the bytes before the elements of a primitive array: tag, array, trace (u4), number of elements (u4), basic
/// type (u1).
pub fn primitive_array_head(id: usize) -> usize {
    1 + id + 4 + 4 + 1
}

/// Returns whether an array fills its record to the last element that fits. The length of a record is a u4. HotSpot
/// leaves out the rest of a longer array (JDK: `heapDumper.cpp`, `DumperSupport::calculate_array_max_length`).
pub fn is_cut(head: usize, body: u64, width: usize) -> bool {
    head as u64 + body + width as u64 > u64::from(u32::MAX)
}

/// Returns the bytes of the head of a CLASS_DUMP: tag, class, trace (u4), super, loader, signers, domain, two reserved,
/// instance size (u4), constants (u2).
pub fn class_head(id: usize) -> usize {
    1 + 7 * id + 4 + 4 + 2
}

/// Returns the bytes of a LOAD CLASS behind its header: serial number (u4), class, trace (u4), name.
pub fn load_class_body(id: usize) -> usize {
    4 + id + 4 + id
}

/// Returns the bytes of a FRAME behind its header: frame, the method's name, its signature, source file, class (u4),
/// line (u4).
pub fn frame_body(id: usize) -> usize {
    4 * id + 8
}

/// Reads an identifier of `id` bytes: 4 or 8.
#[inline(always)]
pub fn identifier(b: &[u8], at: usize, id: usize) -> u64 {
    let low = u64::from(be32(b, at + id - 4));
    if id == 8 { u64::from(be32(b, at)) << 32 | low } else { low }
}

#[inline(always)]
pub fn be32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

pub fn be16(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}

/// Returns the bytes of the sub-record at the start of `b`, with its tag; `None` if `b` is too short to tell.
///
/// # Errors
/// When the tag or a basic type is unknown.
pub fn sub_record_size(b: &[u8], id: usize) -> Result<Option<u64>, String> {
    let Some(tag) = b.first() else { return Ok(None) };
    let (head, count_at, width) = match *tag {
        sub::INSTANCE_DUMP => (instance_head(id), instance_head(id) - 4, 1),
        sub::OBJ_ARRAY_DUMP => (object_array_head(id), 5 + id, id),
        sub::PRIM_ARRAY_DUMP => match b.get(primitive_array_head(id) - 1) {
            None => return Ok(None),
            Some(basic_type) => (primitive_array_head(id), 5 + id, width(*basic_type, id)?),
        },
        sub::CLASS_DUMP => return class_size(b, id),
        other => {
            let root = root_width(other, id).ok_or_else(|| format!("unknown sub-record tag {other:#04x}"))?;
            return Ok(Some(1 + root as u64));
        }
    };
    Ok((b.len() >= head).then(|| head as u64 + u64::from(be32(b, count_at)) * width as u64))
}

/// Returns the bytes of a CLASS_DUMP. Constants are (index, type, value), statics (name, type, value), fields (name,
/// type).
fn class_size(b: &[u8], id: usize) -> Result<Option<u64>, String> {
    let mut at = class_head(id) - 2;
    for (before, has_value) in [(2, true), (id, true), (id, false)] {
        if b.len() < at + 2 {
            return Ok(None);
        }
        let count = be16(b, at);
        at += 2;
        for _ in 0..count {
            let Some(basic_type) = b.get(at + before) else { return Ok(None) };
            at += before + 1 + if has_value { width(*basic_type, id)? } else { 0 };
        }
    }
    Ok((b.len() >= at).then_some(at as u64))
}

fn width(basic_type: u8, id: usize) -> Result<usize, String> {
    value_width(basic_type, id).ok_or_else(|| format!("unknown basic type {basic_type}"))
}
