//! The limits of a span, from every entry that it may be on.

use super::*;
use crate::sstable::block::Block;
use crate::sstable::block_builder::BlockBuilder;
use crate::sync::Arc;

/// A cursor over eight keys, "b", "d" to "p", each with one version of number 7.
fn cursor_at(index: usize) -> FlatCursor {
    let mut builder = BlockBuilder::new(16);
    for key in 0..8u8 {
        let trailer = Trailer::new(SequenceNumber(7), ValueKind::Put);
        let user_key = [b'b' + 2 * key];
        builder
            .add(0, KeyRef::new(&user_key, trailer), b"v")
            .unwrap();
    }
    let stored = Block::unchecked(builder.finish().unwrap().to_vec(), &Arc::default()).unwrap();
    let mut cursor = FlatCursor::new(stored.flatten().unwrap()).ok().unwrap();
    cursor.go(index);
    cursor
}

/// The range of entries that a span walks if it begins at `index` with these limits.
fn walked(index: usize, limit: impl Fn(&mut Span)) -> Range<usize> {
    let mut span = Span::new(&cursor_at(index), SequenceNumber(9));
    limit(&mut span);
    assert_eq!(span.index(), index, "a limit moves nothing");
    while span.backward() {}
    let first = span.index();
    let mut steps = 0;
    while span.forward() {
        steps += 1;
        assert_eq!(span.index(), first + steps);
        assert_eq!(span.key(), [b'b' + 2 * span.index() as u8]);
        assert_eq!(span.value(), b"v");
    }
    let end = span.index() + 1;
    // The walk back visits the same entries.
    for index in (first..span.index()).rev() {
        assert!(span.backward());
        assert_eq!(span.index(), index);
    }
    assert!(!span.backward());
    first..end
}

#[test]
fn without_a_limit_a_span_is_its_whole_block() {
    for index in 0..8 {
        assert_eq!(walked(index, |_| ()), 0..8);
    }
}

#[test]
fn a_span_that_begins_or_ends_here_keeps_the_entry_it_stands_on() {
    for index in 0..8 {
        assert_eq!(walked(index, Span::begin_here), index..8);
        assert_eq!(walked(index, Span::end_here), 0..index + 1);
        assert_eq!(walked(index, Span::leave_out_first), index.min(1)..8);
        let both = |span: &mut Span| (span.end_here(), span.begin_here()).1;
        assert_eq!(walked(index, both), index..index + 1);
    }
}

/// SPAN-2.
#[test]
fn a_rival_ends_a_span_before_it_and_begins_it_behind_and_no_rival_takes_what_it_stands_on() {
    for index in 0..8 {
        for rival in b'a'..=b'r' {
            // The number of entries before the rival's key, and at or before it.
            let before = (usize::from(rival - b'a') / 2).min(8);
            let at_or_before = usize::from(rival - b'a' + 1) / 2;
            let label = format!("{index}, {}", rival as char);
            let end = before.max(index + 1);
            assert_eq!(
                walked(index, |span| span.end_before_rival(&[rival])),
                0..end,
                "{label}"
            );
            let start = at_or_before.min(index);
            let found = walked(index, |span| span.begin_after_rival(&[rival]));
            assert_eq!(found, start..8, "{label}");
            // A more distant rival changes nothing.
            let two = |span: &mut Span| {
                span.end_before_rival(&[rival]);
                span.end_before_rival(b"q");
                span.begin_after_rival(b"a");
            };
            assert_eq!(walked(index, two), 0..end, "{label}");
        }
    }
}

#[test]
fn a_limit_leaves_out_what_is_beyond_it() {
    for index in 0..8 {
        for limit in 0..8 {
            let user_key = [b'b' + 2 * limit as u8];
            let key = KeyRef::new(&user_key, Trailer::NEWEST);
            if limit <= index {
                assert_eq!(walked(index, |span| span.begin_at(key)), limit..8);
            } else {
                assert_eq!(walked(index, |span| span.end_before(key)), 0..limit);
            }
        }
    }
}

#[test]
fn a_step_is_not_taken_onto_what_the_reader_does_not_see() {
    // (key, number, kind) in the order of the tree; the reader is at 5.
    let entries = [
        (b"a", 3, ValueKind::Put),
        (b"b", 6, ValueKind::Put),
        (b"c", 5, ValueKind::Put),
        (b"d", 4, ValueKind::Put),
        (b"d", 2, ValueKind::Put),
        (b"e", 1, ValueKind::Put),
        (b"f", 1, ValueKind::Delete),
    ];
    let mut builder = BlockBuilder::new(16);
    for (user_key, number, kind) in entries {
        let key = KeyRef::new(user_key, Trailer::new(SequenceNumber(number), kind));
        builder.add(0, key, b"v").unwrap();
    }
    let stored = Block::unchecked(builder.finish().unwrap().to_vec(), &Arc::default()).unwrap();
    let flat = stored.flatten().unwrap();
    let steps = [0, 2, 3, 5].map(|index| {
        let mut cursor = FlatCursor::new(flat.clone()).ok().unwrap();
        cursor.go(index);
        let span = || Span::new(&cursor, SequenceNumber(5));
        (span().backward(), span().forward())
    });
    assert_eq!(
        steps,
        [
            // No entry comes before it, and the next one is newer than the reader.
            (false, false),
            // A step forward may reach a key with an older version,
            (false, true),
            // but may not leave it over that version.
            (true, false),
            // The reader sees neither the older version nor a tombstone.
            (false, false),
        ]
    );
}
