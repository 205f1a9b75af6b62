//! Any bytes as a dump: walked in pieces and in one go, which must give the same. The first four bytes of the input
//! are the sizes of the pieces, in turn.

#![no_main]

use jmap_dump_tool_fuzz::hprof::{Malformed, Summary, Walker};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((sizes, dump)) = input.split_first_chunk::<4>() else { return };
    let whole = walk([dump].into_iter());
    assert_eq!(walk(pieces(dump, sizes).into_iter()), whole);
    match whole {
        Ok(summary) => assert_eq!(summary.bytes, dump.len() as u64),
        Err(error) => assert!(error.offset <= dump.len() as u64),
    }
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

fn walk<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Summary, Malformed> {
    let mut walker = Walker::new();
    for piece in pieces {
        walker.push(piece)?;
    }
    Ok(walker.finish())
}
