//! Tests of what a ledger notices, and what it accepts.

use super::*;
use crate::compaction::retention::{Fate, Retention};
use crate::range_deletes::RangeDeletes;
use crate::sync::Arc;

fn trailer(entry: i64) -> Trailer {
    let kind = match entry > 0 {
        true => ValueKind::Put,
        false => ValueKind::Delete,
    };
    Trailer::new(SequenceNumber(entry.unsigned_abs()), kind)
}

fn trailers(entries: &[i64]) -> Vec<Trailer> {
    entries.iter().map(|&entry| trailer(entry)).collect()
}

fn numbers(numbers: &[u64]) -> Vec<SequenceNumber> {
    numbers
        .iter()
        .map(|&number| SequenceNumber(number))
        .collect()
}

/// Readers at `visible`, whose last number is the published one.
fn readers(visible: &[SequenceNumber]) -> Readers {
    let (published, pinned) = visible.split_last().unwrap();
    Readers {
        published: *published,
        pinned: pinned.to_vec(),
    }
}

/// The entries of one key that retention keeps, newest first.
fn retained(entries: &[i64], visible: &[SequenceNumber], is_bottom: bool) -> Vec<i64> {
    let mut retention = Retention::new(visible, None).unwrap();
    retained_by(&mut retention, entries, is_bottom)
}

fn retained_by(retention: &mut Retention, entries: &[i64], is_bottom: bool) -> Vec<i64> {
    let mut kept = Vec::new();
    for &entry in entries {
        let trailer = trailer(entry);
        let kind = trailer.kind().unwrap();
        let fate = retention.fate(KeyRef::new(b"k", trailer), kind, |_| is_bottom);
        if fate.unwrap() == Fate::Keep {
            let held = retention.take_held();
            kept.extend(held.map(|trailer| -(trailer.sequence().0 as i64)));
            kept.push(entry);
        }
    }
    kept
}

/// LEDGER-2.
#[test]
fn of_every_small_history_each_entry_that_retention_keeps_is_missed_by_somebody() {
    for history in 0..3i64.pow(5) {
        let digit = |number: i64| history / 3i64.pow(number as u32 - 1) % 3 - 1;
        let entries: Vec<i64> = (1..=5i64)
            .rev()
            .map(|number| number * digit(number))
            .filter(|&entry| entry != 0)
            .collect();
        for set in 1..1u32 << 6 {
            let visible: Vec<u64> = (0..6).filter(|number| set >> number & 1 == 1).collect();
            let visible = numbers(&visible);
            for is_bottom in [false, true] {
                let kept = retained(&entries, &visible, is_bottom);
                let wronged = |written: &[i64]| {
                    let read = trailers(&entries);
                    let (readers, written) = (readers(&visible), trailers(written));
                    wronged_reader(&readers, &read, &written, &Ranges::default(), || !is_bottom)
                };
                let label = format!("{entries:?} at {visible:?}, bottom {is_bottom}: {kept:?}");
                assert_eq!(wronged(&kept), None, "{label}");
                for place in 0..kept.len() {
                    let mut fewer = kept.clone();
                    let gone = fewer.remove(place);
                    // A tombstone may be dropped if another one, or the absence of entries, says the same.
                    let is_spared =
                        gone < 0 && (is_bottom || fewer.get(place).is_some_and(|&next| next < 0));
                    assert!(wronged(&fewer).is_some() || is_spared, "{label}, {gone}");
                }
            }
        }
    }
}

/// Passes entries through a ledger: key, entry, whether it is written.
fn play(entries: &[(&str, i64, bool)], visible: &[u64], holds_deeper: bool) -> Result<()> {
    let mut ledger = Ledger::new(readers(&numbers(visible)));
    let (mut read, mut written) = (Sum::default(), Sum::default());
    for &(key, entry, is_written) in entries {
        let key = KeyRef::new(key.as_bytes(), trailer(entry));
        read.add_entry(key.user_key, key.trailer, b"v");
        ledger.read(key, |_| holds_deeper)?;
        match is_written {
            true => {
                ledger.written(key)?;
                written.add_entry(key.user_key, key.trailer, b"v");
            }
            false => ledger.dropped(Reason::Shadowed, key, b"v"),
        }
    }
    ledger.balance(read, written, |_| holds_deeper)
}

#[test]
fn a_version_that_a_reader_needs_is_missed_in_every_key() {
    let names: Vec<String> = (0..3000).map(|number| format!("{number:05}")).collect();
    let history = |spoilt: usize| {
        let mut entries: Vec<(&str, i64, bool)> = Vec::new();
        for (number, name) in names.iter().enumerate() {
            // Dropping the third version is right. The second is dropped only in the spoilt key, wrongly.
            entries.push((name, 30, true));
            entries.push((name, 20, number != spoilt));
            entries.push((name, 10, false));
        }
        entries
    };
    play(&history(usize::MAX), &[25, 40], true).unwrap();
    for spoilt in (0..names.len()).step_by(7) {
        let error = play(&history(spoilt), &[25, 40], true).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("\"{}\"", names[spoilt])), "{text}");
    }
}

#[test]
fn the_last_key_and_the_empty_key_are_judged_too() {
    play(&[("", 20, true), ("", 10, false)], &[30], true).unwrap();
    assert!(play(&[("", 20, true), ("", 10, false)], &[15, 30], true).is_err());
    assert!(play(&[("", 5, true), ("a", 20, false)], &[30], true).is_err());
    // A tombstone hides deeper entries; if there are none, it may be dropped.
    assert!(play(&[("a", -20, false)], &[30], true).is_err());
    play(&[("a", -20, false)], &[30], false).unwrap();
    // Above all visible numbers everything stays.
    assert!(play(&[("a", 20, true), ("a", 19, false)], &[15], true).is_err());
}

/// LEDGER-1.
#[test]
fn an_entry_that_is_neither_written_nor_dropped_or_written_twice_or_changed_is_unaccounted_for() {
    let visible = numbers(&[9]);
    let mut read = Sum::default();
    read.add_entry(b"a", trailer(5), b"1");
    read.add_entry(b"b", trailer(6), b"2");
    let mut changed = Sum::default();
    changed.add_entry(b"a", trailer(5), b"1");
    let half = changed;
    changed.add_entry(b"b", trailer(6), b"3");
    let mut twice = read;
    twice += half;
    for written in [half, changed, twice, Sum::default()] {
        let error = Ledger::new(readers(&visible))
            .balance(read, written, |_| false)
            .unwrap_err();
        assert!(error.is_unaccounted(), "{error}");
    }
    Ledger::new(readers(&visible))
        .balance(read, read, |_| false)
        .unwrap();
}

#[test]
fn a_tombstone_that_was_held_back_and_is_written_after_all_is_not_dropped() {
    let mut ledger = Ledger::new(readers(&numbers(&[9])));
    let key = KeyRef::new(b"a", trailer(-5));
    let mut read = Sum::default();
    read.add_entry(b"a", key.trailer, b"");
    ledger.dropped(Reason::Bottom, key, b"");
    ledger.kept_after_all(Reason::Bottom, key);
    ledger.balance(read, read, |_| false).unwrap();
}

/// Range deletes with these numbers, from "a" to the end of "k".
fn ranges(numbers: &[u64]) -> Vec<RangeDelete> {
    let range = |&number: &u64| RangeDelete {
        start: Arc::from(&b"a"[..]),
        end: Some(Arc::from(&b"k\0"[..])),
        number: SequenceNumber(number),
    };
    numbers.iter().map(range).collect()
}

/// LEDGER-2, LEDGER-3, LEDGER-5, RETENTION-3.
#[test]
fn of_every_small_history_with_range_deletes_retention_keeps_what_readers_see_and_no_more() {
    for history in 0..4i64.pow(5) {
        let digit = |number: i64| history / 4i64.pow(number as u32 - 1) % 4;
        let of = |wanted: i64| {
            (1..=5i64)
                .rev()
                .filter(move |&number| digit(number) == wanted)
        };
        let mut entries: Vec<i64> = of(1).chain(of(2).map(|number| -number)).collect();
        entries.sort_by_key(|entry| -entry.abs());
        let covering: Vec<u64> = of(3).map(|number| number as u64).collect();
        for set in 1..1u32 << 6 {
            let visible: Vec<u64> = (0..6).filter(|number| set >> number & 1 == 1).collect();
            if visible.last() < covering.first() {
                // Range deletes are in tables only once they are published.
                continue;
            }
            let visible = numbers(&visible);
            for is_bottom in [false, true] {
                let durable = Arc::new(RangeDeletes::of(ranges(&covering)));
                let mut retention = Retention::new(&visible, Some(durable)).unwrap();
                let kept = retained_by(&mut retention, &entries, is_bottom);
                let mut ranges = Ranges {
                    sweep: RangeSweep::of(ranges(&covering)),
                    ..Ranges::default()
                };
                ranges.sweep.advance(b"k");
                let wronged = |written: &[i64]| {
                    let (read, written) = (trailers(&entries), trailers(written));
                    wronged_reader(&readers(&visible), &read, &written, &ranges, || !is_bottom)
                };
                let label = format!("{entries:?} under {covering:?} at {visible:?}: {kept:?}");
                assert_eq!(wronged(&kept), None, "{label}");
                let first = visible[0];
                for (place, entry) in kept.iter().enumerate() {
                    let number = SequenceNumber(entry.unsigned_abs());
                    assert!(!ranges.hid(number, first), "LEDGER-5: {label}");
                    let mut fewer = kept.clone();
                    fewer.remove(place);
                    let is_spared = *entry < 0;
                    assert!(wronged(&fewer).is_some() || is_spared, "{label}, {entry}");
                }
            }
        }
    }
}

/// LEDGER-4.
#[test]
fn a_range_delete_is_missed_unless_it_may_retire_and_so_is_what_it_should_have_taken_along() {
    let played = |may_retire: &[u64], visible: &[u64], keeps: bool, swept: u64| {
        let mut ledger = Ledger::new(readers(&numbers(visible))).with_ranges(
            ranges(&[20]),
            numbers(may_retire),
            SequenceNumber(swept),
        );
        let (mut read, mut written) = (Sum::default(), Sum::default());
        let range = KeyRef::new(
            b"a",
            Trailer::new(SequenceNumber(20), ValueKind::RangeDelete),
        );
        let value = b"\0k\0";
        read.add_entry(range.user_key, range.trailer, value);
        ledger.read(range, |_| true)?;
        ledger.dropped(Reason::Retired, range, value);
        let key = KeyRef::new(b"k", trailer(10));
        read.add_entry(key.user_key, key.trailer, b"v");
        ledger.read(key, |_| true)?;
        match keeps {
            true => {
                ledger.written(key)?;
                written.add_entry(key.user_key, key.trailer, b"v");
            }
            false => ledger.dropped(Reason::Shadowed, key, b"v"),
        }
        ledger.balance(read, written, |_| true)
    };
    played(&[20], &[30], false, 20).unwrap();
    played(&[20], &[20], false, 20).unwrap();
    for (may_retire, visible, keeps, swept) in [
        // A table may have an entry that it covers; a snapshot is before it; what it covers stays.
        (&[][..], &[30][..], false, 0),
        (&[19], &[30], false, 0),
        (&[20], &[19, 30], false, 0),
        (&[20], &[19], false, 0),
        (&[20], &[30], true, 0),
        (&[20], &[30], true, 20),
    ] {
        let error = played(may_retire, visible, keeps, swept).unwrap_err();
        assert!(error.is_unaccounted(), "{may_retire:?} {visible:?} {keeps}");
    }
}

/// LEDGER-5.
#[test]
fn an_entry_that_is_covered_and_stays_is_refused_if_the_outputs_are_said_to_be_swept() {
    let kept = |swept: u64| {
        let mut ledger = Ledger::new(readers(&numbers(&[30]))).with_ranges(
            ranges(&[20]),
            Vec::new(),
            SequenceNumber(swept),
        );
        let key = KeyRef::new(b"k", trailer(10));
        let mut sum = Sum::default();
        sum.add_entry(key.user_key, key.trailer, b"v");
        ledger.read(key, |_| true)?;
        ledger.written(key)?;
        ledger.balance(sum, sum, |_| true)
    };
    kept(0).unwrap();
    kept(19).unwrap();
    assert!(kept(20).unwrap_err().is_unaccounted());
}
