use aidb_test_data::Random;

use super::*;

fn range(start: &[u8], end: Option<&[u8]>, number: u64) -> RangeDelete {
    RangeDelete {
        start: Arc::from(start),
        end: end.map(Arc::from),
        number: SequenceNumber(number),
    }
}

/// A key of up to two letters of three.
fn key(random: &mut Random) -> Vec<u8> {
    let length = random.below(3);
    (0..length).map(|_| b'a' + random.below(3) as u8).collect()
}

fn random_range(random: &mut Random, number: u64) -> RangeDelete {
    loop {
        let (start, end) = (key(random), key(random));
        match random.below(5) {
            0 => return range(&start, None, number),
            _ if start < end => return range(&start, Some(&end), number),
            _ => {}
        }
    }
}

/// Every key with which a piece may begin, or that may be in one.
fn keys() -> Vec<Vec<u8>> {
    let letters = [b'a', b'b', b'c', b'd'];
    let mut keys = vec![Vec::new()];
    for one in letters {
        keys.push(vec![one]);
        keys.extend(letters.map(|two| vec![one, two]));
        keys.push(vec![one, b'b', 0]);
    }
    keys.sort();
    keys
}

/// COVER-1, COVER-2.
#[test]
fn every_answer_is_that_of_looking_at_each_range_delete() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let count = match seed % 3 {
            0 => random.below(4),
            1 => random.below(40),
            _ => 250 + random.below(50),
        };
        let mut ranges: Vec<_> = (0..count)
            .map(|number| random_range(&mut random, 2 * number + 1))
            .collect();
        // Commits that run at the same time may add theirs in another order.
        if ranges.len() > 3 && seed % 2 == 0 {
            ranges.swap(1, 3);
        }
        let mut added = RangeDeletes::default();
        ranges.iter().for_each(|range| added.add(range));
        let made = RangeDeletes::of(ranges.clone());
        assert_eq!((added.len(), made.len()), (ranges.len(), ranges.len()));
        let parts = [made.clone(), RangeDeletes::default()].map(Arc::new);
        let half = ranges.len() / 2;
        let halves = [&ranges[..half], &ranges[half..]];
        let halves = halves.map(|half| Arc::new(RangeDeletes::of(half.into())));
        for number in (0..2 * count + 2).step_by(1 + count as usize / 8) {
            let number = SequenceNumber(number);
            let naive = |key: &[u8]| {
                let covering = ranges.iter().filter(|range| range.covers(key));
                covering.map(|range| range.number).collect::<Vec<_>>()
            };
            let seen = |key: &[u8]| {
                naive(key)
                    .into_iter()
                    .filter(|found| *found <= number)
                    .max()
            };
            let mut one = Coverage::of(parts.iter().cloned(), number);
            let mut two = Coverage::of(halves.iter().cloned(), number);
            assert_eq!(one.is_none(), ranges.is_empty());
            for key in keys() {
                let newest = seen(&key).unwrap_or_default();
                let above = naive(&key)
                    .into_iter()
                    .filter(|found| *found > number)
                    .min();
                for deletes in [&added, &made] {
                    assert_eq!(deletes.newest(&key, number), newest, "seed {seed} {key:?}");
                    assert_eq!(
                        deletes.oldest_above(&key, number),
                        above,
                        "seed {seed} {key:?}"
                    );
                }
                for coverage in [&mut one, &mut two].into_iter().flatten() {
                    check_piece(coverage, &key, newest, &seen);
                }
            }
        }
    }
}

fn check_piece(
    coverage: &mut Coverage,
    key: &[u8],
    newest: SequenceNumber,
    seen: &dyn Fn(&[u8]) -> Option<SequenceNumber>,
) {
    let piece = coverage.at(key).clone();
    assert_eq!(piece.newest, newest, "{key:?}");
    let (start, end) = (piece.start.as_deref(), piece.end.as_deref());
    let is_in = |other: &[u8]| {
        start.is_none_or(|start| start <= other) && end.is_none_or(|end| other < end)
    };
    assert!(is_in(key));
    for other in keys().into_iter().filter(|other| is_in(other)) {
        assert_eq!(
            seen(&other).unwrap_or_default(),
            newest,
            "{other:?} beside {key:?}"
        );
    }
    let deleted = newest.0.checked_sub(1).map(SequenceNumber);
    assert_eq!(coverage.oldest_above(key, newest), None);
    assert!(!coverage.deletes(key, newest));
    if let Some(deleted) = deleted {
        assert_eq!(coverage.oldest_above(key, deleted), Some(newest));
        assert!(coverage.deletes(key, deleted));
        let (start, end) = (
            coverage.run_start(key, newest),
            coverage.run_end(key, newest),
        );
        assert!(start.as_deref() <= Some(key) && end.as_deref().is_none_or(|end| key < end));
        for other in keys() {
            if start.as_deref().is_none_or(|start| start <= &other[..])
                && end.as_deref().is_none_or(|end| &other[..] < end)
            {
                assert!(seen(&other) >= Some(newest), "{other:?} beside {key:?}");
            }
        }
    }
}

#[test]
fn a_run_goes_on_over_pieces_that_touch_and_ends_at_a_gap() {
    let ranges = vec![
        range(b"a", Some(b"c"), 5),
        range(b"c", Some(b"e"), 9),
        range(b"e", Some(b"f"), 2),
        range(b"g", None, 7),
    ];
    let parts = [Arc::new(RangeDeletes::of(ranges))];
    let mut coverage = Coverage::of(parts.into_iter(), SequenceNumber(20)).unwrap();
    let mut run = |key: &[u8], newest| {
        let newest = SequenceNumber(newest);
        let text = |key: Option<Arc<[u8]>>| key.map(|key| key.escape_ascii().to_string());
        (
            text(coverage.run_start(key, newest)),
            text(coverage.run_end(key, newest)),
        )
    };
    let keys = |start: &str, end: &str| (Some(start.to_string()), Some(end.to_string()));
    assert_eq!(run(b"b", 5), keys("a", "e"));
    assert_eq!(run(b"d", 9), keys("c", "e"));
    assert_eq!(run(b"d", 2), keys("a", "f"));
    assert_eq!(run(b"h", 7), (Some("g".to_string()), None));
}

#[test]
fn many_range_deletes_that_overlap_take_memory_in_proportion() {
    // Each deletes everything up to a later key, as a program does that keeps the last entries only.
    let count = 5000u64;
    let ranges = (1..=count).map(|number| range(b"", Some(&number.to_be_bytes()), number));
    let deletes = RangeDeletes::of(ranges.collect());
    fn fragments(node: &Node) -> usize {
        let children = node.children.iter();
        node.fragments.len() + children.map(|child| fragments(child)).sum::<usize>()
    }
    let all: usize = deletes.nodes.iter().map(|node| fragments(node)).sum();
    assert!(all < 5 * count as usize, "{all} fragments");
    assert!(
        deletes.nodes.len() < 4 * CHILDREN,
        "{} nodes",
        deletes.nodes.len()
    );
    let key = 2500u64.to_be_bytes();
    let newest = |at_most| deletes.newest(&key, SequenceNumber(at_most)).0;
    assert_eq!(
        [newest(2500), newest(2501), newest(3000), newest(9000)],
        [0, 2501, 3000, 5000]
    );
}
