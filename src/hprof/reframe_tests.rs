use proptest::prelude::*;

use super::super::Walker;
use super::*;

const PAGE: usize = 1 << 20;

/// Builds an instance of `body` bytes.
fn instance(body: u32) -> Vec<u8> {
    let mut record = vec![0x21];
    record.extend([7; 8 + 4 + 8]);
    record.extend(body.to_be_bytes());
    record.extend(vec![0xAB; body as usize]);
    record
}

fn class() -> Vec<u8> {
    let mut record = vec![0x20];
    record.extend([1; 7 * 8 + 4 + 4]);
    // A constant (int), a static (object), a field (byte).
    record.extend([0, 1, 0, 9, 10, 1, 2, 3, 4]);
    record.extend([0, 1]);
    record.extend([5; 8]);
    record.push(2);
    record.extend([6; 8]);
    record.extend([0, 1]);
    record.extend([5; 8]);
    record.push(8);
    record
}

fn dump(segments: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut dump = b"JAVA PROFILE 1.0.2\0\0\0\0\x08\0\0\0\0\0\0\0\0".to_vec();
    dump.extend([1, 0, 0, 0, 0, 0, 0, 0, 9, 1, 1, 1, 1, 1, 1, 1, 1, b'x']);
    for segment in segments {
        write_header(&mut dump, 0);
        dump.extend(segment.concat());
    }
    dump.extend([0x2c, 0, 0, 0, 0, 0, 0, 0, 0]);
    dump
}

fn reframed(dump: &[u8], piece: usize) -> Vec<u8> {
    let (mut reframer, mut out, mut page) = (Reframer::new(PAGE), Vec::new(), Vec::new());
    for bytes in dump.chunks(piece) {
        reframer.push(bytes);
        while reframer.fill(&mut page).unwrap() {
            assert!(page.len() <= PAGE);
            out.append(&mut page);
        }
    }
    reframer.finish(&mut page);
    out.append(&mut page);
    out
}

#[test]
fn dump_with_unwritten_lengths_becomes_whole() {
    let segments = [
        vec![class(), instance(0), instance(40)],
        vec![instance(3 * PAGE as u32), instance(1), vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 9]],
        (0..40_000).map(|i| instance(i % 100)).collect(),
        vec![],
    ];
    let objects: u64 = segments.iter().flatten().filter(|record| record[0] == 0x21).count() as u64;
    let dump = dump(&segments);
    for piece in [1 << 20, 4096, 977] {
        let mut walker = Walker::new();
        walker.push(&reframed(&dump, piece)).unwrap();
        let summary = walker.finish();
        assert!(summary.complete, "{piece}");
        assert_eq!((summary.records.objects(), summary.records.classes), (objects, 1), "{piece}");
    }
}

#[test]
fn cut_dump_stays_cut() {
    let dump = dump(&[vec![class(), instance(400)]]);
    for cut in 31..dump.len() {
        let mut walker = Walker::new();
        let walked = walker.push(&reframed(&dump[..cut], 100));
        assert!(walked.is_err() || !walker.finish().complete, "{cut}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reframer_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1usize..60) {
        let mut dump = dump(&[]);
        dump.truncate(31);
        write_header(&mut dump, 0);
        dump.extend(bytes);
        let (mut reframer, mut page) = (Reframer::new(PAGE), Vec::new());
        for bytes in dump.chunks(piece) {
            reframer.push(bytes);
            loop {
                match reframer.fill(&mut page) {
                    Ok(true) => page.clear(),
                    Ok(false) => break,
                    Err(_) => return Ok(()),
                }
            }
        }
        reframer.finish(&mut page);
    }
}
