//! Two dumps of one application, compared by their receipts: which classes have grown. No I/O.

use std::collections::BTreeMap;

use serde::Serialize;

use super::classes::is_application;
use super::receipt::Receipt;
use crate::base::printable::printable;
use crate::base::units::Bytes;
use crate::hprof::{Amount, Summary, TopClasses};

/// Number of classes of the application, and of others, that are shown as text.
const SHOWN: usize = 20;

/// A class that has grown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Growth {
    pub name: String,
    /// True if the class, or the element of the array, is not the JDK's.
    pub application: bool,
    /// `None` if the first receipt does not list the class: it was too small.
    pub before: Option<Amount>,
    pub after: Amount,
    /// Bytes and objects that came. Those of a class that was not listed count from 0.
    pub bytes: i64,
    pub instances: i64,
}

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// All listed classes that have more bytes or more objects. Those of the application come first, each kind by bytes.
    pub grown: Vec<Growth>,
    pub before: Amount,
    pub after: Amount,
    /// Reasons why the two are of unlike kind.
    pub warnings: Vec<String>,
}

impl Comparison {
    /// Compares two receipts; `None` if one of them lists no classes.
    pub fn of(before: &Receipt, after: &Receipt) -> Option<Self> {
        let (old, new) = (classes(before)?, classes(after)?);
        Some(Self {
            grown: grown(&by_name(old), by_name(new)),
            before: old.total,
            after: new.total,
            warnings: unlike(before, after),
        })
    }

    /// Returns the lines for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "heap       {} in {} objects, before {} in {}",
            Bytes(self.after.bytes),
            self.after.instances,
            Bytes(self.before.bytes),
            self.before.instances
        )];
        for (title, application) in [("grown, of the application", true), ("grown, of the JDK", false)] {
            let those: Vec<_> = self.grown.iter().filter(|growth| growth.application == application).collect();
            if those.is_empty() {
                lines.push(format!("{title}: none"));
                continue;
            }
            lines.push(format!("{title}:"));
            lines.extend(those.iter().take(SHOWN).map(|growth| growth.line()));
            if let Some(more) = those.len().checked_sub(SHOWN + 1) {
                lines.push(format!("  and {} more, which --output json lists", more + 1));
            }
        }
        lines
    }
}

impl Growth {
    fn line(&self) -> String {
        let before = self.before.map_or_else(|| "not listed".to_owned(), |amount| Bytes(amount.bytes).to_string());
        let bytes = format!("{}{}", if self.bytes < 0 { '-' } else { '+' }, Bytes(self.bytes.unsigned_abs()));
        let after = Bytes(self.after.bytes).to_string();
        format!("  {bytes:>11} {:>+12} objects  {before:>10} -> {after:>10}  {}", self.instances, printable(&self.name))
    }
}

fn walk(receipt: &Receipt) -> Option<&Summary> {
    receipt.dump.as_ref()?.walk.as_ref()
}

fn classes(receipt: &Receipt) -> Option<&TopClasses> {
    walk(receipt)?.classes.as_ref()
}

/// Adds up the classes of one name, which come from several class loaders.
fn by_name(classes: &TopClasses) -> BTreeMap<&str, Amount> {
    let mut amounts: BTreeMap<&str, Amount> = BTreeMap::new();
    for share in &classes.top {
        *amounts.entry(&share.name).or_default() += share.amount;
    }
    amounts
}

fn grown(old: &BTreeMap<&str, Amount>, new: BTreeMap<&str, Amount>) -> Vec<Growth> {
    let growth = |(name, after): (&str, Amount)| {
        let before = old.get(name).copied();
        let from = before.unwrap_or_default();
        let (bytes, instances) = (difference(after.bytes, from.bytes), difference(after.instances, from.instances));
        let growth =
            Growth { name: name.to_owned(), application: is_application(name), before, after, bytes, instances };
        (bytes > 0 || instances > 0).then_some(growth)
    };
    let mut grown: Vec<Growth> = new.into_iter().filter_map(growth).collect();
    grown.sort_by_key(|growth| (!growth.application, std::cmp::Reverse((growth.bytes, growth.instances))));
    grown
}

fn difference(after: u64, before: u64) -> i64 {
    let clamped = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    clamped(after) - clamped(before)
}

/// Returns the reasons why the numbers of two dumps do not compare.
fn unlike(before: &Receipt, after: &Receipt) -> Vec<String> {
    let live = |receipt: &Receipt| receipt.dump.as_ref().and_then(|dump| dump.live_only);
    let objects = |receipt: &Receipt| match live(receipt) {
        Some(true) => "live objects only",
        Some(false) => "unreachable objects, too",
        None => "objects of an untold kind",
    };
    let mut warnings = Vec::new();
    if live(before) != live(after) {
        warnings.push(format!("the first dump has {}, the second {}", objects(before), objects(after)));
    }
    for (receipt, which) in [(before, "first"), (after, "second")] {
        if walk(receipt).is_some_and(|walk| !walk.complete) {
            warnings.push(format!("the {which} dump is truncated: objects are missing"));
        }
    }
    let main_class = |receipt: &Receipt| receipt.jvm.as_ref().and_then(|jvm| jvm.main_class.clone());
    if let (Some(one), Some(other)) = (main_class(before), main_class(after))
        && one != other
    {
        warnings.push(format!("the dumps are of two programs: {one} and {other}"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hprof::ClassShare;
    use crate::object::receipt::DumpFacts;

    fn receipt(live_only: Option<bool>, complete: bool, classes: &[(&str, u64, u64)]) -> Receipt {
        let share = |(name, instances, bytes): &(&str, u64, u64)| ClassShare {
            name: (*name).to_owned(),
            amount: Amount { instances: *instances, bytes: *bytes },
        };
        let classes = TopClasses { top: classes.iter().map(share).collect(), ..TopClasses::default() };
        let walk = Summary { complete, classes: Some(classes), ..Summary::default() };
        Receipt { dump: Some(DumpFacts { live_only, walk: Some(walk), ..DumpFacts::default() }), ..Receipt::default() }
    }

    #[test]
    fn class_of_the_application_stands_before_its_arrays() {
        let before = receipt(Some(true), true, &[("byte[]", 10, 1 << 20), ("com.shop.Order", 5, 80)]);
        let after = receipt(
            Some(true),
            true,
            &[("byte[]", 170, 11 << 20), ("com.shop.Entry", 160, 2560), ("com.shop.Order", 5, 80)],
        );
        let comparison = Comparison::of(&before, &after).unwrap();
        let told: Vec<_> =
            comparison.grown.iter().map(|growth| (growth.name.as_str(), growth.bytes, growth.instances)).collect();
        assert_eq!(told, [("com.shop.Entry", 2560, 160), ("byte[]", 10 << 20, 160)]);
        assert_eq!(comparison.grown[0].before, None);
        assert_eq!(comparison.warnings, [""; 0]);
        let lines = comparison.lines();
        assert_eq!(
            lines[1..3],
            [
                "grown, of the application:",
                "     +2.5 KiB         +160 objects  not listed ->    2.5 KiB  com.shop.Entry"
            ]
        );
    }

    #[test]
    fn classes_of_several_loaders_are_added_up() {
        let before = receipt(Some(true), true, &[("a.B", 1, 10), ("a.B", 1, 10)]);
        let after = receipt(Some(true), true, &[("a.B", 2, 20), ("a.B", 1, 10)]);
        let grown = Comparison::of(&before, &after).unwrap().grown;
        assert_eq!((grown.len(), grown[0].bytes, grown[0].instances), (1, 10, 1));
    }

    #[test]
    fn dumps_of_unlike_kind_are_told() {
        let (live, all) = (receipt(Some(true), true, &[]), receipt(Some(false), false, &[]));
        let warnings = Comparison::of(&live, &all).unwrap().warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("live objects only") && warnings[1].contains("second dump is truncated"));
        assert_eq!(Comparison::of(&live, &Receipt::default()), None);
    }
}
