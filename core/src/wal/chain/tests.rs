//! Each rule, kept and broken, with headers made without files.

use super::*;
use crate::error::ErrorKind;
use crate::wal::Predecessor;

pub(super) const DIR: &str = "/db";
const DATABASE: u32 = 9;

fn expected(needed: u64) -> Expected {
    Expected {
        needed: FileNumber(needed),
        synced_log: FileNumber(0),
        synced_file: SyncedLog::default(),
        last_sequence: SequenceNumber(0),
        database: DATABASE,
    }
}

/// The header of log `number`, which names `predecessor`.
fn header(number: u64, predecessor: Predecessor) -> LogHeader {
    LogHeader {
        database: DATABASE,
        log_id: 1000 + number,
        number: FileNumber(number),
        predecessor,
    }
}

/// The log `number`, which ends at `length` with number `last`; nothing is known to be synced.
fn before(number: u64, length: u64, last: u64) -> Predecessor {
    Predecessor::new(
        FileNumber(number),
        length,
        SequenceNumber(last),
        Synced::NOTHING,
    )
}

/// A chain of logs, each given by its number and that of its predecessor, which has 100 bytes and ends with number 10.
fn chain(expected: Expected, logs: &[(u64, u64)]) -> LogChain {
    let mut chain = LogChain::new(Path::new(DIR), expected);
    for &(number, predecessor) in logs {
        chain.add(header(number, before(predecessor, 100, 10)));
    }
    chain
}

fn ended(number: u64, length: u64, last: u64) -> Ended {
    Ended {
        number: FileNumber(number),
        length,
        last_sequence: SequenceNumber(last),
    }
}

fn numbers(logs: impl IntoIterator<Item = FileNumber>) -> Vec<u64> {
    logs.into_iter().map(|number| number.0).collect()
}

/// Asserts that this is damage of log `number` at `offset`, in these words.
#[track_caller]
pub(super) fn damaged<T>(outcome: Result<T>, number: u64, offset: u64, words: &str) {
    let error = outcome.err().expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::Corruption);
    let path = log_path(Path::new(DIR), FileNumber(number));
    assert_eq!(error.place(), Some((path.as_path(), offset)), "{error}");
    assert!(error.message().contains(words), "{error}");
}

/// CHAIN-1.
#[test]
fn the_log_that_the_manifest_names_begins_the_chain_and_no_other_stands_in_for_it() {
    let first = |needed, logs: &[(u64, u64)]| {
        let mut expected = expected(needed);
        expected.last_sequence = SequenceNumber(10);
        let chain = chain(expected, logs);
        chain
            .first()
            .map(|first| first.map(|header| header.number.0))
    };
    assert_eq!(first(4, &[(3, 0), (4, 3), (5, 4)]).unwrap(), Some(4));
    let what = "the manifest names this log, but it is missing or has no header";
    damaged(first(4, &[(3, 0), (5, 4)]), 4, 0, what);
    damaged(first(4, &[]), 4, 0, what);
    // If the manifest names no log, the chain begins with the oldest one; without any log there never was one.
    assert_eq!(first(0, &[(5, 3), (3, 0)]).unwrap(), Some(3));
    assert_eq!(first(0, &[]).unwrap(), None);
}

/// CHAIN-2.
#[test]
fn the_newest_log_that_names_a_predecessor_follows_it_if_its_number_is_higher() {
    let chain = chain(
        expected(1),
        &[(1, 0), (2, 1), (4, 1), (3, 1), (6, 7), (7, 7)],
    );
    let successor = |number| {
        let header = chain.successor(FileNumber(number));
        header.map(|header| header.number.0)
    };
    assert_eq!(successor(1), Some(4));
    assert_eq!(successor(4), None);
    assert_eq!(successor(7), None);
}

/// CHAIN-2.
#[test]
fn of_logs_with_one_predecessor_the_newest_counts_and_nothing_behind_the_others() {
    let cut_off = |logs: &[(u64, u64)]| numbers(chain(expected(0), logs).cut_off());
    let rivals = [(1, 0), (2, 1), (3, 2), (4, 1), (5, 4)];
    assert_eq!(cut_off(&rivals), [2, 3]);
    assert_eq!(cut_off(&[(1, 0), (2, 1), (3, 2)]), [0; 0]);
    // Logs that name no predecessor are not rivals. The headers of damaged logs name none.
    assert_eq!(cut_off(&[(1, 0), (2, 0), (3, 0)]), [0; 0]);
    // The predecessor need not be there.
    assert_eq!(cut_off(&[(8, 7), (9, 7)]), [8]);
}

/// CHAIN-3.
#[test]
fn a_log_goes_on_in_its_successor_where_that_says_it_ends_and_nowhere_before() {
    let chain = chain(expected(1), &[(1, 0), (2, 1)]);
    let after = |length| {
        let next = chain.after(&ended(1, length, 10));
        next.map(|next| next.map(|header| header.number.0))
    };
    assert_eq!(after(100).unwrap(), Some(2));
    assert_eq!(after(99).unwrap(), None);
    let last = chain.after(&ended(2, 64, 10)).unwrap();
    assert_eq!(last, None);
}

/// CHAIN-3.
#[test]
fn a_gap_is_damage_if_the_successor_knows_that_what_is_missing_was_synced() {
    let mut chain = chain(expected(1), &[(1, 0)]);
    let synced_up_to_90 =
        Predecessor::new(FileNumber(1), 100, SequenceNumber(10), Synced::up_to(90));
    chain.add(header(2, synced_up_to_90));
    let after = |length| chain.after(&ended(1, length, 9));
    assert_eq!(after(90).unwrap(), None);
    let what = "the log ends, but it was synced up to 90";
    damaged(after(89), 1, 89, what);
}

/// CHAIN-3.
#[test]
fn an_end_is_damage_if_a_dropped_log_was_synced() {
    let chain = chain(expected(1), &[(1, 0), (2, 1)]);
    let ended = ended(1, 70, 5);
    let check = |synced| chain.check_dropped(&ended, FileNumber(2), synced);
    check(Synced::NOTHING).unwrap();
    let what = "the log ends here, but /db/000002.log after it was synced";
    damaged(check(Synced::up_to(1)), 1, 70, what);
}

/// CHAIN-4.
#[test]
fn the_chain_has_to_hold_the_log_that_was_synced_unless_that_is_older() {
    let check = |needed, synced, logs: &[(u64, u64)], walked: &[u64]| {
        let mut expected = expected(needed);
        expected.synced_log = FileNumber(synced);
        let walked: Vec<FileNumber> = walked.iter().copied().map(FileNumber).collect();
        chain(expected, logs).check_holds_synced(&walked)
    };
    check(3, 4, &[(3, 0), (4, 3)], &[3, 4]).unwrap();
    check(3, 0, &[(3, 0)], &[3]).unwrap();
    check(3, 2, &[(3, 0)], &[3]).unwrap();
    let missing = "says that this log was synced, but it is missing or has no header";
    damaged(check(3, 4, &[(3, 0), (5, 3)], &[3, 5]), 4, 0, missing);
    damaged(check(3, 3, &[], &[]), 3, 0, missing);
    damaged(check(0, 4, &[], &[]), 4, 0, missing);
    // The log is there, but after a gap, or an earlier recovery cut it off.
    let beyond = "says that this log was synced, but the logs before it do not lead to it";
    damaged(check(3, 5, &[(3, 0), (5, 4)], &[3]), 5, 0, beyond);
    damaged(check(3, 4, &[(3, 0), (4, 3)], &[3]), 4, 0, beyond);
    let rivals = [(3, 0), (4, 3), (5, 3)];
    damaged(check(3, 4, &rivals, &[3, 5]), 4, 0, beyond);
}

/// CHAIN-1, CHAIN-4.
#[test]
fn the_manifest_names_the_first_log_and_the_synced_one_as_far_as_they_are_needed() {
    let named = |needed, synced| {
        let mut expected = expected(needed);
        expected.synced_log = FileNumber(synced);
        numbers(expected.named())
    };
    assert_eq!(named(0, 0), [0; 0]);
    assert_eq!(named(3, 0), [3]);
    assert_eq!(named(3, 2), [3]);
    assert_eq!(named(3, 3), [3]);
    assert_eq!(named(3, 5), [3, 5]);
    assert_eq!(named(0, 5), [5]);
    assert!(expected(3).needs(FileNumber(3)) && !expected(3).needs(FileNumber(2)));
}

/// CHAIN-5, CHAIN-6.
#[test]
fn a_log_that_lacks_numbers_goes_on_only_if_tables_have_them() {
    let mut expected = expected(1);
    for (last, in_tables, joint) in [
        (10, 0, Joint::Whole),
        (10, 99, Joint::Whole),
        (11, 0, Joint::Exceeds),
        (11, 99, Joint::Exceeds),
        (9, 9, Joint::Lacks),
        (9, 10, Joint::LacksWhatIsInTables),
        (9, 11, Joint::LacksWhatIsInTables),
    ] {
        expected.last_sequence = SequenceNumber(in_tables);
        let place = format!("{last}, {in_tables}");
        let found = expected.joint(SequenceNumber(last), SequenceNumber(10));
        assert_eq!(found, joint, "{place}");
        let chain = chain(expected, &[(1, 0), (2, 1)]);
        let after = chain.after(&ended(1, 100, last));
        match joint {
            Joint::Whole | Joint::LacksWhatIsInTables => {
                assert!(after.unwrap().is_some(), "{place}");
            }
            Joint::Lacks | Joint::Exceeds => {
                let what = format!("the log ends with number {last}, its successor says 10");
                damaged(after, 1, 100, &what);
            }
        }
    }
}

/// CHAIN-7.
#[test]
fn a_log_reaches_as_far_as_it_or_the_file_beside_it_states_to_be_synced() {
    let log = header(1, Predecessor::default());
    let mut expected = expected(1);
    let path = log_path(Path::new(DIR), FileNumber(1));
    expected.synced_file = SyncedLog {
        number: log.number,
        log_id: log.log_id,
        synced: Synced::up_to(80),
    };
    let check = |expected: &Expected, length, records| {
        expected.check_length(&path, &log, length, Synced::up_to(records))
    };
    // (length of the log, synced according to its records, synced in all)
    for (length, records, synced) in [(80, 0, 80), (81, 81, 81), (90, 79, 80)] {
        let found = check(&expected, length, records).unwrap();
        assert_eq!(found, Synced::up_to(synced), "{length}, {records}");
    }
    let short = check(&expected, 79, 0);
    damaged(short, 1, 79, "the log ends, but it was synced up to 80");
    let short = check(&expected, 80, 81);
    damaged(short, 1, 80, "the log ends, but it was synced up to 81");
    // The file SYNCED is about another log.
    expected.synced_file.log_id += 1;
    assert_eq!(check(&expected, 79, 0).unwrap(), Synced::NOTHING);
}

/// CHAIN-8.
#[test]
fn what_was_written_before_the_first_log_is_in_tables() {
    let mut expected = expected(2);
    let first = header(2, before(1, 100, 10));
    for in_tables in [10, 11] {
        expected.last_sequence = SequenceNumber(in_tables);
        assert_eq!(expected.lost_before(&first), None);
        assert!(chain(expected, &[(2, 1)]).first().unwrap().is_some());
    }
    expected.last_sequence = SequenceNumber(8);
    let lost = (SequenceNumber(9), SequenceNumber(10));
    assert_eq!(expected.lost_before(&first), Some(lost));
    let what = "10 writes came before it, but the manifest knows of 8";
    damaged(chain(expected, &[(2, 1)]).first(), 2, 0, what);
    // The same if the manifest names no log.
    expected.needed = FileNumber(0);
    damaged(chain(expected, &[(2, 1)]).first(), 2, 0, what);
}

/// CHAIN-9.
#[test]
fn a_log_of_another_database_is_refused_and_one_that_does_not_say_is_not() {
    let path = log_path(Path::new(DIR), FileNumber(1));
    let mut log = header(1, Predecessor::default());
    let mut expected = expected(1);
    expected.check_owner(&path, &log).unwrap();
    log.database += 1;
    let refused = expected.check_owner(&path, &log);
    damaged(refused, 1, 0, "this is a log of another database");
    expected.database = 0;
    expected.check_owner(&path, &log).unwrap();
    (expected.database, log.database) = (DATABASE, 0);
    expected.check_owner(&path, &log).unwrap();
}

#[test]
fn a_chain_says_whose_it_is_if_any_of_its_logs_does() {
    let mut chain = chain(expected(0), &[]);
    assert_eq!(chain.database(), 0);
    let mut log = header(1, Predecessor::default());
    log.database = 0;
    chain.add(log);
    assert_eq!(chain.database(), 0);
    chain.add(header(2, before(1, 100, 10)));
    assert_eq!(chain.database(), DATABASE);
}
