//! The permit of one pod to dump its heap by itself. A memory storm must not pause each replica of an application.
//!
//! Each pod that wants a permit puts a claim into the store, and then lists the claims of all pods. The store gives
//! each claim its time, so all pods see the same order. The first claim wins; each other one within the cooldown of a
//! winner loses. So no pod needs a conditional request, which many stores do not know.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::base::deadline::Deadline;
use crate::kept::journal::{Begun, Journal};
use crate::object::key::{CLAIM_TAIL, ObjectKey, time_of};
use crate::object::part_size::PART_MIN;
use crate::object::pod::Pod;
use crate::store::{Listed, StoreError, StoreReader, StoreSettings, Upload};

/// Time after which each store lists an object that was put: their listings are consistent (AWS: "Amazon S3 data
/// consistency model"). Covers the difference between the clocks of a store's machines.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// A day, for the most automatic dumps.
const DAY: TimeDelta = TimeDelta::days(1);

/// How often the pods of an application dump by themselves, all together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub cooldown: Duration,
    /// The most automatic dumps in 24 hours.
    pub per_day: usize,
}

/// The answer to a pod that asked for the permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    Given,
    /// Another pod has it, or there were too many.
    Refused {
        why: String,
        until: DateTime<Utc>,
    },
}

/// Asks for the permit to dump. `key` names the claim.
///
/// # Errors
/// When the store fails, or the run is stopped. Then there is no permit.
pub fn ask(
    settings: &StoreSettings,
    key: &ObjectKey,
    limits: Limits,
    deadline: &Deadline,
) -> Result<Permit, StoreError> {
    let reader = StoreReader::open(settings, deadline)?;
    let before = claims(&reader, key)?;
    if let Err(refused) = limits.allow(&before, Utc::now()) {
        return Ok(refused);
    }
    // The name is of this run alone. So nothing can be overwritten, and no condition is needed.
    let ours = Journal::new(Begun::ByUs, None);
    let mut upload = Upload::go_on(settings, key, PART_MIN, deadline, ours)?;
    let text = json!({ "pod": Pod::current().name, "asked": Utc::now().to_rfc3339() }).to_string();
    upload.put_beside(CLAIM_TAIL, text.into_bytes())?;
    drop(upload);
    deadline.sleep(SETTLES_WITHIN, "waiting for the other pods' claims")?;
    Ok(limits.judge(&claims(&reader, key)?, &key.beside(CLAIM_TAIL)))
}

/// Returns the claims of the last day in the order of the store.
fn claims(reader: &StoreReader, key: &ObjectKey) -> Result<Vec<Claim>, StoreError> {
    // The name has the time of the pod's own clock.
    let since = Utc::now() - DAY - DAY;
    let is_claim = |key: &str| key.ends_with(CLAIM_TAIL) && time_of(key).is_some_and(|time| time > since);
    let mut claims: Vec<Claim> = reader.list(key.dir(), is_claim)?.into_iter().map(Claim::from).collect();
    claims.sort();
    Ok(claims)
}

/// A pod has asked for the permit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// By the clock of the store.
    time: DateTime<Utc>,
    key: String,
}

impl From<Listed> for Claim {
    fn from(listed: Listed) -> Self {
        Self { time: listed.modified, key: listed.key }
    }
}

impl Limits {
    /// Returns the claims that won. Each other one came within the cooldown of a winner.
    fn winners<'a>(&self, claims: &'a [Claim]) -> Vec<&'a Claim> {
        let mut winners: Vec<&Claim> = Vec::new();
        for claim in claims {
            if winners.last().is_none_or(|last| claim.time >= last.time + self.cooldown) {
                winners.push(claim);
            }
        }
        winners
    }

    /// Fails if no claim at this time can win.
    fn allow(&self, claims: &[Claim], now: DateTime<Utc>) -> Result<(), Permit> {
        let winners = self.winners(claims);
        if let Some(last) = winners.last().filter(|last| now < last.time + self.cooldown) {
            let why = format!("{} has had the permit since {}", last.key, last.time);
            return Err(Permit::Refused { why, until: last.time + self.cooldown });
        }
        let recent: Vec<_> = winners.iter().filter(|winner| winner.time > now - DAY).collect();
        match recent.len().checked_sub(self.per_day) {
            None => Ok(()),
            Some(first) => {
                let why = format!("there were {} automatic dumps in 24 h", recent.len());
                let until = recent.get(first).map_or(now, |first| first.time) + DAY;
                Err(Permit::Refused { why, until })
            }
        }
    }

    /// Returns whether the claim `ours` is the winner of its time.
    fn judge(&self, claims: &[Claim], ours: &str) -> Permit {
        let lost = |why: &str| Permit::Refused { why: why.to_owned(), until: Utc::now() + self.cooldown };
        let Some(at) = claims.iter().position(|claim| claim.key == ours) else {
            return lost("the store does not list what was put there");
        };
        match self.allow(&claims[..at], claims[at].time) {
            Ok(()) => Permit::Given,
            Err(refused) => refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { cooldown: Duration::from_secs(1800), per_day: 3 };

    fn time(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap()
    }

    fn claims(all: &[(i64, &str)]) -> Vec<Claim> {
        all.iter().map(|(minute, key)| Claim { time: time(*minute), key: (*key).to_owned() }).collect()
    }

    fn is_ours(all: &[(i64, &str)], key: &str) -> bool {
        LIMITS.judge(&claims(all), key) == Permit::Given
    }

    #[test]
    fn first_claim_of_a_storm_wins_alone() {
        let storm = [(0, "a"), (0, "b"), (0, "c"), (1, "d")];
        let winners: Vec<_> = storm.iter().filter(|(_, key)| is_ours(&storm, key)).collect();
        assert_eq!(winners, [&(0, "a")]);
    }

    #[test]
    fn cooldown_counts_from_the_winner_and_not_from_losers() {
        let all = [(0, "a"), (20, "b"), (31, "c"), (50, "d"), (61, "e")];
        let winners: Vec<_> = all.iter().filter(|(_, key)| is_ours(&all, key)).map(|(_, key)| *key).collect();
        assert_eq!(winners, ["a", "c", "e"]);
        let taken = LIMITS.allow(&claims(&all), time(70));
        assert!(matches!(taken, Err(Permit::Refused { until, .. }) if until == time(91)), "{taken:?}");
    }

    #[test]
    fn day_has_only_so_many() {
        let all = [(0, "a"), (100, "b"), (200, "c")];
        let taken = LIMITS.allow(&claims(&all), time(300));
        assert!(matches!(taken, Err(Permit::Refused { until, .. }) if until == time(24 * 60)), "{taken:?}");
        assert_eq!(LIMITS.allow(&claims(&all), time(24 * 60 + 1)), Ok(()));
    }

    #[test]
    fn claim_that_is_not_listed_is_no_permit() {
        assert!(!is_ours(&[(0, "a")], "b"));
    }
}
