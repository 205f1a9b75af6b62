//! Objects of a dump chosen at random, each by its place and the checksum of its bytes. The crate jvm-hprof finds them in
//! a reading from front to end.

use std::path::Path;

use flate2::Crc;
use jvm_hprof::IdSize;
use jvm_hprof::heap_dump::{Instance, SubRecord};

use super::hprof_stream::{Batch, each_batch, open};

/// An INSTANCE DUMP record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// In the dump after gunzip.
    pub offset: u64,
    pub len: usize,
    pub crc: u32,
}

/// Chooses `count` instances of a plain or gzipped dump. The same dump and seed give the same ones in the same order.
pub fn sample(path: &Path, count: usize, seed: u64) -> Result<Vec<Sampled>, String> {
    let context = |e: String| format!("{}: {e}", path.display());
    let dump = open(path).map_err(|e| context(e.to_string()))?;
    let mut sample = Sample { chosen: Vec::new(), count, seen: 0, random: Random(seed) };
    each_batch(dump, |batch| sample.look(batch)).map_err(context)?;
    Ok(sample.shuffled())
}

/// A reservoir: each instance is in it with the same probability, however many there are (Vitter, 1985, algorithm R).
struct Sample {
    chosen: Vec<Sampled>,
    count: usize,
    seen: u64,
    random: Random,
}

impl Sample {
    fn look(&mut self, batch: &Batch<'_>) -> Result<(), String> {
        let hprof = batch.parse()?;
        let id_size = match hprof.header().id_size() {
            IdSize::U32 => 4,
            IdSize::U64 => 8,
        };
        for record in hprof.records_iter() {
            let record = record.map_err(|_| "a record is cut")?;
            let Some(segment) = record.as_heap_dump_segment() else { continue };
            for object in segment.map_err(|_| "a broken segment")?.sub_records() {
                if let SubRecord::Instance(instance) = object.map_err(|_| "a sub-record is cut")? {
                    self.offer(|| sampled(&instance, id_size, batch));
                }
            }
        }
        Ok(())
    }

    fn offer(&mut self, sampled: impl Fn() -> Sampled) {
        self.seen += 1;
        if self.chosen.len() < self.count {
            self.chosen.push(sampled());
        } else if let Some(place) = self.chosen.get_mut(self.random.below(self.seen)) {
            *place = sampled();
        }
    }

    /// The reservoir is still nearly in the order of the dump (Fisher and Yates).
    fn shuffled(mut self) -> Vec<Sampled> {
        for last in (1..self.chosen.len()).rev() {
            let other = self.random.below(last as u64 + 1);
            self.chosen.swap(last, other);
        }
        self.chosen
    }
}

/// An instance is its tag, its identifier, the number of a stack trace, its class, the length of its fields, and them.
fn sampled(instance: &Instance<'_>, id_size: usize, batch: &Batch<'_>) -> Sampled {
    let head = 1 + id_size + 4 + id_size + 4;
    let begin = batch.index(instance.fields()) - head;
    let len = head + instance.fields().len();
    Sampled { offset: batch.offset(begin), len, crc: crc(&batch.bytes()[begin..begin + len]) }
}

pub fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> usize {
        (self.next() % bound) as usize
    }
}
