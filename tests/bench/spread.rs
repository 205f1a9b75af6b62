//! The median of what was measured, and how sure it is.

use std::fmt;

use crate::median::median;

/// The median with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub middle: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let rank = rank(values.len());
        let (low, high) = (*values.get(rank - 1)?, *values.get(values.len() - rank)?);
        Some(Spread { middle: median(values), low, high })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.middle, self.low, self.high)
    }
}

/// Half of what the interval may miss.
const TAIL: f64 = 0.025;

/// The interval of the sign test goes from the value of this rank to that of the same rank from above. It misses the
/// median if fewer values than the rank lie on one side of it. Each value lies there with probability one half,
/// whatever the distribution. Fewer than six values are too few for 95 %: their rank is 1, from smallest to largest.
fn rank(values: usize) -> usize {
    let mut probability = 0.5f64.powi(values as i32);
    let (mut tail, mut rank) = (probability, 0);
    while tail <= TAIL {
        rank += 1;
        probability *= (values - rank + 1) as f64 / rank as f64;
        tail += probability;
    }
    rank.max(1)
}
