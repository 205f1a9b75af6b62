//! `--if`: whether a dump is worth its pause, told by what the JVM and its container use. A hook that runs at every
//! rollout must not dump healthy pods. Pure: numbers come in.

use std::fmt;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The old generation after its last collection, of its maximum: what is there to stay.
    Heap,
    /// What the container uses of its memory, without the page cache that it would give back.
    Memory,
}

/// Above so many percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    pub measure: Measure,
    pub percent: u8,
}

/// Used and largest possible bytes, where they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub heap: Option<(u64, u64)>,
    pub memory: Option<(u64, u64)>,
}

impl Condition {
    /// Reads `heap>85%`.
    ///
    /// # Errors
    /// What is wrong with it.
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

    /// `None` when it cannot be told.
    pub fn holds(self, usage: &Usage) -> Option<bool> {
        percent(self.measure.of(usage)?).map(|used| used > f64::from(self.percent))
    }
}

impl Measure {
    fn of(self, usage: &Usage) -> Option<(u64, u64)> {
        match self {
            Self::Heap => usage.heap,
            Self::Memory => usage.memory,
        }
    }
}

fn percent((used, most): (u64, u64)) -> Option<f64> {
    (most > 0).then(|| used as f64 * 100.0 / most as f64)
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

/// What became of the conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// One holds, or there is none.
    Worth,
    /// None holds, as far as can be told, but one cannot: the dump is rather made than missed.
    Unknown(String),
    /// In words.
    NotWorth(String),
}

/// One that holds suffices.
pub fn judge(conditions: &[Condition], usage: &Usage) -> Judged {
    if conditions.is_empty() || conditions.iter().any(|condition| condition.holds(usage) == Some(true)) {
        return Judged::Worth;
    }
    if let Some(unknown) = conditions.iter().find(|condition| condition.holds(usage).is_none()) {
        return Judged::Unknown(format!("whether {unknown} cannot be told; it counts as if it were"));
    }
    let told = conditions.iter().filter_map(|condition| {
        let used = percent(condition.measure.of(usage)?)?;
        Some(format!("not {condition}: {used:.0} %"))
    });
    Judged::NotWorth(told.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(texts: &[&str]) -> Vec<Condition> {
        texts.iter().map(|text| Condition::parse(text).unwrap()).collect()
    }

    #[test]
    fn one_that_holds_suffices_and_none_says_what_was_measured() {
        let usage = Usage { heap: Some((50, 100)), memory: Some((95, 100)) };
        assert_eq!(judge(&[], &usage), Judged::Worth);
        assert_eq!(judge(&conditions(&["heap>85%", "memory>90%"]), &usage), Judged::Worth);
        let told = judge(&conditions(&["heap>85%", "memory > 95"]), &usage);
        assert_eq!(told, Judged::NotWorth("not heap>85%: 50 %, not memory>95%: 95 %".into()));
    }

    #[test]
    fn what_cannot_be_told_is_no_reason_to_miss_a_dump() {
        let usage = Usage { heap: None, memory: Some((1, 100)) };
        assert!(matches!(judge(&conditions(&["memory>90%", "heap>85%"]), &usage), Judged::Unknown(_)));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["", "heap", "heap>", "heap>101%", "cpu>3%", "heap<3%", "heap>-1"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}
