//! Looks up the names of live threads in a dump, and reads only a few ranges of it. These hold the classes, the roots,
//! and the objects in question.

use std::fs::File;
use std::io::{self, Read};

use super::{check, look};
use crate::base::deadline::Deadline;
use crate::files::file_from::FileFrom;
use crate::hprof::names::Head;
use crate::hprof::{Goals, Lookout, RecordStarts, Stretch, Stretches, Walker};

/// A lookup reads at most this fraction of the dump, a fourth. If it would read more, the objects are in no order, and
/// a full reading is better.
const PART: u64 = 4;

/// Looks up the names of live threads. Returns `None` if the dump does not allow that: it has no roots, no order of
/// objects, or too many segments.
///
/// # Errors
/// When the dump cannot be read, or the run is stopped.
pub fn look_up(file: &File, head: &Head, goals: Goals, deadline: &Deadline) -> io::Result<Option<Lookout>> {
    let (mut lookout, place) = (Lookout::new(goals), Place { file, id_size: head.id_size, deadline });
    // Classes are described before all objects (JDK: `heapDumper.cpp`, `VM_HeapDumper`). From JDK 21 on, roots come
    // before them as well.
    let no_object = |walker: &Walker| walker.records().objects() == 0;
    look(FileFrom { file, at: 0 }, Walker::new(), &mut lookout, no_object, deadline)?;
    let starts = RecordStarts::new(head.id_size, lookout.layouts());
    let stretches = Stretches::of(file, head.id_size, head.end, &starts, || check(deadline))?;
    let Some(stretches) = stretches else { return Ok(None) };
    if !lookout.knows_threads() {
        stretches.behind_objects().try_for_each(|stretch| place.look_at(stretch, &mut lookout))?;
    }
    let Some(threads) = lookout.only_living() else { return Ok(None) };
    let Some(threads) = place.with_all(threads, &stretches)? else { return Ok(None) };
    place.with_all(threads.again(), &stretches)
}

struct Place<'a> {
    file: &'a File,
    id_size: usize,
    deadline: &'a Deadline,
}

impl Place<'_> {
    /// Walks the stretches that can hold the wanted objects; `None` if some object cannot be found so.
    fn with_all(&self, mut lookout: Lookout, stretches: &Stretches) -> io::Result<Option<Lookout>> {
        let mut ids: Vec<u64> = lookout.wanted().collect();
        ids.sort_unstable();
        let places = stretches.with(&ids);
        let bytes: u64 = places.iter().map(|stretch| stretch.end - stretch.at).sum();
        log::debug!("{} objects are looked for in {bytes} bytes of the dump", ids.len());
        if bytes > self.file.metadata()?.len() / PART {
            return Ok(None);
        }
        places.iter().try_for_each(|stretch| self.look_at(stretch, &mut lookout))?;
        Ok((!lookout.misses_any()).then_some(lookout))
    }

    fn look_at(&self, stretch: &Stretch, lookout: &mut Lookout) -> io::Result<()> {
        let raw = FileFrom { file: self.file, at: stretch.at }.take(stretch.end - stretch.at);
        let walker = Walker::in_segment(self.id_size, stretch.segment_end - stretch.at);
        look(raw, walker, lookout, |_| true, self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::hprof::sample::Sample;
    use crate::hprof::{IdSet, STRING, THREAD, THREAD_NAME, names};

    const BYTE: u8 = 8;
    const OBJECT: u8 = 2;
    const THREAD_CLASS: u64 = 0x11;
    const STRING_CLASS: u64 = 0x12;
    const FILLER: u64 = 0x13;

    /// The position of the roots, and the segments and order of the heap.
    #[derive(Clone, Copy)]
    struct Shape {
        roots_first: bool,
        segments: bool,
        address: fn(u64) -> u64,
    }

    fn classes() -> Sample {
        Sample::new()
            .symbol(1, THREAD)
            .symbol(2, STRING)
            .symbol(3, THREAD_NAME)
            .symbol(4, "Filler")
            .class(THREAD_CLASS, 1, 0, &[(3, OBJECT)])
            .class(STRING_CLASS, 2, 0, &[(3, OBJECT)])
            .class(FILLER, 4, 0, &[(4, OBJECT); 16])
    }

    /// Builds a dump of 20 MiB with two threads, one of them live. Both are far from their names.
    fn dump(shape: Shape) -> Vec<u8> {
        let id = |number: u64| (shape.address)(number);
        let value = |number: u64| id(number).to_be_bytes();
        let mut sample = classes();
        if shape.roots_first {
            sample = sample.thread_root(id(90_000));
        }
        for number in 1..=140_000 {
            sample = match number {
                20_000 => sample.array(id(number), BYTE, 1, b"main"),
                25_000 => sample.instance(id(number), STRING_CLASS, &value(20_000)),
                90_000 => sample.instance(id(number), THREAD_CLASS, &value(25_000)),
                30_000 => sample.instance(id(number), STRING_CLASS, &value(31_000)),
                31_000 => sample.array(id(number), BYTE, 1, b"a thread that has ended"),
                100_000 => sample.instance(id(number), THREAD_CLASS, &value(30_000)),
                number => sample.instance(id(number), FILLER, &value(number).repeat(16)),
            };
            if shape.segments && number % 1000 == 0 {
                sample = sample.next_segment();
            }
        }
        if !shape.roots_first {
            sample = sample.thread_root(id(90_000));
        }
        sample.build()
    }

    fn looked_up(shape: Shape) -> Option<(IdSet, IdSet)> {
        look_up_in(&dump(shape))
    }

    fn look_up_in(dump: &[u8]) -> Option<(IdSet, IdSet)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(dump).unwrap();
        let head = names::which(dump, |_| true).unwrap();
        let goals = Goals::of(&head.symbols, |_| false);
        let deadline = Deadline::after(Duration::from_secs(60)).unwrap();
        look_up(&file, &head, goals, &deadline).unwrap().map(Lookout::finish)
    }

    #[test]
    fn name_of_a_live_thread_is_found_wherever_its_root_is() {
        for (roots_first, segments) in [(true, true), (true, false), (false, true), (false, false)] {
            let (objects, _) =
                looked_up(Shape { roots_first, segments, address: |number| 0x1000 + number * 64 }).unwrap();
            let address = |number: u64| 0x1000 + number * 64;
            assert!(objects.contains(&address(20_000)), "{roots_first} {segments}");
            assert!(!objects.contains(&address(31_000)), "{roots_first} {segments}");
        }
    }

    /// The new generation may come before the old one.
    #[test]
    fn names_are_found_where_addresses_begin_anew() {
        let address: fn(u64) -> u64 = |number| if number < 60_500 { 0x1000_0000 + number * 64 } else { number * 64 };
        let (objects, _) = looked_up(Shape { roots_first: false, segments: true, address }).unwrap();
        assert!(objects.contains(&address(20_000)));
    }

    /// Builds a dump of strings and arrays by tens, and of threads that have some of them as names. Its segments are in
    /// an order of their own. Value objects have identifiers that are made up, as they come (JDK 28), and stacks may
    /// stand between segments.
    fn small_dump(order: &[u64], threads: &[(u64, bool)], per_segment: usize, made_up: bool, stacks: bool) -> Vec<u8> {
        let mut sample = classes();
        for (number, place) in order.iter().enumerate() {
            if made_up && number % 3 == 0 {
                sample = sample.instance(1 + number as u64 / 3, FILLER, &[0; 128]);
            }
            let (id, value) = (0x1000 + place * 64, |place: u64| (0x1000 + place * 64).to_be_bytes());
            sample = match (place % 10, threads.get((place / 10) as usize)) {
                (0, _) => sample.array(id, BYTE, 1, format!("text {place}").as_bytes()),
                (1, _) => sample.instance(id, STRING_CLASS, &value(place - 1)),
                (2, Some((named, _))) => sample.instance(id, THREAD_CLASS, &value(named * 10 + 1)),
                _ => sample.instance(id, FILLER, &value(*place).repeat(16)),
            };
            if (number + 1).is_multiple_of(per_segment) {
                sample = if stacks { sample.stack(2) } else { sample.next_segment() };
            }
        }
        let living = (0..).zip(threads).filter(|(_, (_, lives))| *lives).map(|(number, _): (u64, _)| number);
        living.fold(sample, |sample, number| sample.thread_root(0x1000 + (number * 10 + 2) * 64)).build()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        /// The lookup finds the names of all live threads and nothing else, in any order of the heap.
        #[test]
        fn lookup_finds_only_names_of_live_threads(
            runs in proptest::collection::vec(1u64..6000, 0..3),
            shuffled in proptest::bool::weighted(0.1),
            threads in proptest::collection::vec((0u64..600, proptest::prelude::any::<bool>()), 1..8),
            per_segment in 20usize..100,
            made_up in proptest::prelude::any::<bool>(),
            stacks in proptest::prelude::any::<bool>(),
        ) {
            let mut order: Vec<u64> = (0..6000).collect();
            runs.iter().for_each(|at| order.rotate_left(*at as usize));
            if shuffled {
                order.sort_by_key(|place| place.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            }
            let found = look_up_in(&small_dump(&order, &threads, per_segment, made_up, stacks));
            if let Some((objects, _)) = found {
                let living = threads.iter().filter(|(_, lives)| *lives);
                let names: IdSet = living.map(|(named, _)| 0x1000 + named * 640).collect();
                let arrays: IdSet = objects.into_iter().filter(|id| id % 640 == 0x1000 % 640).collect();
                proptest::prop_assert_eq!(arrays, names);
            }
        }
    }

    #[test]
    fn objects_in_no_order_are_not_looked_up() {
        let address: fn(u64) -> u64 = |number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        assert!(looked_up(Shape { roots_first: false, segments: true, address }).is_none());
    }
}
