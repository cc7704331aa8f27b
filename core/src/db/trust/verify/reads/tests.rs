use std::collections::BTreeMap;

use std::ops::ControlFlow;

use super::backward::RUN_PAIRS;
use super::*;
use crate::db::trust::verify::shown::Shown;
use crate::db::trust::verify::walk::{Way, first_difference, walk};
use crate::key::{KeyRef, Trailer, ValueKind};
use crate::range_delete::RangeDelete;
use crate::version::TOGETHER;

/// Entries in a vector, in the order in which they were given.
#[derive(Clone)]
struct Entries {
    entries: Vec<(Vec<u8>, Trailer, Vec<u8>)>,
    at: usize,
}

impl InternalIterator for Entries {
    fn valid(&self) -> bool {
        self.at < self.entries.len()
    }
    fn seek_to_first(&mut self) -> Result<()> {
        self.at = 0;
        Ok(())
    }
    fn seek_to_last(&mut self) -> Result<()> {
        self.at = self.entries.len().wrapping_sub(1);
        Ok(())
    }
    fn seek(&mut self, _: KeyRef<'_>) -> Result<()> {
        unreachable!()
    }
    fn seek_for_prev(&mut self, _: KeyRef<'_>) -> Result<()> {
        unreachable!()
    }
    fn next(&mut self) -> Result<()> {
        self.at += 1;
        Ok(())
    }
    fn prev(&mut self) -> Result<()> {
        self.at = self.at.wrapping_sub(1);
        Ok(())
    }
    fn key(&self) -> KeyRef<'_> {
        KeyRef::new(&self.entries[self.at].0, self.entries[self.at].1)
    }
    fn value(&self) -> &[u8] {
        &self.entries[self.at].2
    }
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A cursor over a map; it remembers only its place.
struct MapCursor {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// One more than the index of the current pair.
    at: usize,
}

impl MapCursor {
    fn over(map: &Map) -> MapCursor {
        let pairs = map.clone().into_iter().collect();
        MapCursor { pairs, at: 0 }
    }

    fn stands(&self) -> bool {
        (1..=self.pairs.len()).contains(&self.at)
    }
}

impl Pairs for MapCursor {
    fn next(&mut self) -> Result<bool> {
        self.at += 1;
        Ok(self.stands())
    }
    fn prev(&mut self) -> Result<bool> {
        self.at = self.at.saturating_sub(1);
        Ok(self.stands())
    }
    fn last(&mut self) -> Result<bool> {
        self.at = self.pairs.len();
        Ok(self.stands())
    }
    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        self.at = 1 + self.pairs.partition_point(|(other, _)| &other[..] < key);
        Ok(self.stands())
    }
    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool> {
        self.at = self.pairs.partition_point(|(other, _)| &other[..] <= key);
        Ok(self.stands())
    }
    fn key(&self) -> &[u8] {
        &self.pairs[self.at - 1].0
    }
    fn value(&self) -> &[u8] {
        &self.pairs[self.at - 1].1
    }
}

/// The results of each way of reading some entries. All are the same unless a test spoils one.
struct Case {
    entries: Entries,
    number: SequenceNumber,
    forward: Map,
    backward: Map,
    seeks: Map,
    gets: Map,
    gets_of_many: Map,
    past: Option<PastCase>,
}

/// The results at a smaller number.
struct PastCase {
    number: SequenceNumber,
    forward: Map,
    gets: Map,
    gets_of_many: Map,
}

/// Gets from maps.
struct MapLookups<'a> {
    gets: &'a Map,
    gets_of_many: &'a Map,
}

impl Lookups for MapLookups<'_> {
    fn get(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Answer> {
        let found = self.gets.get(key).map(|value| &value[..]);
        Ok(match found {
            _ if found == value => Answer::Right,
            None => Answer::Missing,
            Some(_) => Answer::Another,
        })
    }
    fn get_many(&mut self, keys: &[Vec<u8>], found: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        assert!((1..=TOGETHER).contains(&keys.len()), "{} keys", keys.len());
        for (place, key) in keys.iter().enumerate() {
            if let Some(value) = self.gets_of_many.get(key) {
                found(place, value);
            }
        }
        Ok(())
    }
}

/// What a reader at `number` sees of these entries.
fn seen(entries: &[(Vec<u8>, Trailer, Vec<u8>)], number: SequenceNumber) -> Map {
    let mut writes: Vec<_> = entries.iter().collect();
    writes.sort_by_key(|(_, trailer, _)| trailer.sequence());
    let mut map = Map::new();
    for (key, trailer, value) in writes {
        let sequence = trailer.sequence();
        match trailer.kind().filter(|_| sequence <= number) {
            None => {}
            Some(ValueKind::Put) => drop(map.insert(key.clone(), value.clone())),
            Some(ValueKind::Delete) => drop(map.remove(key)),
            Some(ValueKind::RangeDelete) => {
                let range = RangeDelete::of_entry(key, sequence, value).unwrap();
                map.retain(|key, _| !range.covers(key));
            }
        }
    }
    map
}

impl Case {
    /// Keys with several versions and tombstones, some of them above the number at which they are read; more pairs
    /// than fit in a stretch.
    fn new() -> Case {
        Case::of(3 * RUN_PAIRS as u32)
    }

    fn of(keys: u32) -> Case {
        let number = SequenceNumber(1000);
        let (mut entries, mut map) = (Vec::new(), Map::new());
        for at in 0..keys {
            let key = key(at);
            let versions = 1 + at % 3;
            for version in (0..versions).rev() {
                // The newest version of some keys is not visible yet.
                let sequence = SequenceNumber(u64::from(at % 7 * 30 + version * 450 + 50));
                let kind = match (at + version) % 5 {
                    4 => ValueKind::Delete,
                    _ => ValueKind::Put,
                };
                let value = match kind {
                    ValueKind::Put => format!("{at} {version}").into_bytes(),
                    _ => vec![],
                };
                entries.push((key.clone(), Trailer::new(sequence, kind), value));
            }
            // A range delete that a reader in the past sees, one that only a present one sees, and one to come.
            if let Some(later) = [0, 450, 900].get(at as usize % 29) {
                let sequence = SequenceNumber(u64::from(at % 7 * 30 + later + 55));
                let value = [&[0], &key[..], b"~"].concat();
                let value = match at % 4 {
                    0 => value,
                    more => [&[0], &self::key(at + 3 * more)[..]].concat(),
                };
                let trailer = Trailer::new(sequence, ValueKind::RangeDelete);
                entries.push((key.clone(), trailer, value));
            }
        }
        entries.sort_by(|a, b| KeyRef::new(&a.0, a.1).cmp(&KeyRef::new(&b.0, b.1)));
        map.extend(seen(&entries, number));
        Case {
            entries: Entries {
                entries,
                at: usize::MAX,
            },
            number,
            forward: map.clone(),
            backward: map.clone(),
            seeks: map.clone(),
            gets_of_many: map.clone(),
            gets: map,
            past: None,
        }
    }

    /// The same, with what a reader at a number between those of the versions sees.
    fn with_past() -> Case {
        let mut case = Case::new();
        let number = SequenceNumber(200);
        let map = seen(&case.entries.entries, number);
        case.past = Some(PastCase {
            number,
            forward: map.clone(),
            gets_of_many: map.clone(),
            gets: map,
        });
        case
    }

    fn run(&self) -> Outcome {
        let compared = self.compare(&mut |_| Ok(ControlFlow::Continue(())));
        compared.unwrap().expect("no callback ended it")
    }

    fn compare(&self, walking: Walking<'_>) -> Result<Option<Outcome>> {
        let comparison = Comparison {
            merged: self.entries.clone(),
            number: self.number,
            forward: MapCursor::over(&self.forward),
            backward: MapCursor::over(&self.backward),
            seeking: MapCursor::over(&self.seeks),
            lookups: MapLookups {
                gets: &self.gets,
                gets_of_many: &self.gets_of_many,
            },
            past: self.past.as_ref().map(|past| {
                let lookups = MapLookups {
                    gets: &past.gets,
                    gets_of_many: &past.gets_of_many,
                };
                (past.number, MapCursor::over(&past.forward), lookups)
            }),
        };
        comparison.run(walking)
    }

    /// The only difference; fails if there are more or none.
    fn difference(&self, about: &str) -> String {
        let differences = self.run().differences;
        assert_eq!(differences.len(), 1, "{about}: {differences:?}");
        differences.into_iter().next().unwrap()
    }
}

fn key(at: u32) -> Vec<u8> {
    format!("key {at:06}").into_bytes()
}

/// READS-3.
#[test]
fn readers_who_see_what_there_is_do_not_differ() {
    for keys in [0, 1, 2, 100, 4096, 4097, 8192, 20_000] {
        let case = Case::of(keys);
        let outcome = case.run();
        assert_eq!(outcome.differences, Vec::<String>::new(), "{keys} keys");
        assert_eq!(outcome.visible, case.forward.len() as u64);
        assert!(outcome.looked_up >= u64::from(keys) / 16);
        let mut seen = Sum::default();
        for (key, trailer, value) in &case.entries.entries {
            if trailer.sequence() <= case.number {
                seen.add_entry(key, *trailer, value);
            }
        }
        assert_eq!(outcome.met, seen, "{keys} keys");
    }
}

#[test]
fn a_pair_that_a_cursor_loses_or_changes_is_a_difference_wherever_it_is() {
    let whole = Case::new();
    let keys: Vec<_> = whole.forward.keys().cloned().collect();
    let edges = [0, 1, 4095, 4096, 4097, keys.len() - 2, keys.len() - 1];
    for at in edges.into_iter().chain((0..keys.len()).step_by(997)) {
        for loses in [true, false] {
            let spoil = |map: &mut Map| match loses {
                true => drop(map.remove(&keys[at])),
                false => drop(map.insert(keys[at].clone(), b"other".to_vec())),
            };
            let mut case = Case::new();
            spoil(&mut case.forward);
            let difference = case.difference("forward");
            assert!(difference.contains("going forward"), "{difference}");
            let named = Shown(&keys[at]).to_string();
            assert!(difference.contains(&named), "{difference}");

            let mut case = Case::new();
            spoil(&mut case.backward);
            let difference = case.difference("backward");
            assert!(difference.contains("going backward"), "{difference}");
        }
    }
}

#[test]
fn a_pair_that_only_a_cursor_sees_is_a_difference() {
    for extra in ["", "key 004000 and more", "zzz"] {
        let mut case = Case::new();
        case.forward.insert(extra.into(), vec![]);
        let difference = case.difference("forward");
        assert!(difference.contains("going forward"), "{difference}");
        let mut case = Case::new();
        case.backward.insert(extra.into(), vec![]);
        let difference = case.difference("backward");
        assert!(difference.contains("going backward"), "{difference}");
    }
    let mut case = Case::of(0);
    case.backward.insert(b"a".to_vec(), vec![]);
    case.difference("backward, where nothing is");
}

#[test]
fn a_get_that_finds_nothing_or_another_value_or_a_deleted_key_is_a_difference() {
    let whole = Case::new();
    // The sample has the keys whose place is a multiple of 16.
    let present = (0..)
        .step_by(16)
        .find(|at| whole.gets.contains_key(&key(*at)));
    let absent = (0..)
        .step_by(16)
        .find(|at| !whole.gets.contains_key(&key(*at)));
    let (present, absent) = (key(present.unwrap()), key(absent.unwrap()));

    let mut case = Case::new();
    case.gets.remove(&present);
    assert!(case.difference("missing").contains("finds nothing"));
    let mut case = Case::new();
    case.gets.insert(present, b"other".to_vec());
    assert!(case.difference("changed").contains("a value other than"));
    let mut case = Case::new();
    case.gets.insert(absent, b"risen".to_vec());
    assert!(case.difference("risen").contains("but the key has none"));
}

#[test]
fn a_seek_that_passes_over_a_key_or_finds_another_value_or_a_key_that_is_not_there_is_a_difference()
{
    let whole = Case::new();
    let mut sampled = (0..).step_by(16).map(key);
    let first = sampled.find(|key| whole.seeks.contains_key(key)).unwrap();
    let later = sampled.find(|key| whole.seeks.contains_key(key)).unwrap();
    for key in [first, later] {
        let mut case = Case::new();
        case.seeks.remove(&key);
        let difference = case.difference("passed over");
        let named = Shown(&key).to_string();
        assert!(
            difference.contains("a cursor that seeks finds"),
            "{difference}"
        );
        assert!(difference.contains(&named), "{difference}");

        let mut case = Case::new();
        case.seeks.insert(key.clone(), b"other".to_vec());
        let difference = case.difference("changed");
        assert!(difference.contains("a different value"), "{difference}");

        // Between the key before and this one.
        let mut case = Case::new();
        let mut extra = key[..key.len() - 1].to_vec();
        extra.push(key[key.len() - 1] - 1);
        extra.push(b'x');
        case.seeks.insert(extra, vec![]);
        assert!(case.difference("made up").contains("seeks"));
    }
}

#[test]
fn a_get_of_many_keys_that_finds_nothing_or_another_value_or_a_deleted_key_is_a_difference() {
    let whole = Case::new();
    let mut sampled = (0..).step_by(16);
    // The last group is not full.
    let mut last = (0..3 * RUN_PAIRS as u32).step_by(16).map(key);
    let last = last.rfind(|key| whole.gets.contains_key(key));
    let present = sampled.find(|at| whole.gets.contains_key(&key(*at)));
    let absent = sampled.find(|at| !whole.gets.contains_key(&key(*at)));
    let (present, absent) = (key(present.unwrap()), key(absent.unwrap()));
    for present in [present, last.unwrap()] {
        let mut case = Case::new();
        case.gets_of_many.remove(&present);
        let difference = case.difference("missing");
        assert!(difference.contains("a get of many keys"), "{difference}");
        let named = Shown(&present).to_string();
        assert!(difference.contains(&named), "{difference}");
        assert!(difference.contains("finds nothing"), "{difference}");
        let mut case = Case::new();
        case.gets_of_many.insert(present, b"other".to_vec());
        assert!(case.difference("changed").contains("a value other than"));
    }
    let mut case = Case::new();
    case.gets_of_many.insert(absent, b"risen".to_vec());
    let difference = case.difference("risen");
    assert!(difference.contains("but the key has none"), "{difference}");
}

#[test]
fn what_a_reader_at_a_pinned_number_does_not_see_or_sees_too_early_is_a_difference() {
    let outcome = Case::with_past().run();
    assert_eq!(outcome.differences, Vec::<String>::new());
    assert_eq!(outcome.past_differences, Vec::<String>::new());
    // A reader at the smaller number gets the newest entries instead. Each way of reading then finds keys that are
    // newer, or changed.
    let spoils: [(fn(&mut PastCase) -> &mut Map, &str); 3] = [
        (|past| &mut past.forward, "going forward"),
        (|past| &mut past.gets, "a get of \""),
        (|past| &mut past.gets_of_many, "a get of many keys"),
    ];
    for (of, words) in spoils {
        let mut case = Case::with_past();
        let newest = case.gets.clone();
        *of(case.past.as_mut().unwrap()) = newest;
        let outcome = case.run();
        assert_eq!(outcome.differences, Vec::<String>::new());
        let [difference] = &outcome.past_differences[..] else {
            panic!("{:?}", outcome.past_differences);
        };
        assert!(difference.contains(words), "{difference}");
    }
    // The last key of all, which has no entry at the smaller number; and a key that must be visible there.
    let mut case = Case::with_past();
    let last = key(3 * RUN_PAIRS as u32);
    let trailer = Trailer::new(SequenceNumber(300), ValueKind::Put);
    case.entries
        .entries
        .push((last.clone(), trailer, b"new".to_vec()));
    for map in [
        &mut case.forward,
        &mut case.backward,
        &mut case.seeks,
        &mut case.gets,
        &mut case.gets_of_many,
    ] {
        map.insert(last.clone(), b"new".to_vec());
    }
    let outcome = case.run();
    assert_eq!(
        (outcome.differences, outcome.past_differences),
        (vec![], vec![])
    );
    let past = case.past.as_mut().unwrap();
    past.forward.insert(last, b"new".to_vec());
    assert_eq!(case.run().past_differences.len(), 1);
    let mut case = Case::with_past();
    let past = case.past.as_mut().unwrap();
    past.forward.pop_first();
    assert_eq!(case.run().past_differences.len(), 1);
}

#[test]
fn every_large_value_is_looked_up() {
    let mut case = Case::of(0);
    for at in 0..40 {
        let trailer = Trailer::new(SequenceNumber(1), ValueKind::Put);
        let value = vec![at as u8; SAMPLED_VALUE_BYTES + 1];
        case.entries.entries.push((key(at), trailer, value.clone()));
        for map in [
            &mut case.forward,
            &mut case.backward,
            &mut case.seeks,
            &mut case.gets,
            &mut case.gets_of_many,
        ] {
            map.insert(key(at), value.clone());
        }
    }
    assert_eq!(case.run().looked_up, 40);
    // One of exactly that size is not.
    let mut smaller = Case::of(0);
    smaller.entries.entries = case.entries.entries.clone();
    for entry in &mut smaller.entries.entries {
        entry.2.pop();
    }
    assert_eq!(smaller.run().looked_up, 40_u64.div_ceil(SAMPLED_KEYS));
    for at in 0..40 {
        let value = case.gets.remove(&key(at)).unwrap();
        assert!(case.difference("large").contains("finds nothing"));
        case.gets.insert(key(at), value);
    }
}

/// READS-2.
#[test]
fn an_entry_that_the_merge_loses_or_meets_in_the_wrong_place_shows() {
    let whole = Case::new();
    let met = whole.run().met;
    for at in (0..whole.entries.entries.len()).step_by(1009) {
        let mut case = Case::new();
        let lost = case.entries.entries.remove(at);
        let is_seen = lost.1.sequence() <= case.number;
        let outcome = case.run();
        assert_eq!(outcome.met != met, is_seen, "entry {at}");

        let mut case = Case::new();
        case.entries.entries.swap(at, at + 1);
        let error = case
            .compare(&mut |_| Ok(ControlFlow::Continue(())))
            .unwrap_err();
        assert!(error.is_unaccounted(), "{error}");
        assert!(error.message().contains("does not ascend"), "{error}");
    }
}

/// READS-1.
#[test]
fn a_walk_counts_every_entry_in_both_ways_and_those_that_can_be_seen_apart() {
    let mut case = Case::new();
    let go_on: Walking<'_> = &mut |_| Ok(ControlFlow::Continue(()));
    let forward = walk(&mut case.entries, Way::Forward, case.number, |_| (), go_on);
    let forward = forward.unwrap().unwrap();
    let backward = walk(&mut case.entries, Way::Backward, case.number, |_| (), go_on);
    assert_eq!(backward.unwrap().unwrap(), forward);
    assert_eq!(forward.seen, case.run().met);
    assert_eq!(forward.all.entries(), case.entries.entries.len() as u64);
    assert!(forward.seen.entries() < forward.all.entries());
    case.entries.entries.remove(100);
    for way in [Way::Forward, Way::Backward] {
        let fewer = walk(&mut case.entries, way, case.number, |_| (), go_on);
        assert_ne!(fewer.unwrap().unwrap().all, forward.all, "{way:?}");
    }
}

#[test]
fn where_two_walks_part_is_reported_by_the_keys_around_it() {
    let mut whole = Case::of(100).entries;
    assert_eq!(
        first_difference(&mut whole.clone(), &mut whole).unwrap(),
        None
    );
    let last = whole.entries.len() - 1;
    for at in [0, 50, last] {
        let mut fewer = whole.clone();
        let lost = fewer.entries.remove(at);
        let reported = first_difference(&mut whole.clone(), &mut fewer);
        let reported = reported.unwrap().unwrap();
        assert!(reported.contains(&Shown(&lost.0).to_string()), "{reported}");
        assert_eq!(reported.contains("the beginning"), at == 0, "{reported}");
        assert_eq!(reported.contains("the end"), at == last, "{reported}");
    }
    let mut other = whole.clone();
    other.entries[7].2.push(b'x');
    assert!(first_difference(&mut whole, &mut other).unwrap().is_some());
}

#[test]
fn a_walk_and_a_comparison_end_within_a_mebibyte_when_they_are_told_to() {
    let mut case = Case::of(0);
    for at in 0..200 {
        let trailer = Trailer::new(SequenceNumber(1), ValueKind::Put);
        case.entries
            .entries
            .push((key(at), trailer, vec![0; 100_000]));
        case.forward.insert(key(at), vec![0; 100_000]);
    }
    case.backward = case.forward.clone();
    case.seeks = case.forward.clone();
    case.gets = case.forward.clone();
    let mut most = 0;
    let mut calls = 0;
    let whole: u64 = case
        .entries
        .entries
        .iter()
        .map(|one| one.0.len() as u64 + 100_000)
        .sum();
    let mut walked = 0;
    let compared = case.compare(&mut |bytes| {
        walked += bytes;
        Ok(ControlFlow::Continue(()))
    });
    assert!(compared.unwrap().is_some());
    assert_eq!(walked, whole);
    let outcome = case.compare(&mut |bytes| {
        most = most.max(bytes);
        calls += 1;
        Ok(match calls {
            3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    });
    assert!(outcome.unwrap().is_none());
    assert_eq!(calls, 3);
    assert!(most < LOOK_BYTES + 100_100, "{most}");
    let stop: Walking<'_> = &mut |_| Ok(ControlFlow::Break(()));
    let walked = walk(&mut case.entries, Way::Backward, case.number, |_| (), stop);
    assert_eq!(walked.unwrap(), None);
}

#[test]
fn progress_is_in_proportion_to_what_was_walked_and_no_more_than_there_is() {
    use crate::db::trust::verify::in_proportion;
    for (walked, all, part) in [
        (0, 10, 0),
        (5, 10, 50),
        (10, 10, 100),
        (20, 10, 100),
        (3, 0, 100),
    ] {
        assert_eq!(in_proportion(walked, 100, all), part, "{walked} of {all}");
    }
    assert_eq!(in_proportion(u64::MAX, u64::MAX, 1), u64::MAX);
}
