use proptest::prelude::*;

use super::*;

fn head(id_size: u32) -> Vec<u8> {
    let mut head = b"JAVA PROFILE 1.0.2\0".to_vec();
    head.extend(id_size.to_be_bytes());
    head.extend(0u64.to_be_bytes());
    head
}

fn record(head: &mut Vec<u8>, tag: u8, body: &[u8]) {
    head.extend([tag, 0, 0, 0, 0]);
    head.extend((body.len() as u32).to_be_bytes());
    head.extend(body);
}

fn utf8(head: &mut Vec<u8>, id: u64, text: &[u8]) {
    record(head, tag::UTF8, &[&id.to_be_bytes(), text].concat());
}

/// Reads one byte at a time.
struct Drops<'a>(&'a [u8]);

impl Read for Drops<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(1);
        self.0.read(&mut buf[..n])
    }
}

fn found(head: &[u8], wanted: &[u64]) -> Vec<(u64, String)> {
    let whole = find(head, wanted).unwrap();
    assert_eq!(find(Drops(head), wanted).unwrap(), whole);
    whole.into_iter().collect()
}

#[test]
fn only_wanted_names_are_found_and_only_before_the_heap() {
    let mut head = head(8);
    utf8(&mut head, 1, b"java/lang/String");
    utf8(&mut head, 2, b"not wanted");
    record(&mut head, tag::LOAD_CLASS, &[0; 24]);
    record(&mut head, tag::UTF8, b"short");
    utf8(&mut head, 3, b"[Ljava/lang/Object;");
    utf8(&mut head, 1, b"again");
    utf8(&mut head, 5, b"");
    record(&mut head, tag::HEAP_DUMP_SEGMENT, &[]);
    utf8(&mut head, 4, b"too/Late");
    let names = [(1, "java.lang.String".to_owned()), (3, "java.lang.Object[]".to_owned()), (5, String::new())];
    assert_eq!(found(&head, &[3, 4, 1, 1, 5]), names);
    assert!(found(&head, &[]).is_empty());
}

#[test]
fn identifiers_of_four_bytes_are_read() {
    let mut head = head(4);
    record(&mut head, tag::UTF8, b"\xff\0\0\x07[[I");
    assert_eq!(found(&head, &[0xff00_0007]), [(0xff00_0007, "int[][]".to_owned())]);
}

#[test]
fn truncated_head_has_the_names_before_its_end() {
    let mut whole = head(8);
    utf8(&mut whole, 1, b"a/B");
    utf8(&mut whole, 2, b"c/D");
    for len in 0..whole.len() {
        let count = if len < whole.len() - 20 { 0 } else { 1 };
        assert_eq!(found(&whole[..len], &[1, 2]).len(), count, "cut at {len}");
    }
    let at = whole.len() - 20 + 5;
    whole[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(found(&whole, &[1, 2]), [(1, "a.B".to_owned())]);
}

#[test]
fn too_long_name_is_cut_and_the_next_one_is_found() {
    let mut head = head(8);
    utf8(&mut head, 1, &vec![b'x'; 70_000]);
    utf8(&mut head, 2, b"y");
    let names = found(&head, &[1, 2]);
    assert_eq!(names[0].1, "x".repeat(65_536));
    assert_eq!(names[1].1, "y");
}

#[test]
fn modified_utf_8_is_decoded_and_other_text_is_shown() {
    for (text, shown) in [
        (&b"caf\xc3\xa9"[..], "café"),
        // U+1F600 as a pair of surrogates of three bytes each.
        (b"a/\xed\xa0\xbd\xed\xb8\x80", "a.\u{1f600}"),
        // U+0000, then a control character.
        (b"n\xc0\x80\x07", "n\u{fffd}\u{fffd}"),
        (b"bad\xff", "bad\u{fffd}"),
        (b"nul\0nul", "nul\u{fffd}nul"),
        // Half a pair.
        (b"\xed\xa0\xbd", "\u{fffd}\u{fffd}\u{fffd}"),
    ] {
        let mut head = head(8);
        utf8(&mut head, 9, text);
        assert_eq!(found(&head, &[9]), [(9, shown.to_owned())]);
    }
}

#[test]
fn a_head_that_cannot_be_read_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
    let mut start = head(8);
    utf8(&mut start, 1, b"a");
    assert!(find((&start[..]).chain(Broken), &[1, 2]).is_err());
}

proptest! {
    #[test]
    fn any_name_that_java_can_write_comes_back(name in "[^/\\[\\p{Cc}]{0,300}", id in 1..u64::MAX) {
        let mut head = head(8);
        let text = jni::strings::JNIString::new(&name);
        utf8(&mut head, id, text.to_bytes());
        prop_assert_eq!(found(&head, &[id]), [(id, name)]);
    }

    #[test]
    fn no_head_panics_or_loops(noise in proptest::collection::vec(any::<u8>(), 0..300), at in 0..200usize) {
        let mut head = head(8);
        utf8(&mut head, 1, b"java/lang/String");
        utf8(&mut head, 2, &[0xc3; 100]);
        head.splice(at.min(head.len()).., noise);
        let names = find(&head[..], &[1, 2]).unwrap();
        prop_assert!(names.len() <= 2);
    }
}
