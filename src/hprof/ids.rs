//! Maps and sets of identifiers. A heap has millions of identifiers, and each is looked up while the dump is walked.
//! The hash of std would take longer than the walk.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};

pub type IdMap<V> = HashMap<u64, V, IdState>;
pub type IdSet = HashSet<u64, IdState>;

/// The golden ratio's bits, as in Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Hashes an identifier. Most identifiers are addresses, whose low bits are alike. Others are made up (value objects,
/// JDK 28). The function mixes both halves of a product, so that all bits count.
#[inline(always)]
pub fn spread(id: u64, seed: u64) -> u64 {
    let product = u128::from(id ^ seed) * u128::from(SPREAD);
    (product >> 64) as u64 ^ product as u64
}

/// Returns a random seed, so that nobody can craft identifiers that all fall into one slot.
pub fn seed() -> u64 {
    RandomState::new().hash_one(0)
}

#[derive(Debug, Clone)]
pub struct IdState(u64);

impl Default for IdState {
    fn default() -> Self {
        Self(seed())
    }
}

impl BuildHasher for IdState {
    type Hasher = IdHasher;

    #[inline(always)]
    fn build_hasher(&self) -> IdHasher {
        IdHasher(self.0)
    }
}

#[derive(Debug)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    #[inline(always)]
    fn write_u64(&mut self, id: u64) {
        self.0 = spread(id, self.0);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0
    }
}
