use proptest::prelude::*;

use super::*;

fn amount(instances: u64, bytes: u64) -> Amount {
    Amount { instances, bytes }
}

/// Returns a body of `bytes`. Its identifier and offset do not matter here.
fn of(bytes: u64) -> Body {
    Body { id: 1, at: 0, bytes }
}

fn names(of: &[(u64, &str)]) -> BTreeMap<u64, String> {
    of.iter().map(|(id, name)| (*id, (*name).to_owned())).collect()
}

#[test]
fn classes_are_ranked_by_bytes_and_the_rest_is_other() {
    let mut histogram = Histogram::new();
    // Since JDK 22 an object may come before its class.
    histogram.instance(0x20, of(40));
    histogram.load_class(0x10, 1);
    histogram.load_class(0x20, 2);
    histogram.load_class(0x30, 3);
    (0..3).for_each(|_| histogram.instance(0x10, of(16)));
    histogram.object_array(0x40, 8);
    histogram.primitive_array(8, of(1000));
    histogram.primitive_array(11, of(4));
    let ranking = histogram.top(4);
    assert_eq!(ranking.name_ids(), [1, 2]);
    let named = ranking.named(&names(&[(1, "a.One"), (2, "a.Two")]));
    let top: Vec<_> = named.top.iter().map(|share| (share.name.as_str(), share.amount)).collect();
    let expected =
        [("byte[]", amount(1, 1000)), ("a.One", amount(3, 48)), ("a.Two", amount(1, 40)), ("class 0x40", amount(1, 8))];
    assert_eq!(top, expected);
    assert_eq!((named.other, named.total), (amount(1, 4), amount(7, 1100)));
    assert_eq!(named.unsorted, amount(0, 0));
}

#[test]
fn full_table_counts_further_classes_as_other() {
    let mut histogram = Histogram::new();
    for id in 0..2 * CLASSES_MAX as u64 {
        histogram.load_class(id, id);
        histogram.instance(id, of(1));
    }
    histogram.instance(5, of(100));
    assert_eq!((histogram.classes.len(), histogram.slots.len()), (CLASSES_MAX, 2 * CLASSES_MAX));
    let ranking = histogram.top(1);
    assert_eq!(ranking.top[0].amount, amount(2, 101));
    assert_eq!(ranking.unsorted, amount(CLASSES_MAX as u64, CLASSES_MAX as u64));
    let named = ranking.named(&BTreeMap::new());
    assert_eq!(named.total, amount(2 * CLASSES_MAX as u64 + 1, 2 * CLASSES_MAX as u64 + 100));
    assert_eq!(named.other + named.top[0].amount, named.total);
}

#[test]
fn table_has_its_documented_size() {
    let mut histogram = Histogram::new();
    let mut cost_at = |classes: u64| {
        (0..classes).for_each(|id| histogram.instance(id << 7, of(1)));
        histogram.classes.capacity() * size_of::<Class>() + histogram.slots.len() * size_of::<u32>()
    };
    assert_eq!(cost_at(10_000), 640 << 10);
    assert_eq!(cost_at(CLASSES_MAX as u64), 5 << 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Compares the histogram with a map. Enough classes come to make the table grow, some of them twice in a row.
    #[test]
    fn histogram_counts_as_a_map_does(told in proptest::collection::vec((0..9000u64, 0..100u64, 1..3u64), 0..20_000)) {
        let (mut histogram, mut map) = (Histogram::new(), BTreeMap::<u64, Amount>::new());
        for (id, bytes, times) in told {
            for _ in 0..times {
                histogram.instance(id << 3, of(bytes));
                map.entry(id << 3).or_default().add_one(bytes);
            }
        }
        let ranking = histogram.top(10_000);
        let ranked: BTreeMap<u64, Amount> = ranking.top.iter().map(|ranked| match ranked.kind {
            Kind::Class { id, .. } => (id, ranked.amount),
            Kind::PrimitiveArray { .. } => panic!("no array was told"),
        }).collect();
        prop_assert!(ranking.top.iter().map(|ranked| ranked.rank()).is_sorted());
        prop_assert_eq!(ranking.top.len(), ranked.len());
        prop_assert_eq!(ranked, map);
    }
}
