use super::*;
use crate::base::waiting::Halt;
use crate::compress::block::Section;
use crate::compress::pages::Pool;

fn block(pool: &Pool, section: Section, seq: u32, text: &str) -> GzBlock {
    let mut gz = pool.take(&Halt::default()).unwrap();
    gz.as_mut_vec().extend_from_slice(text.as_bytes());
    GzBlock { slot: Slot { section, seq }, gz }
}

fn object(spool: &Spool) -> String {
    let len = spool.stored_len() as usize;
    let mut buf = vec![0; len];
    spool.read_exact_at(&mut buf, 0).unwrap();
    String::from_utf8(buf).unwrap()
}

#[test]
fn sealed_spool_reads_in_the_object_s_order() {
    let (pool, spool) = (Pool::new(1), Spool::new(tempfile::tempfile().unwrap()));
    for (section, seq, text) in [
        (Section::Heap(1), 0, "eee"),
        (Section::Heap(0), 1, "dd"),
        (Section::Head, 1, "b"),
        (Section::End, 0, "f"),
        (Section::Heap(0), 0, "c"),
        (Section::Head, 0, "a"),
    ] {
        spool.append(&block(&pool, section, seq, text)).unwrap();
    }
    spool.seal();
    assert_eq!(object(&spool), "abcddeeef");
    assert!(!spool.is_in_order());
    let copy = tempfile::NamedTempFile::new().unwrap();
    spool.copy_to(copy.as_file()).unwrap();
    assert_eq!(std::fs::read(copy.path()).unwrap(), b"abcddeeef");
    let again = Spool::adopt(spool.file.try_clone().unwrap(), &spool.pieces()).unwrap();
    assert_eq!(object(&again), "abcddeeef");
    assert!(Spool::adopt(spool.file.try_clone().unwrap(), &[(5, 5)]).is_err());
    let mut middle = [0; 4];
    spool.read_exact_at(&mut middle, 2).unwrap();
    assert_eq!(&middle, b"cdde");
    assert!(spool.read_exact_at(&mut [0], 9).is_err());
}

#[test]
fn the_start_of_a_sequential_dump_is_ready_before_the_seal() {
    let (pool, spool) = (Pool::new(1), Spool::new(tempfile::tempfile().unwrap()));
    spool.append(&block(&pool, Section::Head, 1, "b")).unwrap();
    spool.append(&block(&pool, Section::Head, 0, "a")).unwrap();
    assert_eq!(spool.wait_ready(0, 2), Some(Ready { len: 2, last: false }));
    spool.seal();
    assert_eq!(spool.wait_ready(0, 9), Some(Ready { len: 2, last: true }));
}
