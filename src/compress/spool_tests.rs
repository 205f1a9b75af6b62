use super::*;
use crate::base::waiting::Halt;
use crate::compress::block::{Section, Slot};
use crate::compress::pages::Pool;

fn block(pool: &Pool, section: Section, seq: u32, text: &str) -> GzBlock {
    let mut gz = pool.take(&Halt::default()).unwrap();
    gz.as_mut_vec().extend_from_slice(text.as_bytes());
    GzBlock { slot: Slot { section, seq }, ends: false, gz }
}

fn last_block(pool: &Pool, section: Section, seq: u32, text: &str) -> GzBlock {
    GzBlock { ends: true, ..block(pool, section, seq, text) }
}

fn ready(spool: &Spool) -> String {
    let len = spool.lock().ready_len;
    beginning(spool, len)
}

fn object(spool: &Spool) -> String {
    beginning(spool, spool.stored_len())
}

fn beginning(spool: &Spool, len: u64) -> String {
    let mut buf = vec![0; len as usize];
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

#[test]
fn order_is_known_as_soon_as_the_head_has_ended() {
    let (pool, spool) = (Pool::new(1), Spool::new(tempfile::tempfile().unwrap()));
    spool.append(&block(&pool, Section::Head, 0, "a")).unwrap();
    spool.append(&block(&pool, Section::Heap(0), 0, "c")).unwrap();
    assert_eq!(ready(&spool), "a");
    spool.append(&last_block(&pool, Section::Head, 1, "b")).unwrap();
    assert_eq!(ready(&spool), "abc");
    spool.append(&last_block(&pool, Section::Heap(0), 1, "d")).unwrap();
    spool.append(&block(&pool, Section::Heap(1), 0, "e")).unwrap();
    assert_eq!(ready(&spool), "abcde");
    spool.append(&block(&pool, Section::End, 0, "f")).unwrap();
    spool.seal();
    assert_eq!((object(&spool).as_str(), spool.is_in_order()), ("abcdef", false));
}

#[test]
fn head_that_ends_behind_the_heap_is_moved_before_it() {
    let big = |byte: u8, pages: usize| String::from_utf8(vec![byte; pages * PAGE + 7]).unwrap();
    let (first, heap) = (big(b'a', 2), [big(b'p', 1), big(b'q', 3), big(b'r', 0), big(b's', 1)]);
    let head = |seq, text: &str, ends| (Section::Head, seq, text.to_owned(), ends);
    let part = |seq: u32| (Section::Heap(0), seq, heap[seq as usize].clone(), false);
    let whole = format!("{first}bcd{}z", heap.concat());
    let orders = [
        vec![part(0), part(1), head(1, "bc", false), head(2, "d", true), part(2), part(3)],
        vec![part(0), part(1), head(1, "bc", false), part(2), head(2, "d", true), part(3)],
        vec![part(0), head(1, "b", false), part(1), head(2, "c", false), part(2), head(3, "d", true), part(3)],
        vec![head(1, "b", false), part(0), head(2, "cd", true), part(1), part(2), part(3)],
        vec![head(1, "bcd", true), part(0), part(1), part(2), part(3)],
    ];
    for (number, order) in orders.into_iter().enumerate() {
        let (pool, spool) = (Pool::new(1), Spool::in_object(tempfile::tempfile().unwrap()));
        spool.append(&block(&pool, Section::Head, 0, &first)).unwrap();
        for (section, seq, text, ends) in order {
            spool.append(&GzBlock { ends, ..block(&pool, section, seq, &text) }).unwrap();
            let known = ready(&spool);
            assert!(whole.starts_with(&known) && known.len() >= first.len(), "{number}: {section:?} {seq}");
        }
        spool.append(&block(&pool, Section::End, 0, "z")).unwrap();
        spool.seal();
        assert!(object(&spool) == whole && spool.is_in_order(), "{number}");
    }
}
