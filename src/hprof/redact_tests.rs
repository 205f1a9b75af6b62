use proptest::prelude::*;

use super::super::sample::Sample;
use super::super::walker::Walker;
use super::*;

const CLASS: u64 = 0x10;

/// An int, a reference, a byte; then strings in each kind of array, and numbers.
fn dump() -> Vec<u8> {
    let fields = [(1, 10), (2, types::OBJECT), (3, types::BYTE)];
    Sample::new()
        .class(CLASS, 5, 0, &fields)
        .instance(0x90, CLASS, b"SECR\0\0\0\0\0\0\0\x77E")
        .array(0x91, types::BYTE, 1, b"SECRET-latin")
        .array(0x92, types::CHAR, 2, b"\0S\0E\0C\0R\0E\0T")
        .array(0x93, types::BYTE, 1, b"S\0E\0C\0R\0E\0T\0")
        .array(0x94, 10, 4, b"SECRSECR")
        .array(0x95, types::BYTE, 1, b"main")
        .array(0x96, types::BYTE, 1, b"")
        .array(0x97, types::BYTE, 1, b"SECRET-kept")
        .build()
}

/// Walked and redacted in pieces of so many bytes.
fn redacted(dump: &[u8], piece: usize, mut redactor: Redactor) -> Vec<u8> {
    let (mut walker, mut mask, mut out) = (Walker::new(), Mask::default(), Vec::new());
    for page in dump.chunks(piece) {
        let mut page = page.to_vec();
        let mut redacting = Redacting { tally: &mut (), redactor: &mut redactor, mask: &mut mask };
        walker.push_to(&page, &mut redacting).unwrap();
        mask.apply(&mut page, &redactor);
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

/// Where the two differ.
fn changed(before: &[u8], after: &[u8]) -> Vec<u8> {
    assert_eq!(before.len(), after.len());
    before.iter().zip(after).filter(|(before, after)| before != after).map(|(before, _)| *before).collect()
}

/// Stacks that stand between the segments are no part of the heap.
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
        let again = redacted(&out, 77, Redactor::new(Redact::Strings, keep()));
        assert_eq!(again, out, "redacting twice is redacting once");
    }
    let out = redacted(&dump, dump.len(), Redactor::new(Redact::Strings, keep()));
    assert!(holds(&out, b"main") && holds(&out, b"************") && holds(&out, b"\0*\0*\0*\0*\0*\0*"));
    assert_eq!(changed(&dump, &out).len(), 12 + 6 + 12, "nothing else");
}

#[test]
fn all_takes_numbers_too_and_leaves_references() {
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
    mask.apply(&mut page, &redactor);
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
    assert_eq!(redactor.blanked, Blanked { early: 0, too_large: 2, misfit: 1 });
}

#[test]
fn what_cannot_be_understood_is_blanked() {
    let mut mask = Mask { at: 10, spans: Vec::new() };
    let mut page = *b"abcdef";
    mask.blank(&mut page, 13);
    assert_eq!(&page, b"abc\0\0\0");
    mask.blank(&mut page, 3);
    assert_eq!(page, [0; 6]);
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
            mask.apply(&mut page, &redactor);
            out.extend(page);
            rest = behind;
        }
        prop_assert!(!holds(&out, b"SEC") && !holds(&out, b"ECR") && !holds(&out, b"\0E\0C") && !holds(&out, b"main"));
    }
}
