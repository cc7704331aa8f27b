//! The cost of the walks of `merging.rs` and `visible.rs`, and what a merging iterator reports about itself. Random
//! walks in those files check that the results are right.

use super::alarm::{Alarm, LONG_RUN};
use super::merging::{MergingIterator, Reach};
use super::visible::VisibleIterator;
use super::*;
use crate::key::{SequenceNumber, ValueKind};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU32, Ordering};

/// How often each move was made.
#[derive(Default)]
struct Moves {
    seek: AtomicU32,
    next: AtomicU32,
    prev: AtomicU32,
    next_key: AtomicU32,
}

impl Moves {
    /// The moves since the last call, as `(seeks, nexts, prevs, next_keys)`.
    fn take(&self) -> (u32, u32, u32, u32) {
        let take = |count: &AtomicU32| count.swap(0, Ordering::Relaxed);
        (
            take(&self.seek),
            take(&self.next),
            take(&self.prev),
            take(&self.next_key),
        )
    }
}

/// A sorted list that counts how it is moved. It knows whether keys have other versions if `knows` is set.
struct Counted {
    entries: Vec<(Vec<u8>, Trailer)>,
    at: usize,
    knows: bool,
    /// The entry to which every seek leads; `None` if seeks are right.
    lands_on: Option<usize>,
    moves: Arc<Moves>,
}

impl Counted {
    /// Puts of the numbers, except that the number 0 stands for a tombstone at number 1.
    fn new(entries: &[(&str, u64)], knows: bool) -> Counted {
        let mut entries: Vec<_> = (entries.iter())
            .map(|&(key, number)| (key.as_bytes().to_vec(), trailer(number)))
            .collect();
        entries.sort_by(|a, b| KeyRef::new(&a.0, a.1).cmp(&KeyRef::new(&b.0, b.1)));
        Counted {
            entries,
            at: usize::MAX,
            knows,
            lands_on: None,
            moves: Arc::default(),
        }
    }

    fn key_at(&self, at: usize) -> KeyRef<'_> {
        KeyRef::new(&self.entries[at].0, self.entries[at].1)
    }

    fn has_same_key(&self, other: usize) -> bool {
        (self.entries.get(other)).is_some_and(|entry| entry.0 == self.entries[self.at].0)
    }
}

fn trailer(number: u64) -> Trailer {
    match number {
        0 => Trailer::new(SequenceNumber(1), ValueKind::Delete),
        _ => Trailer::new(SequenceNumber(number), ValueKind::Put),
    }
}

impl InternalIterator for Counted {
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
    fn seek(&mut self, target: KeyRef<'_>) -> Result<()> {
        let seeks = self.moves.seek.fetch_add(1, Ordering::Relaxed);
        assert!(seeks < 1000, "it seeks for ever");
        let right = (0..self.entries.len()).find(|&at| self.key_at(at) >= target);
        self.at = self.lands_on.or(right).unwrap_or(usize::MAX);
        Ok(())
    }
    fn seek_for_prev(&mut self, target: KeyRef<'_>) -> Result<()> {
        let seeks = self.moves.seek.fetch_add(1, Ordering::Relaxed);
        assert!(seeks < 1000, "it seeks for ever");
        let right = (0..self.entries.len()).rfind(|&at| self.key_at(at) <= target);
        self.at = self.lands_on.or(right).unwrap_or(usize::MAX);
        Ok(())
    }
    fn next(&mut self) -> Result<()> {
        self.moves.next.fetch_add(1, Ordering::Relaxed);
        self.at += 1;
        Ok(())
    }
    fn prev(&mut self) -> Result<()> {
        self.moves.prev.fetch_add(1, Ordering::Relaxed);
        self.at = self.at.wrapping_sub(1);
        Ok(())
    }
    fn next_key(&mut self, user_key: &[u8]) -> Result<()> {
        self.moves.next_key.fetch_add(1, Ordering::Relaxed);
        step_over_key(self, user_key)
    }
    fn key(&self) -> KeyRef<'_> {
        self.key_at(self.at)
    }
    fn value(&self) -> &[u8] {
        &self.entries[self.at].0
    }
    fn is_known_first_of_key(&self) -> bool {
        self.knows && !self.has_same_key(self.at.wrapping_sub(1))
    }
    fn is_known_last_of_key(&self) -> bool {
        self.knows && !self.has_same_key(self.at + 1)
    }
}

/// Versions 1 to `count` of `key`.
fn versions(key: &str, count: u64) -> Vec<(&str, u64)> {
    (1..=count).map(|number| (key, number)).collect()
}

/// A visible iterator at `number` over the entries, and the moves of its inner iterator.
fn visible(
    entries: &[(&str, u64)],
    knows: bool,
    number: u64,
) -> (VisibleIterator<Counted>, Arc<Moves>) {
    let inner = Counted::new(entries, knows);
    let moves = Arc::clone(&inner.moves);
    (VisibleIterator::new(inner, SequenceNumber(number)), moves)
}

#[test]
fn an_iterator_that_knows_no_better_claims_to_know_nothing() {
    struct Plain;
    impl InternalIterator for Plain {
        fn valid(&self) -> bool {
            true
        }
        fn seek_to_first(&mut self) -> Result<()> {
            Ok(())
        }
        fn seek_to_last(&mut self) -> Result<()> {
            Ok(())
        }
        fn seek(&mut self, _: KeyRef<'_>) -> Result<()> {
            Ok(())
        }
        fn seek_for_prev(&mut self, _: KeyRef<'_>) -> Result<()> {
            Ok(())
        }
        fn next(&mut self) -> Result<()> {
            Ok(())
        }
        fn prev(&mut self) -> Result<()> {
            Ok(())
        }
        fn key(&self) -> KeyRef<'_> {
            KeyRef::new(b"", Trailer::OLDEST)
        }
        fn value(&self) -> &[u8] {
            b""
        }
    }
    assert!(!Plain.is_known_first_of_key());
    assert!(!Plain.is_known_last_of_key());
}

#[test]
fn stepping_over_a_key_seeks_after_eight_steps_and_not_before() {
    let many = u64::from(RESEEK_AFTER);
    for (count, moves) in [
        (1, (0, 1, 0, 0)),
        (many, (0, RESEEK_AFTER, 0, 0)),
        (many + 1, (1, RESEEK_AFTER, 0, 0)),
        (1000, (1, RESEEK_AFTER, 0, 0)),
    ] {
        let mut entries = versions("a", count);
        entries.push(("b", 5000));
        let mut list = Counted::new(&entries, false);
        list.seek_to_first().unwrap();
        step_over_key(&mut list, b"a").unwrap();
        assert_eq!(list.key().user_key, b"b");
        assert_eq!(list.moves.take(), moves, "{count} versions");
    }
}

#[test]
fn a_merging_iterator_knows_a_key_alone_exactly_if_no_child_has_it_ahead() {
    let first = Counted::new(&[("a", 5), ("b", 6), ("c", 7), ("e", 8)], true);
    let second = Counted::new(&[("b", 3), ("d", 4)], true);
    let mut merged = MergingIterator::new(vec![first, second]);
    merged.seek_to_first().unwrap();
    // Forward, only the entries ahead are known.
    let mut forward = Vec::new();
    while merged.valid() {
        let known = merged.is_known_last_of_key();
        forward.push((merged.key().user_key[0] as char, known));
        assert!(!merged.is_known_first_of_key());
        merged.next().unwrap();
    }
    assert_eq!(
        forward,
        [
            ('a', true),
            ('b', false),
            ('b', true),
            ('c', true),
            ('d', true),
            ('e', true)
        ]
    );
    merged.seek_to_last().unwrap();
    let mut backward = Vec::new();
    while merged.valid() {
        let known = merged.is_known_first_of_key();
        backward.push((merged.key().user_key[0] as char, known));
        assert!(!merged.is_known_last_of_key());
        merged.prev().unwrap();
    }
    assert_eq!(
        backward,
        [
            ('e', true),
            ('d', true),
            ('c', true),
            ('b', false),
            ('b', true),
            ('a', true)
        ]
    );
}

#[test]
fn the_only_child_says_of_its_keys_what_it_knows_in_both_directions() {
    let list = Counted::new(&[("a", 5), ("b", 3), ("b", 6)], true);
    let mut merged = MergingIterator::new(vec![list]);
    merged.seek_to_first().unwrap();
    assert!(merged.is_known_first_of_key() && merged.is_known_last_of_key());
    merged.next().unwrap();
    assert!(merged.is_known_first_of_key() && !merged.is_known_last_of_key());
    merged.next().unwrap();
    assert!(!merged.is_known_first_of_key() && merged.is_known_last_of_key());
}

#[test]
fn the_reach_of_a_child_ends_at_the_nearest_entry_of_another() {
    let named = |reach: Reach<'_>| match reach {
        Reach::Everything => "everything".to_owned(),
        Reach::Forward(rival) => format!("up to {:?}", rival.map(|key| key.user_key[0] as char)),
        Reach::Backward(rival) => format!("down to {:?}", rival.map(|key| key.user_key[0] as char)),
    };
    let mut merged = MergingIterator::new(vec![Counted::new(&[("a", 1)], true)]);
    merged.seek_to_first().unwrap();
    assert_eq!(named(merged.reach()), "everything");

    let lists = [
        &[("a", 1), ("g", 2)][..],
        &[("e", 3)],
        &[("c", 4), ("d", 5)],
    ];
    let children = lists.map(|list| Counted::new(list, true)).into();
    let mut merged = MergingIterator::new(children);
    merged.seek_to_first().unwrap();
    let mut forward = Vec::new();
    while merged.valid() {
        forward.push(named(merged.reach()));
        merged.next().unwrap();
    }
    assert_eq!(
        forward,
        [
            "up to Some('c')",
            "up to Some('e')",
            "up to Some('e')",
            "up to Some('g')",
            "up to None"
        ]
    );
    merged.seek_to_last().unwrap();
    assert_eq!(named(merged.reach()), "down to Some('e')");
}

#[test]
fn stepping_over_a_key_moves_the_children_that_have_it_and_no_other() {
    let lists = [
        &[("a", 3), ("b", 9)][..],
        &[("a", 2), ("c", 8)],
        &[("d", 7)],
    ];
    let children = lists.map(|list| Counted::new(list, false));
    let moves = [0, 1, 2].map(|child: usize| Arc::clone(&children[child].moves));
    let mut merged = MergingIterator::new(children.into());
    merged.seek_to_first().unwrap();
    merged.next_key(b"a").unwrap();
    assert_eq!(merged.key().user_key, b"b");
    assert_eq!(moves[0].take(), (0, 1, 0, 1));
    assert_eq!(moves[1].take(), (0, 1, 0, 1));
    assert_eq!(moves[2].take(), (0, 0, 0, 0));
    // With a key other than the current one there is nothing to step over.
    merged.next_key(b"a").unwrap();
    assert_eq!(merged.key().user_key, b"b");
    for key in [b"b", b"c", b"d"] {
        merged.next_key(key).unwrap();
    }
    assert!(!merged.valid());
}

#[test]
fn a_visible_iterator_lends_its_inner_one_only_while_that_stands_on_what_is_shown() {
    let (mut iterator, _) = visible(&[("a", 1), ("b", 2), ("b", 3)], false, 9);
    assert!(iterator.inner_if_shown().is_none());
    iterator.seek_to_first().unwrap();
    assert_eq!(iterator.inner_if_shown().unwrap().key().user_key, b"a");
    // Going backward, the newest of several versions comes last, so the shown entry is a copy.
    iterator.seek_to_last().unwrap();
    assert_eq!(iterator.key(), b"b");
    assert!(iterator.inner_if_shown().is_none());
}

#[test]
fn copies_are_handed_out_once_and_only_where_copies_are_shown() {
    let (mut iterator, _) = visible(&[("a", 1), ("b", 2), ("b", 3)], false, 9);
    iterator.seek_to_last().unwrap();
    assert_eq!(iterator.entry(), (&b"b"[..], &b"b"[..]));
    assert_eq!(iterator.take_copies().unwrap(), (b"b".into(), b"b".into()));
    assert!(!iterator.valid() && iterator.take_copies().is_none());
    // The inner iterator's own entry is not a copy.
    iterator.seek_to_first().unwrap();
    assert_eq!(iterator.take_copies(), None);
    assert!(!iterator.valid());
}

#[test]
fn a_merging_iterator_shows_key_and_value_of_one_entry() {
    let lists = [&[("a", 3), ("c", 9)][..], &[("b", 2)]];
    let mut merged = MergingIterator::new(lists.map(|list| Counted::new(list, true)).into());
    merged.seek_to_first().unwrap();
    for key in [b"a", b"b", b"c"] {
        assert_eq!(merged.entry(), (&key[..], &key[..]));
        merged.next().unwrap();
    }
}

#[test]
fn a_walk_rings_at_the_first_run_that_is_long_and_at_no_shorter_one() {
    for (length, rings) in [(LONG_RUN - 1, 0), (LONG_RUN, 1), (LONG_RUN + 1, 1)] {
        let keys: Vec<String> = (0..length).map(|number| format!("{number:08}")).collect();
        let mut entries: Vec<_> = keys.iter().map(|key| (&key[..], 0)).collect();
        entries.push(("z", 5));
        for is_forward in [true, false] {
            let rung = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&rung);
            let alarm = Alarm::new(move || _ = count.fetch_add(1, Ordering::Relaxed));
            let (iterator, _) = visible(&entries, true, 9);
            let mut iterator = iterator.with_alarm(Arc::clone(&alarm));
            match is_forward {
                true => iterator.seek_to_first().unwrap(),
                false => iterator.seek_before(b"z").unwrap(),
            }
            assert_eq!(rung.load(Ordering::Relaxed), rings, "{length} {is_forward}");
            assert_eq!(alarm.take_rung(), rings == 1);
            // The key at which the reader rang.
            let last = match is_forward {
                true => LONG_RUN - 1,
                false => length.saturating_sub(LONG_RUN),
            };
            let expected = (rings == 1).then(|| keys[last as usize].clone().into_bytes());
            assert_eq!(alarm.key(), expected);
        }
    }
}

#[test]
fn an_alarm_keeps_the_first_key_until_it_was_seen_to() {
    let rung = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&rung);
    let alarm = Alarm::new(move || _ = count.fetch_add(1, Ordering::Relaxed));
    assert!(!alarm.take_rung() && alarm.key().is_none());
    for key in ["first", "second"] {
        alarm.ring(key.as_bytes());
    }
    assert_eq!(rung.load(Ordering::Relaxed), 1);
    assert!(alarm.take_rung());
    assert!(!alarm.take_rung(), "it rang twice for one run");
    // While a run is not handled yet, later ones are dropped.
    alarm.ring(b"third");
    assert!(!alarm.take_rung());
    assert_eq!(alarm.key().unwrap(), b"first");
    alarm.forget();
    assert_eq!(alarm.key(), None);
    alarm.ring(b"fourth");
    assert_eq!(alarm.key().unwrap(), b"fourth");
    assert_eq!(rung.load(Ordering::Relaxed), 2);
}

#[test]
fn seek_before_stands_before_every_version_of_the_key() {
    let (mut iterator, _) = visible(&[("a", 1), ("b", 2), ("b", 3), ("c", 4)], false, 9);
    for (target, expected) in [
        ("c", Some("b")),
        ("bb", Some("b")),
        ("b", Some("a")),
        ("a", None),
    ] {
        iterator.seek_before(target.as_bytes()).unwrap();
        let shown = iterator.valid().then(|| iterator.key());
        assert_eq!(shown, expected.map(str::as_bytes), "before {target}");
    }
}

#[test]
fn a_key_known_to_have_no_older_version_costs_one_step_forward() {
    // Number 0 is a tombstone. Passing over it is as cheap as leaving a value.
    let (mut iterator, moves) = visible(&[("a", 5), ("b", 0), ("c", 7)], true, 9);
    iterator.seek_to_first().unwrap();
    iterator.next().unwrap();
    assert_eq!(iterator.key(), b"c");
    assert_eq!(moves.take(), (0, 2, 0, 0));
}

/// VISIBLE-2.
#[test]
fn newer_versions_than_the_reader_sees_are_stepped_over_eight_times_and_then_by_a_seek() {
    let steps = RESEEK_AFTER;
    for (hidden, moves) in [
        (1, (0, 1, 0, 0)),
        (u64::from(steps), (0, steps, 0, 0)),
        (u64::from(steps) + 1, (1, steps, 0, 0)),
        (1000, (1, steps, 0, 0)),
    ] {
        let (mut iterator, counted) = visible(&versions("a", 1 + hidden), false, 1);
        iterator.seek_to_first().unwrap();
        assert!(iterator.valid());
        assert_eq!(counted.take(), moves, "{hidden} hidden versions");
    }
}

#[test]
fn backward_the_newest_visible_version_is_found_by_eight_steps_and_then_by_a_seek() {
    let steps = RESEEK_AFTER;
    for (count, moves) in [
        (2, (0, 0, 2, 0)),
        (u64::from(steps), (0, 0, steps, 0)),
        // The steps reach the ninth version, the seek finds the newest, and one step leaves the key.
        (u64::from(steps) + 1, (1, 0, steps + 1, 0)),
        (1000, (1, 0, steps + 1, 0)),
    ] {
        let (mut iterator, counted) = visible(&versions("a", count), false, 2000);
        iterator.seek_to_last().unwrap();
        assert!(iterator.valid());
        assert_eq!(counted.take(), moves, "{count} versions");
    }
}

#[test]
fn backward_hidden_versions_are_left_by_eight_steps_and_then_by_a_seek() {
    let steps = RESEEK_AFTER;
    for (hidden, moves) in [
        (1, (0, 0, 1, 0)),
        (u64::from(steps), (0, 0, steps, 0)),
        (u64::from(steps) + 1, (1, 0, steps, 0)),
        (1000, (1, 0, steps, 0)),
    ] {
        let mut entries = versions("b", hidden);
        entries.iter_mut().for_each(|entry| entry.1 += 10);
        let (mut iterator, counted) = visible(&entries, false, 1);
        iterator.seek_to_last().unwrap();
        assert!(!iterator.valid());
        assert_eq!(counted.take(), moves, "{hidden} hidden versions");
    }
}

/// A visible iterator at `number` over entries in which every seek leads to the one at `lands_on`.
fn misled(entries: &[(&str, u64)], number: u64, lands_on: usize) -> VisibleIterator<Counted> {
    let mut entries = Counted::new(entries, false);
    entries.lands_on = Some(lands_on);
    VisibleIterator::new(entries, SequenceNumber(number))
}

fn assert_out_of_order<T: std::fmt::Debug>(outcome: Result<T>, what: &str) {
    let error = outcome.expect_err(what);
    assert!(
        error.message().contains("keys out of order"),
        "{what}: {error}"
    );
    assert!(error.is_unaccounted(), "{what}: {error}");
}

#[test]
fn going_backward_a_seek_that_leads_back_to_its_key_is_an_error_and_no_endless_loop() {
    let entries = versions("b", 20);
    for lands_on in [0, 5, 19] {
        let mut iterator = misled(&entries, 0, lands_on);
        assert_out_of_order(iterator.seek_to_last(), "hidden versions");
        assert!(!iterator.valid());
    }
    // "c" has one version; `prev` leaves "b" from its newest version.
    let entries = [&entries[..], &[("c", 1)]].concat();
    let mut iterator = misled(&entries, 0, 20);
    assert_out_of_order(
        iterator.seek_to_last().and_then(|()| iterator.prev()),
        "beyond",
    );
}

#[test]
fn going_backward_a_seek_for_the_newest_version_has_to_find_one_that_is_seen() {
    let entries = [&[("a", 1)], &versions("b", 20)[..], &[("c", 100)]].concat();
    // Numbers 20 to 1 of "b" are at indexes 1 to 20; the reader sees 15 and older ones.
    for (lands_on, is_right) in [
        (0, false),
        (5, false),
        (6, true),
        (21, false),
        (usize::MAX, false),
    ] {
        let mut iterator = misled(&entries, 15, lands_on);
        let outcome = iterator.seek_to_last();
        match is_right {
            true => assert_eq!(iterator.key(), b"b"),
            false => assert_out_of_order(outcome, &format!("entry {lands_on}")),
        }
    }
}

/// VISIBLE-3.
#[test]
fn going_forward_a_seek_that_leads_back_is_an_error_and_no_endless_loop() {
    let entries = [&versions("b", 20)[..], &[("c", 1)]].concat();
    // The reader passes over hidden versions; number 1 is at index 19.
    for lands_on in [0, 9, 18] {
        let mut iterator = misled(&entries, 1, lands_on);
        assert_out_of_order(iterator.seek_to_first(), "hidden versions");
    }
    let mut iterator = misled(&entries, 1, 19);
    iterator.seek_to_first().unwrap();
    assert_eq!(iterator.key(), b"b");
    // Leaving a key with many versions.
    for (lands_on, is_right) in [(0, false), (19, false), (20, true)] {
        let mut iterator = misled(&entries, 100, lands_on);
        iterator.seek_to_first().unwrap();
        let outcome = iterator.next();
        match is_right {
            true => assert_eq!(iterator.key(), b"c"),
            false => assert_out_of_order(outcome, "older versions"),
        }
    }
}

#[test]
fn a_cursor_that_turns_forward_does_not_show_its_key_again() {
    for lands_on in [0, 1] {
        let mut iterator = misled(&[("a", 1), ("b", 1)], 100, lands_on);
        iterator.seek_to_last().unwrap();
        assert_eq!(iterator.key(), b"b");
        assert_out_of_order(iterator.next(), "the same key");
        assert!(!iterator.valid());
    }
}

/// MERGE-2.
#[test]
fn a_merge_that_turns_to_a_child_on_the_wrong_side_is_an_error() {
    let first = Counted::new(&[("a", 1), ("c", 1)], false);
    let mut second = Counted::new(&[("b", 1), ("d", 1)], false);
    second.lands_on = Some(1);
    let mut merged = MergingIterator::new(vec![first, second]);
    merged.seek_to_first().unwrap();
    merged.next().unwrap();
    merged.next().unwrap();
    assert_eq!(merged.key().user_key, b"c");
    assert_out_of_order(merged.prev(), "\"d\" is not before \"c\"");
    assert!(!merged.valid());
}
