//! Any bytes as a dump: walked in pieces and in one go, which must give the same; and in two sections, as when the
//! JVM does not merge its files. So must the classes that are counted on the way, whose names are looked for then.
//! The first four bytes of the input are the sizes of the pieces, in turn.

#![no_main]

use jmap_dump_tool_fuzz::hprof::{Histogram, Malformed, Summary, Walker, names};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((sizes, dump)) = input.split_first_chunk::<4>() else { return };
    let whole = walk(Walker::new(), [dump]).map(Walker::finish);
    assert_eq!(walk(Walker::new(), pieces(dump, sizes)).map(Walker::finish), whole);
    match &whole {
        Ok(summary) => {
            assert_eq!(summary.bytes, dump.len() as u64);
            classes(dump, sizes, summary.records.objects());
        }
        Err(error) => assert!(error.offset <= dump.len() as u64),
    }
    sections(dump, usize::from(u16::from_be_bytes([sizes[0], sizes[1]])), &whole);
});

fn pieces<'a>(mut dump: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if dump.is_empty() {
            break;
        }
        let (piece, rest) = dump.split_at((1 + usize::from(*size)).min(dump.len()));
        pieces.push(piece);
        dump = rest;
    }
    pieces
}

fn walk<'a>(mut walker: Walker, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Walker, Malformed> {
    for piece in pieces {
        walker.push(piece)?;
    }
    Ok(walker)
}

fn classes(dump: &[u8], sizes: &[u8], objects: u64) {
    let counted = |pieces: Vec<&[u8]>| {
        let (mut walker, mut histogram) = (Walker::new(), Histogram::new());
        pieces.into_iter().try_for_each(|piece| walker.push_to(piece, &mut histogram)).expect("it was walked");
        histogram.top(3)
    };
    let ranking = counted(vec![dump]);
    assert_eq!(counted(pieces(dump, sizes)), ranking);
    let named = ranking.named(&names::find(dump, &ranking.name_ids()).expect("memory can be read"));
    assert_eq!(named.total.instances, objects);
    assert!(named.top.iter().all(|share| !share.name.contains(char::is_control)));
}

/// What is complete in two sections is so in one go, and the same.
fn sections(dump: &[u8], cut: usize, whole: &Result<Summary, Malformed>) {
    let (head, rest) = dump.split_at(cut % (dump.len() + 1));
    let walkers = (walk(Walker::new(), [head]), walk(Walker::after_head(), [rest]));
    let (Ok(head), Ok(rest)) = walkers else { return };
    let joined = Walker::join(vec![head, rest]);
    assert_eq!(joined.bytes, dump.len() as u64);
    // A section of its own does not tell its width of identifiers: it is taken to be 8.
    if joined.complete && dump.get(19..23) == Some(&[0, 0, 0, 8]) {
        assert_eq!(Ok(joined), *whole);
    }
}
