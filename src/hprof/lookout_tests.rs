use super::super::names;
use super::*;
use crate::hprof::sample::Sample;
use crate::hprof::types::{BYTE, OBJECT};
use crate::hprof::walker::Walker;

const THREAD_CLASS: u64 = 0x11;
const WORKER: u64 = 0x12;
const STRING_CLASS: u64 = 0x13;
const ORDER: u64 = 0x14;

/// Builds a dump: a thread of a subclass that has its own field `name`, and an order that holds a string and an array.
fn dump() -> Vec<u8> {
    let id = |id: u64| id.to_be_bytes();
    Sample::new()
        .symbol(1, THREAD)
        .symbol(2, "Worker")
        .symbol(3, STRING)
        .symbol(4, THREAD_NAME)
        .symbol(5, "value")
        .symbol(6, "com/acme/Order")
        .symbol(7, "tid")
        .class(WORKER, 2, THREAD_CLASS, &[(4, OBJECT), (7, 10)])
        .class(THREAD_CLASS, 1, 0, &[(7, BYTE), (4, OBJECT)])
        .class(STRING_CLASS, 3, 0, &[(5, OBJECT), (7, BYTE)])
        .class(ORDER, 6, 0, &[(5, OBJECT), (4, OBJECT)])
        .array(0xA1, BYTE, 1, b"worker-1")
        .instance(0x51, STRING_CLASS, &[&id(0xA1)[..], &[0]].concat())
        .instance(0x52, STRING_CLASS, &[&id(0xA2)[..], &[0]].concat())
        .instance(0x53, STRING_CLASS, &[&id(0xA3)[..], &[0]].concat())
        .instance(0x90, WORKER, &[&id(0x52)[..], &[0; 4], &[1], &id(0x51)].concat())
        .instance(0x91, ORDER, &[id(0x53), id(0xA4)].concat())
        .array(0xA2, BYTE, 1, b"a secret")
        .build()
}

fn look(piece: usize, is_kept: impl Fn(&str) -> bool + Copy) -> (IdSet, IdSet) {
    let dump = dump();
    let symbols = names::which(&dump[..], |text| [THREAD, THREAD_NAME, STRING].contains(&text) || is_kept(text));
    let pass = |mut lookout: Lookout| {
        let mut walker = Walker::new();
        for page in dump.chunks(piece) {
            walker.push_to(page, &mut lookout).unwrap();
            lookout.absorb(page);
        }
        assert!(walker.finish().complete && lookout.open.is_empty());
        lookout
    };
    let first = pass(Lookout::new(Goals::of(&symbols.unwrap().symbols, is_kept)));
    assert!(first.has_found());
    pass(first.again()).finish()
}

#[test]
fn thread_name_is_not_taken_from_a_field_of_a_subclass() {
    for piece in [1, 7, 64, 10_000] {
        let (objects, classes) = look(piece, |_| false);
        assert!(objects.contains(&0xA1) && !objects.contains(&0xA2), "{piece}: {objects:x?}");
        assert!(!objects.contains(&0xA3) && classes.is_empty(), "{piece}: {objects:x?}");
    }
}

#[test]
fn chosen_class_leads_to_its_arrays_and_strings() {
    for piece in [1, 9, 10_000] {
        let (objects, classes) = look(piece, |text| text == "com/acme/Order");
        assert!(objects.contains(&0xA3) && objects.contains(&0xA4) && objects.contains(&0xA1), "{objects:x?}");
        assert!(!objects.contains(&0xA2));
        assert_eq!(classes, IdSet::from_iter([ORDER]));
    }
}
