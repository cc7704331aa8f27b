use super::*;

/// Whether a commit that changes `keys` meets the reads.
fn meet(reads: &Reads, keys: &[&[u8]]) -> bool {
    let mut changes = Vec::new();
    for key in keys {
        changes.extend(key_hash(key).to_le_bytes());
        changes.extend((key.len() as u32).to_le_bytes());
        changes.extend_from_slice(key);
    }
    reads.meet(Changes(&changes))
}

/// Which of the keys `a` to `z` meet the reads.
fn met(reads: &mut Reads) -> String {
    reads.sort().unwrap();
    let letters = (b'a'..=b'z').filter(|letter| meet(reads, &[&[*letter]]));
    letters.map(char::from).collect()
}

#[test]
fn keys_and_ranges_that_were_read_meet_their_changes_and_no_others() {
    let mut reads = Reads::default();
    assert!(reads.is_empty());
    assert_eq!(met(&mut reads), "");
    reads.note_key(b"c").unwrap();
    reads.note_key(b"c").unwrap();
    reads.note_key(b"x").unwrap();
    assert!(!reads.is_empty());
    assert_eq!(met(&mut reads), "cx");
    reads.note_range(1, Some(b"f"), Some(b"h")).unwrap();
    reads.note_range(2, Some(b"y"), None).unwrap();
    assert_eq!(met(&mut reads), "cfgxyz");
    assert!(meet(&reads, &[b"b", b"g\xff", b"d"]));
    assert!(!meet(&reads, &[b"b", b"h", b"d"]));
    reads.note_range(3, None, Some(b"b")).unwrap();
    assert_eq!(met(&mut reads), "acfgxyz");
    // Nothing lies in these.
    reads.note_range(4, Some(b"m"), Some(b"m")).unwrap();
    reads.note_range(5, Some(b"n"), Some(b"m")).unwrap();
    assert_eq!(met(&mut reads), "acfgxyz");
    let kept: Vec<_> = reads.keys().unwrap().collect();
    assert_eq!(kept, [&b"c"[..], b"x"]);
}

/// READSET-2.
#[test]
fn a_walk_lengthens_its_range_at_both_ends_and_ranges_that_touch_become_one() {
    let mut reads = Reads::default();
    reads.note_range(7, Some(b"f"), Some(b"g")).unwrap();
    reads.note_range(8, Some(b"p"), Some(b"q")).unwrap();
    reads.note_range(7, Some(b"g"), Some(b"i")).unwrap();
    reads.note_range(7, Some(b"d"), Some(b"f")).unwrap();
    assert_eq!(reads.ranges().count(), 2);
    assert_eq!(met(&mut reads), "defghp");
    reads.note_range(9, Some(b"i"), Some(b"k")).unwrap();
    assert_eq!(met(&mut reads), "defghijp");
    assert_eq!(reads.ranges().count(), 2);
    // A walk whose range was joined to another's begins a new one.
    reads.note_range(7, Some(b"c"), Some(b"d")).unwrap();
    reads.note_range(8, Some(b"q"), None).unwrap();
    assert_eq!(met(&mut reads), "cdefghijpqrstuvwxyz");
    reads.note_range(10, None, None).unwrap();
    assert_eq!(met(&mut reads).len(), 26);
    assert_eq!(reads.ranges().count(), 1);
}

/// READSET-1.
#[test]
fn very_many_keys_become_coarse_and_none_is_forgotten() {
    let mut reads = Reads::default();
    let key = |number: usize| (number as u32).to_be_bytes();
    for number in 0..MAX_KEYS {
        reads.note_key(&key(number)).unwrap();
    }
    assert_eq!(reads.keys().unwrap().count(), MAX_KEYS);
    reads.note_key(&key(MAX_KEYS)).unwrap();
    reads.note_key(&key(MAX_KEYS + 1)).unwrap();
    assert!(reads.keys().is_none());
    reads.sort().unwrap();
    for number in 0..MAX_KEYS + 2 {
        assert!(meet(&reads, &[&key(number)]), "key {number}");
    }
    let others = (MAX_KEYS + 2..MAX_KEYS + 10_002)
        .filter(|number| meet(&reads, &[&key(*number)]))
        .count();
    // A sixteenth of the bits is set.
    assert!(others < 2000, "{others} of 10,000 others");
    assert!(reads.bytes() < 1 << 20);

    let mut reads = Reads::default();
    for number in 0..5 {
        let mut long = vec![0; MAX_KEYS_BYTES / 4];
        long[0] = number;
        reads.note_key(&long).unwrap();
    }
    assert!(reads.keys().is_none() && reads.bytes() < 1 << 20);
}

/// READSET-1: repeated keys do not make the reads coarse.
#[test]
fn a_few_keys_read_very_often_stay_what_they_are() {
    let mut reads = Reads::default();
    for number in 0..3 * MAX_KEYS {
        reads.note_key(&[number as u8 % 5]).unwrap();
    }
    assert!(reads.keys().unwrap().count() <= MAX_KEYS);
    reads.sort().unwrap();
    assert!((0..5).all(|key| meet(&reads, &[&[key]])));
    assert!((5..255).all(|key| !meet(&reads, &[&[key]])));
}

/// READSET-1: however long the keys, and whatever was joined before.
#[test]
fn the_bounds_of_ranges_take_bounded_memory() {
    let mut reads = Reads::default();
    for number in 0..2 * MAX_RANGES as u64 {
        let start = (number * 2).to_be_bytes();
        let end = (number * 2 + 1).to_be_bytes();
        reads
            .note_range(number + 1, Some(&start), Some(&end))
            .unwrap();
    }
    for number in 0..2000u64 {
        let mut start = vec![7; 64 << 10];
        start[..8].copy_from_slice(&(number * 2 + (1 << 40)).to_be_bytes());
        let end = [&start[..], b"z"].concat();
        let walk = number + (1 << 40);
        reads.note_range(walk, Some(&start), Some(&end)).unwrap();
        assert!(
            reads.bytes() < 2 * MAX_RANGE_BYTES,
            "{number}: {}",
            reads.bytes()
        );
        reads.sort().unwrap();
        assert!(meet(&reads, &[&start]));
    }
}

/// READSET-1.
#[test]
fn very_many_ranges_are_joined_and_none_is_forgotten() {
    let bounds = |number: u32, length: usize| {
        let mut start = vec![0; length];
        start[..4].copy_from_slice(&(number * 2).to_be_bytes());
        let mut end = start.clone();
        end[3] += 1;
        (start, end)
    };
    for (count, length) in [(3 * MAX_RANGES as u32, 4), (200, 64 << 10)] {
        let mut reads = Reads::default();
        // Out of order.
        for number in (0..count).map(|number| number * 7919 % count) {
            let (start, end) = bounds(number, length);
            let walk = u64::from(number) + 1;
            reads.note_range(walk, Some(&start), Some(&end)).unwrap();
        }
        reads.sort().unwrap();
        for number in 0..count {
            let (start, _) = bounds(number, length);
            assert!(meet(&reads, &[&start[..8.min(length)]]) || length > 8);
            assert!(
                reads.ranges().any(|range| range.contains(&start)),
                "{number}"
            );
        }
        assert!(reads.ranges().count() <= MAX_RANGES, "{count} ranges");
        let bytes = reads.bytes();
        assert!(bytes < 3 * MAX_RANGE_BYTES, "{bytes} for {count} ranges");
    }
}
