use super::*;

fn of(keys: &[&[u8]]) -> Option<Arc<Changes>> {
    let mut batch = WriteBatch::new();
    for key in keys {
        batch.delete(key).unwrap();
    }
    Changes::of(&batch).unwrap()
}

fn numbers(window: &Window, since: u64) -> Option<Vec<u64>> {
    let later = window.since(SequenceNumber(since))?;
    Some(later.map(|(last, _)| last.0).collect())
}

#[test]
fn changes_have_the_keys_of_the_batch_and_their_hashes() {
    let changes = of(&[b"one", b"", b"three"]).unwrap();
    let keys: Vec<_> = changes.iter().collect();
    let hash = crate::content::key_hash;
    assert_eq!(
        keys,
        [
            (hash(b"one"), &b"one"[..]),
            (hash(b""), b""),
            (hash(b"three"), b"three")
        ]
    );
    assert!(of(&[&vec![7; MAX_BYTES_OF_ONE]]).is_none());
    assert!(of(&vec![&b""[..]; MAX_BYTES_OF_ONE / BYTES_PER_KEY + 1]).is_none());
    assert!(of(&[&vec![7; MAX_BYTES_OF_ONE - BYTES_PER_KEY]]).is_some());
}

/// CHANGES-1.
#[test]
fn a_window_shows_the_commits_after_a_number_or_says_that_they_are_forgotten() {
    let mut window = Window::after(SequenceNumber(10)).unwrap();
    assert_eq!(numbers(&window, 10), Some(vec![]));
    assert_eq!(numbers(&window, 9), None);
    for last in [11, 14, 20] {
        assert!(!window.push(SequenceNumber(last), of(&[b"key"])));
    }
    assert_eq!(numbers(&window, 10), Some(vec![11, 14, 20]));
    assert_eq!(numbers(&window, 11), Some(vec![14, 20]));
    assert_eq!(numbers(&window, 13), Some(vec![14, 20]));
    assert_eq!(numbers(&window, 20), Some(vec![]));
    assert_eq!(numbers(&window, 9), None);
    // One that changes too much to keep: what was before it is forgotten, too.
    assert!(window.push(SequenceNumber(30), None));
    assert_eq!(window.floor(), SequenceNumber(30));
    assert_eq!(numbers(&window, 29), None);
    assert_eq!(numbers(&window, 30), Some(vec![]));
}

/// CHANGES-2.
#[test]
fn the_oldest_commits_go_when_there_are_too_many_or_too_many_bytes() {
    let mut window = Window::after(SequenceNumber(0)).unwrap();
    let reserved = window.bytes();
    for last in 1..=MAX_COMMITS as u64 {
        assert!(!window.push(SequenceNumber(last), of(&[b"k"])));
    }
    assert!(window.push(SequenceNumber(5000), of(&[b"k"])));
    assert_eq!(window.floor(), SequenceNumber(1));
    assert_eq!(numbers(&window, 1).unwrap().len(), MAX_COMMITS);
    let large = vec![0; MAX_BYTES_OF_ONE - BYTES_PER_KEY];
    for last in 6000..6008 {
        assert!(window.push(SequenceNumber(last), of(&[&large])));
    }
    assert_eq!(numbers(&window, 5999).unwrap().len(), 8);
    assert_eq!(window.floor(), SequenceNumber(5000));
    assert_eq!(window.bytes(), reserved + MAX_BYTES);
}
