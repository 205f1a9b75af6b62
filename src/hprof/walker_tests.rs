use super::super::records::{sub, tag};
use super::super::tally::Body;
use super::*;

/// Builds a small dump with each kind of record and 8-byte identifiers.
fn dump() -> Vec<u8> {
    let mut d = b"JAVA PROFILE 1.0.2\0".to_vec();
    d.extend(8u32.to_be_bytes());
    d.extend(0u64.to_be_bytes());
    top(&mut d, tag::UTF8, b"\0\0\0\0\0\0\0\x01name");
    top(&mut d, tag::LOAD_CLASS, &[0; 24]);
    top(&mut d, tag::TRACE, &[0; 12]);
    let mut s = Vec::new();
    class_dump(&mut s);
    s.push(sub::INSTANCE_DUMP);
    s.extend([0; 8 + 4 + 8]);
    s.extend(12u32.to_be_bytes());
    s.extend([7; 12]);
    s.push(sub::OBJ_ARRAY_DUMP);
    s.extend([0; 8 + 4]);
    s.extend(3u32.to_be_bytes());
    s.extend([0; 8 + 24]);
    s.push(sub::PRIM_ARRAY_DUMP);
    s.extend([0; 8 + 4]);
    s.extend(5u32.to_be_bytes());
    s.push(5);
    s.extend([1; 10]);
    for (root, width) in [(sub::ROOT_JNI_GLOBAL, 16), (sub::ROOT_UNKNOWN, 8), (sub::ROOT_THREAD_OBJ, 16)] {
        s.push(root);
        s.extend(vec![0; width]);
    }
    top(&mut d, tag::HEAP_DUMP_SEGMENT, &s);
    top(&mut d, tag::HEAP_DUMP_END, &[]);
    d
}

fn top(d: &mut Vec<u8>, record: u8, body: &[u8]) {
    d.push(record);
    d.extend([0; 4]);
    d.extend((body.len() as u32).to_be_bytes());
    d.extend(body);
}

fn class_dump(s: &mut Vec<u8>) {
    s.push(sub::CLASS_DUMP);
    s.extend([0; 8 + 4 + 6 * 8 + 4]);
    s.extend([0, 1, 0, 9, 10, 1, 2, 3, 4]); // one constant: index 9, int
    s.extend([0, 1]);
    s.extend([0; 8]);
    s.push(2); // one static: an object
    s.extend([0; 8]);
    s.extend([0, 2]);
    for ty in [10, 2] {
        s.extend([0; 8]);
        s.push(ty);
    }
}

fn walk(pieces: impl Iterator<Item = Vec<u8>>) -> Result<Summary, Malformed> {
    let mut walker = Walker::new();
    for piece in pieces {
        walker.push(&piece)?;
    }
    Ok(walker.finish())
}

#[test]
fn walker_counts_each_record_however_bytes_are_cut() {
    let dump = dump();
    let whole = walk(std::iter::once(dump.clone())).unwrap();
    assert!(whole.complete);
    assert_eq!(whole.bytes, dump.len() as u64);
    let r = &whole.records;
    assert_eq!((r.classes, r.instances, r.object_arrays, r.primitive_arrays, r.roots), (1, 1, 1, 1, 3));
    assert_eq!((r.utf8, r.load_class, r.stack_traces, r.segments), (1, 1, 1, 1));
    for size in 1..dump.len() {
        assert_eq!(walk(dump.chunks(size).map(<[u8]>::to_vec)).unwrap(), whole, "cut every {size} bytes");
    }
}

#[test]
fn a_dump_cut_anywhere_is_not_complete() {
    let dump = dump();
    for len in 0..dump.len() {
        assert!(!walk(std::iter::once(dump[..len].to_vec())).unwrap().complete, "cut at {len}");
    }
}

#[test]
fn bytes_behind_the_end_are_noticed() {
    let mut dump = dump();
    dump.push(0);
    assert!(walk(std::iter::once(dump)).is_err());
}

#[test]
fn a_sub_record_that_leaves_its_segment_is_noticed() {
    let mut d = b"JAVA PROFILE 1.0.2\0".to_vec();
    d.extend(8u32.to_be_bytes());
    d.extend(0u64.to_be_bytes());
    top(&mut d, tag::HEAP_DUMP_SEGMENT, &[sub::ROOT_UNKNOWN, 0, 0]);
    d.extend([0; 20]);
    assert!(walk(std::iter::once(d)).unwrap_err().what.contains("leaves its segment"));
}

#[test]
fn bytes_that_are_no_dump_are_refused_in_any_pieces() {
    let whole = walk(std::iter::once(b"Jx".to_vec()));
    assert_eq!(walk([b"J".to_vec(), b"x".to_vec()].into_iter()), whole);
    assert!(whole.is_err());
}

#[test]
fn other_file_is_refused_at_its_first_bytes() {
    assert_eq!(walk(std::iter::once(b"ELF".to_vec())).unwrap_err().offset, 0);
}

proptest::proptest! {
    #[test]
    fn no_input_panics_or_loops(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), cut in 1usize..50) {
        let mut dump = dump();
        let at = cut * 7 % dump.len();
        dump.splice(at..(at + bytes.len()).min(dump.len()), bytes);
        let _ = walk(dump.chunks(cut).map(<[u8]>::to_vec));
    }
}

/// Records all calls in their order.
#[derive(Default, PartialEq, Debug)]
struct Told(Vec<(&'static str, u64, u64)>);

impl Tally for Told {
    fn load_class(&mut self, class_id: u64, name_id: u64) {
        self.0.push(("class", class_id, name_id));
    }

    fn instance(&mut self, class_id: u64, body: Body) {
        self.0.push(("instance", class_id, body.bytes));
    }

    fn object_array(&mut self, class_id: u64, bytes: u64) {
        self.0.push(("object array", class_id, bytes));
    }

    fn primitive_array(&mut self, basic_type: u8, body: Body) {
        self.0.push(("primitive array", u64::from(basic_type), body.bytes));
    }
}

/// Returns an identifier whose bytes all differ, and differ from those around it.
fn id(width: usize, first: u8) -> (Vec<u8>, u64) {
    let bytes: Vec<u8> = (0..width as u8).map(|i| first + i).collect();
    let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    (bytes, value)
}

fn telling_dump(width: usize) -> (Vec<u8>, Told) {
    let mut d = b"JAVA PROFILE 1.0.2\0".to_vec();
    d.extend((width as u32).to_be_bytes());
    d.extend(0u64.to_be_bytes());
    let ((class, class_id), (name, name_id), (array, array_id)) = (id(width, 0x81), id(width, 0xC1), id(width, 0xA1));
    let object = vec![0x55; width];
    top(&mut d, tag::LOAD_CLASS, &[&[0, 0, 0, 7], &class[..], &[0, 0, 0, 1], &name].concat());
    // A LOAD CLASS of a wrong length is not passed on.
    top(&mut d, tag::LOAD_CLASS, &vec![9; 2 * width + 7]);
    top(&mut d, tag::LOAD_CLASS, &[]);
    let instance = [&[sub::INSTANCE_DUMP], &object[..], &[0; 4], &class, &[0, 0, 0, 3], b"abc"].concat();
    let objects = [&[sub::OBJ_ARRAY_DUMP], &object[..], &[0; 4], &[0, 0, 0, 2], &array, &object.repeat(2)[..]].concat();
    let shorts = [&[sub::PRIM_ARRAY_DUMP], &object[..], &[0; 4], &[0, 0, 0, 2, 9], b"abcd"].concat();
    top(&mut d, tag::HEAP_DUMP_SEGMENT, &[&instance[..], &objects, &shorts, &instance].concat());
    top(&mut d, tag::HEAP_DUMP_END, &[]);
    let told = [
        ("class", class_id, name_id),
        ("instance", class_id, 3),
        ("object array", array_id, 2 * width as u64),
        ("primitive array", 9, 4),
        ("instance", class_id, 3),
    ];
    (d, Told(told.to_vec()))
}

#[test]
fn each_object_is_told_once_however_the_bytes_are_cut() {
    for width in [4, 8] {
        let (dump, expected) = telling_dump(width);
        for size in 1..=dump.len() {
            let (mut walker, mut told) = (Walker::new(), Told::default());
            dump.chunks(size).for_each(|piece| walker.push_to(piece, &mut told).unwrap());
            assert_eq!(told, expected, "cut every {size} bytes, identifiers of {width}");
            assert!(walker.finish().complete);
        }
    }
}

/// HotSpot writes no more of an array than its record can hold, and reports the cut only in the JVM's log.
#[test]
fn array_that_fills_its_record_was_cut() {
    let zeros = vec![0; 64 << 20];
    for (basic_type, width, more, cut) in [(11, 8, 0, 1), (11, 8, 1, 0), (5, 2, 0, 1), (5, 2, 1, 0)] {
        let elements = (u32::MAX - 18) / width - more;
        let (mut head, body) = (dump()[..31].to_vec(), u64::from(elements) * u64::from(width));
        head.push(tag::HEAP_DUMP_SEGMENT);
        head.extend([0; 4]);
        head.extend((18 + body as u32).to_be_bytes());
        head.push(sub::PRIM_ARRAY_DUMP);
        head.extend([0; 8 + 4]);
        head.extend(elements.to_be_bytes());
        head.push(basic_type);
        let mut walker = Walker::new();
        walker.push(&head).unwrap();
        let mut left = body;
        while left > 0 {
            let piece = left.min(zeros.len() as u64);
            walker.push(&zeros[..piece as usize]).unwrap();
            left -= piece;
        }
        assert!(walker.is_between_records());
        assert_eq!(walker.records().cut_arrays, cut, "type {basic_type}, {elements} elements");
    }
}
