//! Conditions of `--if`: whether a dump is worth its pause. A hook that runs at every rollout must not dump healthy
//! pods. No I/O: the caller passes the numbers.

use std::fmt;

use crate::base::units::Bytes;

/// The quantity that a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The old generation after its last collection, in percent of its maximum: the objects that stay.
    Heap,
    /// The memory that the container uses, without the page cache, which the kernel frees when needed.
    Memory,
}

/// A condition: the measure is above `percent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    pub measure: Measure,
    pub percent: u8,
}

/// The known value of a measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reading {
    #[default]
    Unknown,
    /// The measure has no limit, so no condition on it can hold.
    NoLimit,
    /// Used bytes and the maximum.
    Of(u64, u64),
}

impl Reading {
    /// Returns the reading that is nearer to its maximum.
    #[must_use]
    pub fn fuller(self, other: Self) -> Self {
        match (self, other) {
            (Self::Of(used, most), Self::Of(other_used, other_most)) => {
                let is_less = u128::from(used) * u128::from(other_most) < u128::from(other_used) * u128::from(most);
                if is_less { other } else { self }
            }
            (Self::Of(..), _) => self,
            (_, Self::Of(..)) => other,
            _ if self == Self::Unknown => other,
            _ => self,
        }
    }
}

/// The readings of all measures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub heap: Reading,
    pub memory: Reading,
}

impl Condition {
    /// Parses `heap>85%`.
    ///
    /// # Errors
    /// The reason, as text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "neither heap>PERCENT% nor memory>PERCENT%".to_owned();
        let (name, percent) = text.trim().split_once('>').ok_or_else(wrong)?;
        let measure = match name.trim() {
            "heap" => Measure::Heap,
            "memory" => Measure::Memory,
            _ => return Err(wrong()),
        };
        let percent = percent.trim().trim_end_matches('%').parse().ok().filter(|percent| *percent <= 100);
        Ok(Self { measure, percent: percent.ok_or_else(wrong)? })
    }

    /// Returns whether the condition holds; `None` if that is unknown.
    pub fn holds(self, usage: &Usage) -> Option<bool> {
        match self.measure.of(usage) {
            Reading::NoLimit => Some(false),
            reading => reading.percent().map(|used| used > f64::from(self.percent)),
        }
    }
}

impl Condition {
    /// Returns the condition with its reading: `heap>85%: 93.0 % (372.0 MiB of 400.0 MiB)`.
    pub fn told_as_held(self, usage: &Usage) -> String {
        let reading = self.measure.of(usage);
        match (reading, reading.percent()) {
            (Reading::Of(used, most), Some(percent)) => {
                format!("{self}: {percent:.1} % ({} of {})", Bytes(used), Bytes(most))
            }
            _ => self.to_string(),
        }
    }
}

impl Measure {
    fn of(self, usage: &Usage) -> Reading {
        match self {
            Self::Heap => usage.heap,
            Self::Memory => usage.memory,
        }
    }
}

impl Reading {
    fn percent(self) -> Option<f64> {
        match self {
            Self::Of(used, most) if most > 0 => Some(used as f64 * 100.0 / most as f64),
            _ => None,
        }
    }
}

impl From<Option<(u64, u64)>> for Reading {
    fn from(known: Option<(u64, u64)>) -> Self {
        known.map_or(Self::Unknown, |(used, most)| Self::Of(used, most))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.measure {
            Measure::Heap => "heap",
            Measure::Memory => "memory",
        };
        write!(f, "{name}>{}%", self.percent)
    }
}

/// The result of all conditions together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// There is no condition.
    Unconditional,
    /// The conditions that hold, with their readings.
    Worth(String),
    /// No condition holds, but one of them is unknown.
    Unknown(String),
    /// No condition holds. The text has the readings.
    NotWorth(String),
}

/// Evaluates the conditions. One that holds is enough.
pub fn judge(conditions: &[Condition], usage: &Usage) -> Judged {
    if conditions.is_empty() {
        return Judged::Unconditional;
    }
    let holding = conditions.iter().filter(|condition| condition.holds(usage) == Some(true));
    let holding: Vec<_> = holding.map(|condition| condition.told_as_held(usage)).collect();
    if !holding.is_empty() {
        return Judged::Worth(holding.join(", "));
    }
    if let Some(unknown) = conditions.iter().find(|condition| condition.holds(usage).is_none()) {
        return Judged::Unknown(format!("whether {unknown} cannot be told"));
    }
    let told = conditions.iter().map(|condition| match condition.measure.of(usage).percent() {
        Some(used) => format!("not {condition}: {used:.0} %"),
        None => format!("not {condition}: there is no limit"),
    });
    Judged::NotWorth(told.collect::<Vec<_>>().join(", "))
}

/// Returns whether the heap is unknown and its value would decide.
pub fn lacks_heap(conditions: &[Condition], usage: &Usage) -> bool {
    usage.heap == Reading::Unknown
        && conditions.iter().any(|condition| condition.measure == Measure::Heap)
        && matches!(judge(conditions, usage), Judged::Unknown(_))
}

/// Returns whether there is to be a dump for nothing but the use of the heap.
pub fn hangs_on_heap(conditions: &[Condition], usage: &Usage) -> bool {
    let without = Usage { heap: Reading::NoLimit, ..*usage };
    let is_worth = |usage: &Usage| matches!(judge(conditions, usage), Judged::Worth(_));
    is_worth(usage) && !is_worth(&without)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(texts: &[&str]) -> Vec<Condition> {
        texts.iter().map(|text| Condition::parse(text).unwrap()).collect()
    }

    #[test]
    fn one_true_condition_suffices_and_result_has_readings() {
        let usage = Usage { heap: Reading::Of(50, 100), memory: Reading::Of(95, 100) };
        assert_eq!(judge(&[], &usage), Judged::Unconditional);
        let held = Judged::Worth("memory>90%: 95.0 % (95 B of 100 B)".into());
        assert_eq!(judge(&conditions(&["heap>85%", "memory>90%"]), &usage), held);
        let both = judge(&conditions(&["heap>49%", "memory>94%"]), &usage);
        let told = "heap>49%: 50.0 % (50 B of 100 B), memory>94%: 95.0 % (95 B of 100 B)";
        assert_eq!(both, Judged::Worth(told.into()), "each that holds");
        let told = judge(&conditions(&["heap>85%", "memory > 95"]), &usage);
        assert_eq!(told, Judged::NotWorth("not heap>85%: 50 %, not memory>95%: 95 %".into()));
    }

    #[test]
    fn unknown_condition_stays_unknown_unless_another_holds() {
        let usage = Usage { heap: Reading::Unknown, memory: Reading::Of(95, 100) };
        assert!(matches!(judge(&conditions(&["memory>99%", "heap>85%"]), &usage), Judged::Unknown(_)));
        assert!(matches!(judge(&conditions(&["memory>90%", "heap>85%"]), &usage), Judged::Worth(_)));
        let nothing = Usage { heap: Reading::Of(0, 0), memory: Reading::Unknown };
        assert!(matches!(judge(&conditions(&["heap>0%"]), &nothing), Judged::Unknown(_)));
    }

    #[test]
    fn condition_without_a_limit_never_holds() {
        let usage = Usage { heap: Reading::Of(1, 100), memory: Reading::NoLimit };
        let told = judge(&conditions(&["heap>85%", "memory>0%"]), &usage);
        assert_eq!(told, Judged::NotWorth("not heap>85%: 1 %, not memory>0%: there is no limit".into()));
    }

    #[test]
    fn heap_is_asked_for_only_when_it_decides() {
        let lacks = |texts: &[&str], heap, memory| lacks_heap(&conditions(texts), &Usage { heap, memory });
        assert!(lacks(&["heap>85%", "memory>90%"], Reading::Unknown, Reading::Of(1, 100)));
        assert!(!lacks(&["heap>85%", "memory>90%"], Reading::Unknown, Reading::Of(91, 100)));
        assert!(!lacks(&["heap>85%", "memory>90%"], Reading::Of(1, 100), Reading::Unknown));
        assert!(!lacks(&["memory>90%"], Reading::Unknown, Reading::Unknown));
        assert!(!lacks(&[], Reading::Unknown, Reading::Unknown));
    }

    #[test]
    fn heap_is_watched_only_when_nothing_else_holds() {
        let hangs = |texts: &[&str], heap| {
            hangs_on_heap(&conditions(texts), &Usage { heap: Reading::Of(heap, 100), memory: Reading::Of(95, 100) })
        };
        assert!(hangs(&["heap>85%", "memory>99%"], 90));
        assert!(!hangs(&["heap>85%", "memory>90%"], 90));
        assert!(!hangs(&["heap>85%"], 80));
        assert!(!hangs(&[], 90));
    }

    #[test]
    fn text_that_is_no_condition_is_refused() {
        for text in ["", "heap", "heap>", "heap>101%", "cpu>3%", "heap<3%", "heap>-1"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}
