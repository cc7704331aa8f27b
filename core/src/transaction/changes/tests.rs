use aidb_test_data::Random;

use super::*;
use crate::content::key_hash;

fn batch(keys: &[&[u8]]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for key in keys {
        batch.delete(key).unwrap();
    }
    batch
}

fn numbers(window: &Window, since: u64) -> Option<Vec<u64>> {
    let later = window.since(SequenceNumber(since))?;
    Some(later.map(|(last, _)| last.0).collect())
}

#[test]
fn changes_have_the_keys_of_the_batch_and_their_hashes() {
    let mut window = Window::after(SequenceNumber(0)).unwrap();
    window.push(SequenceNumber(3), &batch(&[b"one", b"", b"three"]));
    let (_, changes) = window.since(SequenceNumber(0)).unwrap().next().unwrap();
    let expected = [&b"one"[..], b"", b"three"].map(|key| (key_hash(key), key));
    assert!(changes.eq(expected));
    let most = MAX_BYTES_OF_ONE - HEAD_BYTES;
    assert_eq!(bytes_of(&batch(&[&vec![7; most]])), Some(MAX_BYTES_OF_ONE));
    assert_eq!(bytes_of(&batch(&[&vec![7; most + 1]])), None);
    let many = vec![&b""[..]; MAX_BYTES_OF_ONE / HEAD_BYTES + 1];
    assert_eq!(bytes_of(&batch(&many)), None);
    assert!(bytes_of(&batch(&many[1..])).is_some());
}

/// CHANGES-1.
#[test]
fn a_window_shows_the_commits_after_a_number_or_says_that_they_are_forgotten() {
    let mut window = Window::after(SequenceNumber(10)).unwrap();
    assert_eq!(numbers(&window, 10), Some(vec![]));
    assert_eq!(numbers(&window, 9), None);
    for last in [11, 14, 20] {
        assert!(!window.push(SequenceNumber(last), &batch(&[b"key"])));
    }
    assert_eq!(numbers(&window, 10), Some(vec![11, 14, 20]));
    assert_eq!(numbers(&window, 11), Some(vec![14, 20]));
    assert_eq!(numbers(&window, 13), Some(vec![14, 20]));
    assert_eq!(numbers(&window, 20), Some(vec![]));
    assert_eq!(numbers(&window, 9), None);
    // One that changes too much to keep: what was before it is forgotten, too.
    let large = batch(&[&vec![0; MAX_BYTES_OF_ONE]]);
    assert!(window.push(SequenceNumber(30), &large));
    assert_eq!(window.floor(), SequenceNumber(30));
    assert_eq!(numbers(&window, 29), None);
    assert_eq!(numbers(&window, 30), Some(vec![]));
    assert!(!window.push(SequenceNumber(31), &batch(&[b"key"])));
    assert_eq!(numbers(&window, 30), Some(vec![31]));
}

/// CHANGES-2.
#[test]
fn the_oldest_commit_goes_when_there_are_too_many() {
    let mut window = Window::after(SequenceNumber(0)).unwrap();
    let bytes = window.bytes();
    for last in 1..=MAX_COMMITS as u64 {
        assert!(!window.push(SequenceNumber(last), &batch(&[b"k"])));
    }
    assert!(window.push(SequenceNumber(5000), &batch(&[b"k"])));
    assert_eq!(window.floor(), SequenceNumber(1));
    assert_eq!(numbers(&window, 1).unwrap().len(), MAX_COMMITS);
    assert_eq!(window.bytes(), bytes);
}

/// CHANGES-3.
#[test]
fn keys_of_all_lengths_go_round_the_ring_and_stay_what_they_are() {
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let mut window = Window::after(SequenceNumber(0)).unwrap();
        let mut model: VecDeque<(u64, Vec<Vec<u8>>)> = VecDeque::new();
        let longest = *random.pick(&[40, 3000, MAX_BYTES_OF_ONE / 3]) as u64;
        for last in 1..1500 {
            let keys: Vec<Vec<u8>> = (0..1 + random.below(3))
                .map(|_| vec![last as u8; random.below(longest) as usize])
                .collect();
            let borrowed: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            window.push(SequenceNumber(last), &batch(&borrowed));
            model.push_back((last, keys));
            while model
                .front()
                .is_some_and(|(oldest, _)| *oldest <= window.floor().0)
            {
                model.pop_front();
            }
            let shown: Vec<_> = window.since(window.floor()).unwrap().collect();
            assert_eq!(shown.len(), model.len(), "seed {seed}");
            for ((number, changes), (expected, keys)) in shown.into_iter().zip(&model) {
                assert_eq!(number.0, *expected, "seed {seed}");
                assert!(
                    changes
                        .map(|(_, key)| key)
                        .eq(keys.iter().map(Vec::as_slice)),
                    "seed {seed}, commit {expected}"
                );
            }
        }
        let held: usize = model.iter().flat_map(|(_, keys)| keys).map(Vec::len).sum();
        // Whatever fits is kept, except for what the end of the ring wastes.
        assert!(
            held + 2 * MAX_BYTES_OF_ONE > RING_BYTES || model.len() > 1000,
            "{held}"
        );
    }
}
