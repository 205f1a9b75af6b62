use proptest::prelude::*;

use super::super::ids::IdSet;
use super::super::redacting::Redacting;
use super::*;
use crate::hprof::sample::Sample;
use crate::hprof::walker::Walker;

const CLASS: u64 = 0x10;

/// Builds a dump: an instance with an int, a reference and a byte; then strings in each kind of array, and numbers.
fn dump() -> Vec<u8> {
    let fields = [(1, 10), (2, types::OBJECT), (3, types::BYTE)];
    Sample::new()
        .class(CLASS, 5, 0, &fields)
        .instance(0x90, CLASS, b"SECR\0\0\0\0\0\0\0\x77E")
        .array(0x91, types::BYTE, 1, b"SECRET-latin")
        .array(0x92, types::CHAR, 2, b"\0S\0E\0C\0R\0E\0T")
        .array(0x93, types::BYTE, 1, b"S\0E\0C\0R\0E\0T\0")
        .array(0x94, types::LONG, 8, b"SECRSECR")
        .array(0x98, types::INT, 4, b"RCESTERC")
        .array(0x95, types::BYTE, 1, b"main")
        .array(0x96, types::BYTE, 1, b"")
        .array(0x97, types::BYTE, 1, b"SECRET-kept")
        .build()
}

/// Walks and redacts a dump in pieces of `piece` bytes.
fn redacted(dump: &[u8], piece: usize, mut redactor: Redactor) -> Vec<u8> {
    let (mut walker, mut mask, mut out) = (Walker::new(), Mask::default(), Vec::new());
    for page in dump.chunks(piece) {
        let mut page = page.to_vec();
        let mut redacting = Redacting { tally: &mut (), redactor: &mut redactor, mask: &mut mask };
        walker.push_to(&page, &mut redacting).unwrap();
        mask.apply(&mut page, &mut redactor);
        out.extend(page);
    }
    assert_eq!(redactor.blanked, Blanked::default());
    assert!(walker.finish().complete);
    out
}

fn keep() -> Keep {
    let mut keep = Keep { arrays: IdSet::from_iter([0x97]), ..Keep::default() };
    keep.text("main");
    keep
}

fn holds(dump: &[u8], text: &[u8]) -> bool {
    dump.windows(text.len()).any(|window| window == text)
}

/// Returns the bytes of `before` that are others in `after`.
fn changed(before: &[u8], after: &[u8]) -> Vec<u8> {
    assert_eq!(before.len(), after.len());
    before.iter().zip(after).filter(|(before, after)| before != after).map(|(before, _)| *before).collect()
}

/// Stacks between the segments are not part of the heap.
#[test]
fn stacks_between_segments_are_walked_and_stay() {
    let sample = Sample::new().class(CLASS, 5, 0, &[(2, types::OBJECT)]).stack(2);
    let sample = sample.instance(0x90, CLASS, &[0; 8]).array(0x91, types::BYTE, 1, b"SECRET-latin").stack(3).stack(4);
    let dump = sample.array(0x92, types::BYTE, 1, b"SECRET-more").build();
    for piece in 1..dump.len() {
        let out = redacted(&dump, piece, Redactor::new(Redact::Strings, Keep::default()));
        assert_eq!(changed(&dump, &out), b"SECRET-latinSECRET-more", "pieces of {piece}");
        let mut walker = Walker::new();
        dump.chunks(piece).for_each(|piece| walker.push(piece).unwrap());
        let records = walker.finish().records;
        let told = (records.stack_frames, records.stack_traces, records.segments, records.objects());
        // One of the segments is empty.
        assert_eq!(told, (3, 3, 4, 3), "pieces of {piece}");
    }
}

#[test]
fn strings_go_and_all_else_stays_however_the_bytes_are_cut() {
    let dump = dump();
    for piece in 1..dump.len() {
        let out = redacted(&dump, piece, Redactor::new(Redact::Strings, keep()));
        assert!(!holds(&out, b"SECRET-latin") && !holds(&out, b"\0S\0E\0C\0R\0E\0T") && !holds(&out, b"S\0E\0C"));
        assert!(holds(&out, b"SECRET-kept") && holds(&out, b"SECRSECR"), "{piece}");
        assert!(!holds(&out, b"RCES") && !holds(&out, b"TERC"), "an int[] may be what dead strings are filled with");
        let again = redacted(&out, piece, Redactor::new(Redact::Strings, keep()));
        assert_eq!(again, out, "redacting twice is redacting once");
    }
    let out = redacted(&dump, dump.len(), Redactor::new(Redact::Strings, keep()));
    assert!(holds(&out, b"main") && holds(&out, b"************") && holds(&out, b"\0*\0*\0*\0*\0*\0*"));
    assert!(holds(&out, b"*\0*\0*\0*\0*\0*\0"));
    assert_eq!(changed(&dump, &out).len(), 12 + 6 + 6 + 8, "nothing else");
}

#[test]
fn redact_all_blanks_numbers_and_leaves_references() {
    let dump = dump();
    for piece in 1..dump.len() {
        let out = redacted(&dump, piece, Redactor::new(Redact::All, keep()));
        assert_eq!(out.windows(4).filter(|window| *window == b"SECR").count(), 1, "only what is kept: {piece}");
        assert!(!holds(&out, b"SECRSECR") && !holds(&out, b"\xDE\xAD\xBE\xEF"), "{piece}");
        assert!(
            holds(&out, b"\0\0\0\0\0\0\0\0\0\0\0\x77\0"),
            "the reference stays, and what is around it goes: {piece}"
        );
    }
}

#[test]
fn an_instance_of_a_class_that_is_kept_keeps_its_fields() {
    let keep = Keep { classes: IdSet::from_iter([CLASS]), ..Keep::default() };
    let out = redacted(&dump(), 1000, Redactor::new(Redact::All, keep));
    assert!(holds(&out, b"SECR\0\0\0\0\0\0\0\x77E"));
}

#[test]
fn an_instance_before_its_class_loses_its_references_too() {
    let before = Sample::new().instance(0x90, CLASS, b"SECRET").class(CLASS, 5, 0, &[(1, 10)]);
    let dump = before.instance(0x91, CLASS, b"SECR").array(0x92, types::BYTE, 1, b"SECRET").build();
    let (mut mask, mut redactor, mut page) =
        (Mask::default(), Redactor::new(Redact::All, Keep::default()), dump.clone());
    let mut redacting = Redacting { tally: &mut (), redactor: &mut redactor, mask: &mut mask };
    Walker::new().push_to(&dump, &mut redacting).unwrap();
    mask.apply(&mut page, &mut redactor);
    assert_eq!(redactor.blanked, Blanked { early: 1, ..Blanked::default() });
    assert!(!holds(&page, b"SEC") && holds(&page, b"******"));
}

#[test]
fn instance_of_too_many_superclasses_has_its_own_reason() {
    let deep = 1001;
    let sample = (1..=deep).fold(Sample::new(), |sample, class| sample.class(class, 5, class - 1, &[]));
    let dump = sample.instance(0x90, deep, b"").instance(0x91, deep - 1, b"").instance(0x92, 3, b"SECRET").build();
    let (mut mask, mut redactor) = (Mask::default(), Redactor::new(Redact::All, Keep::default()));
    let mut redacting = Redacting { tally: &mut (), redactor: &mut redactor, mask: &mut mask };
    Walker::new().push_to(&dump, &mut redacting).unwrap();
    assert_eq!(redactor.blanked, Blanked { too_large: 2, misfit: 1, ..Blanked::default() });
}

proptest! {
    #[test]
    fn no_secret_survives_any_cut(cuts in proptest::collection::vec(1usize..60, 1..40)) {
        let dump = dump();
        let (mut walker, mut mask, mut out) = (Walker::new(), Mask::default(), Vec::new());
        let mut redactor = Redactor::new(Redact::All, Keep::default());
        let (mut rest, mut cuts) = (&dump[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (page, behind) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            let mut page = page.to_vec();
            let mut redacting = Redacting { tally: &mut (), redactor: &mut redactor, mask: &mut mask };
            walker.push_to(&page, &mut redacting).unwrap();
            mask.apply(&mut page, &mut redactor);
            out.extend(page);
            rest = behind;
        }
        prop_assert!(!holds(&out, b"SEC") && !holds(&out, b"ECR") && !holds(&out, b"\0E\0C") && !holds(&out, b"main"));
    }
}

/// Builds a dump with a String of CJK text, and with numbers of the JDK and of the application.
fn structured() -> Vec<u8> {
    let symbols = [
        (1, "value"),
        (2, "coder"),
        (3, "hash"),
        (4, "size"),
        (5, "modCount"),
        (6, "elementData"),
        (7, "state"),
        (8, "carrierThread"),
        (9, "java/lang/String"),
    ];
    let (reference, byte, int) = (types::OBJECT, types::BYTE, types::INT);
    let named = symbols.into_iter().fold(Sample::new(), |sample, (id, text)| sample.symbol(id, text));
    named
        .class(0x20, 9, 0, &[(1, reference), (2, byte), (3, int)])
        .class(0x21, 9, 0, &[(6, reference), (4, int), (5, int), (7, int)])
        .class(0x22, 9, 0x21, &[(8, reference), (7, int)])
        .loaded_by(0x77)
        .class(0x23, 9, 0x21, &[(4, int)])
        .instance(0x90, 0x20, b"\0\0\0\0\0\0\0\x91\x01HASH")
        .array(0x91, byte, 1, b"plain Latin text")
        .instance(0x92, 0x21, b"REFERENCSIZEMODCSTAT")
        .instance(0x93, 0x22, b"CARRIERRvirtREFERENCsizemodcSTAT")
        .instance(0x94, 0x23, b"USERREFERENCSIZ2MODDSTAT")
        .build()
}

#[test]
fn jdk_structure_stays_and_application_numbers_go() {
    let out = redacted(&structured(), 4096, Redactor::new(Redact::All, Keep::default()));
    assert!(holds(&out, b"\0\0\0\0\0\0\0\x91\x01\0\0\0\0"), "the coder stays, the hash goes");
    assert!(holds(&out, b"*\0*\0*\0*\0*\0*\0*\0*\0"), "what its String calls UTF-16 is UTF-16");
    assert!(holds(&out, b"REFERENCSIZEMODC\0\0\0\0"), "size and modCount stay, a state does not");
    assert!(holds(&out, b"CARRIERRvirtREFERENCsizemodc\0\0\0\0"), "the state of a virtual thread stays");
    assert!(holds(&out, b"\0\0\0\0REFERENCSIZ2MODD\0\0\0\0"), "a size of the application goes");
    let strings = redacted(&structured(), 4096, Redactor::new(Redact::Strings, Keep::default()));
    assert!(holds(&strings, b"\x91\x01HASH") && holds(&strings, b"*\0*\0*\0*\0*\0*\0*\0*\0"));
}

/// The JVM may write the end of the head behind the heap. Then nobody can wait for it.
#[test]
fn names_that_come_too_late_are_reported() {
    let late = Sample::new().class(0x21, 9, 0, &[(4, types::INT)]).instance(0x92, 0x21, b"SIZE").build();
    let mut dump = late[..late.len() - 9].to_vec();
    dump.extend(&Sample::new().symbol(4, "size").build()[31..]);
    let (mut mask, mut redactor) = (Mask::default(), Redactor::new(Redact::All, Keep::default()));
    // An empty segment separates the two.
    let mut redacting = Redacting { tally: &mut (), redactor: &mut redactor, mask: &mut mask };
    Walker::new().push_to(&dump, &mut redacting).unwrap();
    mask.apply(&mut dump, &mut redactor);
    assert!(redactor.blanked.sizes && !redactor.knows_names() && !holds(&dump, b"SIZE"));
    assert!(Redactor::new(Redact::Strings, Keep::default()).knows_names());
}

/// Builds a dump of texts. Before each of them are an object and an array that refer to it.
fn texts() -> Vec<u8> {
    let fields = [(1, types::OBJECT), (2, types::OBJECT), (3, 10)];
    let sample = Sample::new().class(CLASS, 5, 0, &fields).class(0x20, 6, 0, &[]).stack(2);
    let text = |sample: Sample, n: u64| {
        let (object, text) = (0xf000_0000 + 0x100 * n, 0xf000_0080 + 0x100 * n);
        let values = [&text.to_be_bytes()[..], &[0; 8], &[0, 0, 0, 7]].concat();
        let sample = sample.instance(object, CLASS, &values).references(object + 0x20, 0x20, &[text, 0, object]);
        sample.array(text, types::BYTE, 1, b" #!SECRET\tand more\n of it")
    };
    (0..40).fold(sample, text).build()
}

/// Redacts as [`redacted`], but the dump may be damaged or cut.
fn redacted_remains(dump: &[u8], what: Redact) -> Vec<u8> {
    let (mut walker, mut mask, mut out) = (Walker::new(), Mask::default(), Vec::new());
    let mut redactor = Redactor::new(what, Keep::default()).doubting();
    let mut is_sound = true;
    for page in dump.chunks(1 << 20) {
        let mut page = page.to_vec();
        if !is_sound {
            break;
        }
        let walked = walker.push_to(&page, &mut Redacting { tally: &mut (), redactor: &mut redactor, mask: &mut mask });
        if let Err(error) = walked {
            mask.blank(&mut page, error.offset);
            is_sound = false;
        }
        mask.apply(&mut page, &mut redactor);
        out.extend(page);
    }
    out
}

/// Removes or adds bytes at each offset, so that lengths, numbers and classes become wrong, too.
#[test]
fn damaged_dump_has_nothing_of_its_texts() {
    let dump = texts();
    let secret = b"#!SECRET\tand";
    assert!(holds(&dump, secret));
    let name = dump.windows(11).position(|window| window == b"SECRET-like").unwrap();
    let check = |damaged: &[u8], what: &str| {
        for redact in [Redact::Strings, Redact::All] {
            assert!(!holds(&redacted_remains(damaged, redact), secret), "{what}, {redact:?}");
        }
    };
    check(&dump, "nothing");
    for at in name..dump.len() {
        for lost in [1, 2, 7, 30, 100] {
            let mut damaged = dump.clone();
            damaged.drain(at..(at + lost).min(dump.len()));
            check(&damaged, &format!("{lost} bytes lost at {at}"));
        }
        let mut damaged = dump.clone();
        damaged.splice(at..at, *b"more");
        check(&damaged, &format!("bytes more at {at}"));
    }
}
