use super::*;
use crate::filename::log_path;
use crate::key::FileNumber;
use crate::wal::chain::tests::{DIR, damaged};

fn record(first: u64) -> Record<'static> {
    Record {
        first_sequence: SequenceNumber(first),
        payload: b"",
        offset: 70,
        end: 80,
    }
}

/// CHAIN-5.
#[test]
fn a_record_begins_with_the_number_after_the_last_one() {
    let path = log_path(Path::new(DIR), FileNumber(1));
    let mut numbers = Numbers::after(SequenceNumber(4));
    for (first, count, last) in [(5, 3, 7), (8, 0, 7), (8, 1, 8)] {
        let taken = numbers.take(&path, &record(first), count).unwrap();
        assert_eq!((taken.0, numbers.last()), (last, Some(taken)));
    }
    for first in [0, 8, 10] {
        let what = format!("the record begins with number {first}, expected 9");
        damaged(numbers.take(&path, &record(first), 1), 1, 70, &what);
        damaged(numbers.check(&path, &record(first)), 1, 70, &what);
        assert_eq!(numbers.last(), Some(SequenceNumber(8)));
    }
    // After damage any number may come, and then the one after it.
    numbers.lose();
    assert_eq!(numbers.last(), None);
    numbers.take(&path, &record(30), 2).unwrap();
    damaged(numbers.take(&path, &record(31), 1), 1, 70, "expected 32");
}

/// CHAIN-5.
#[test]
fn no_record_ends_beyond_the_last_number_there_is() {
    let path = log_path(Path::new(DIR), FileNumber(1));
    let most = SequenceNumber::MAX.0;
    let numbers = Numbers::after(SequenceNumber(most - 2));
    assert!(numbers.clone().take(&path, &record(most - 1), 2).is_ok());
    let what = format!("the record ends with the impossible number {}", most + 1);
    damaged(
        numbers.clone().take(&path, &record(most - 1), 3),
        1,
        70,
        &what,
    );
    let what = "its sequence numbers are impossible";
    assert!(numbers.clone().take_rising(&path, &record(most), 1).is_ok());
    damaged(
        numbers.clone().take_rising(&path, &record(most), 2),
        1,
        70,
        what,
    );
    // From disk a count may be anything.
    damaged(
        numbers.clone().take_rising(&path, &record(most), u64::MAX),
        1,
        70,
        what,
    );
}

#[test]
fn what_is_left_of_a_log_may_have_holes_and_gives_no_number_twice() {
    let path = log_path(Path::new(DIR), FileNumber(1));
    let mut numbers = Numbers::default();
    let what = "its sequence numbers are impossible";
    damaged(numbers.take_rising(&path, &record(0), 1), 1, 70, what);
    for (first, count, last) in [(1, 1, 1), (5, 2, 6), (7, 1, 7)] {
        let taken = numbers.take_rising(&path, &record(first), count).unwrap();
        assert_eq!((taken.0, numbers.last()), (last, Some(taken)));
    }
    damaged(numbers.take_rising(&path, &record(7), 1), 1, 70, what);
    numbers.take_rising(&path, &record(8), 1).unwrap();
}
